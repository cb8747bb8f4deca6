"""Run requests (`requests.sql`)."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rush.domain.looks import Line
from rush.domain.records import Claim, Handed
from rush.store.session import Session, array
from rush.store.workers import Registration


def submit(
    session: Session,
    *,
    pipeline: str,
    job: str | None = None,
    jobinstance: int | None = None,
    action: str = "start",
    params: dict[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> int | None:
    """Ask for something. Returns the request's id; None: that idempotency key has been used."""
    row = session.one(
        "submit",
        pipeline=pipeline,
        job=job,
        jobinstance=jobinstance,
        action=action,
        params=None if params is None else json.dumps(params, allow_nan=False),
        idempotency_key=idempotency_key,
    )
    return None if row is None else row.id


def request(session: Session, request_id: int) -> Any:
    return session.one("request", id=request_id)


def request_by_key(session: Session, idempotency_key: str) -> Any:
    return session.one("request_by_key", idempotency_key=idempotency_key)


def pending_requests(session: Session, *, limit: int, after: int = 0) -> list[Any]:
    """The oldest pending requests `after` an id, locked, with what the decision about them needs."""
    return session.many("pending_requests", limit=limit, after=after)


class Admitted(NamedTuple):
    """What has become of the plain requests at the head of the line."""

    #: How many have become runs, and how many requests were looked at.
    made: int
    seen: int
    #: Their first jobs, where the master's own worker has them already.
    handed: list[Handed]


def admit_next(
    session: Session,
    *,
    limit: int,
    after: int,
    own: Registration | None = None,
    room: int = 0,
    line: Line | None = None,
) -> Callable[[], Admitted]:
    """
    Make runs of the plain requests at the head of the line, `after` an id. Up to `room` of their first jobs
    are handed to the worker `own` at once, where no other worker could begin them sooner. What
    is returned waits for the answer.
    """
    since = time.monotonic()
    rows = session.send(
        "admit_next",
        limit=limit,
        after=after,
        worker=own and own.name,
        generation=own and own.generation,
        room=room,
        claim_id=secrets.randbits(62),
        **(line or Line()).bands(),
    )

    def admitted() -> Admitted:
        *jobs, total = rows()
        handed = [
            Handed(own.id, own.generation, Claim.of(row), since) for row in jobs if own is not None
        ]
        return Admitted(total.made, total.seen, handed)

    return admitted


def reject(session: Session, refusals: Sequence[tuple[int, str, int | None]]) -> None:
    """Reject requests: each by id, with its reason, and the run it was about if there is one."""
    session.run(
        "reject",
        ids=array(r[0] for r in refusals),
        reasons=array(r[1] for r in refusals),
        run_ids=array(r[2] for r in refusals),
    )


def admit(session: Session, requests: Sequence[tuple[int, int]]) -> dict[int, int]:
    """
    Make runs of requests, each (request, version). Returns the run of each request that
    has become one; another has the number that a missing one asked for.
    """
    rows = session.many(
        "admit", ids=array(r[0] for r in requests), version_ids=array(r[1] for r in requests)
    )
    return {row.request_id: row.run_id for row in rows}


def blocked_reruns(
    session: Session, reruns: Sequence[tuple[int, int, int]]
) -> dict[int, tuple[str, str]]:
    """Of re-runs (request, run, job), those behind a job that is not over: its name and state."""
    rows = session.many(
        "blocked_reruns",
        ids=array(r[0] for r in reruns),
        run_ids=array(r[1] for r in reruns),
        job_ids=array(r[2] for r in reruns),
    )
    return {row.request_id: (row.job, row.state) for row in rows}


def reopen(session: Session, reruns: Sequence[tuple[int, int, int]]) -> set[int]:
    """
    Accept re-runs, each (request, run, round that it was seen in): a new round. Returns the
    requests that were accepted; for these `open_round` must follow.
    """
    rows = session.many(
        "reopen",
        ids=array(r[0] for r in reruns),
        run_ids=array(r[1] for r in reruns),
        rounds=array(r[2] for r in reruns),
    )
    return {row.id for row in rows}


def open_round(session: Session, starts: Sequence[tuple[int, int | None]]) -> None:
    """Start runs, each (run, job or None for the beginning), in their present round."""
    session.many(
        "open_round", run_ids=array(s[0] for s in starts), job_ids=array(s[1] for s in starts)
    )


def flag_cancelled(session: Session, cancels: Sequence[tuple[int, int]]) -> set[int]:
    """Raise the flag of runs, each (request, run). Returns the requests that were accepted."""
    rows = session.many(
        "flag_cancelled", ids=array(c[0] for c in cancels), run_ids=array(c[1] for c in cancels)
    )
    return {row.id for row in rows}
