"""What there is to see of runs (`run_reads.sql`)."""

from __future__ import annotations

import heapq
import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from rush.domain.states import JobState, RequestState, RunState
from rush.store.session import Session, array

#: What lets a successor go on.
SATISFIED = (JobState.Complete, JobState.Skipped)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run. `now` is the database's clock when it was read."""

    id: int
    pipeline: str
    jobinstance: int
    version: int | None
    state: RunState
    #: A cancel was accepted; what runs is being ended.
    cancelling: bool
    round: int
    params: dict[str, Any] | None
    created_at: datetime
    started_at: datetime
    finished_at: datetime | None
    seconds: float
    now: datetime

    @property
    def name(self) -> str:
        """`etl/7`."""
        return f"{self.pipeline}/{self.jobinstance}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One job of a run, as it stands. Its turn is still to come where it has no state."""

    position: int
    name: str
    class_name: str
    queue: str
    retry_limit: int
    state: JobState | None
    #: The attempts begun so far.
    attempt: int
    #: Of the retries, how many are used up in this round.
    retries: int
    #: It is held by a pause of its pipeline.
    paused: bool
    #: Who holds it, or ran it last.
    worker: str | None
    #: Since when it may be handed out, or from when on.
    ready_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    #: How long its present or last attempt took.
    seconds: float | None
    #: What kind of failure the last one was, and what it said.
    reason: str | None
    error: str | None
    #: How far it has come, in its own unit.
    done: float | None
    total: float | None
    predecessors: tuple[str, ...]
    #: The predecessors that are not over, while its turn is still to come.
    waits_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One attempt of a job, or what became of a job without one (attempt 0)."""

    job: str
    round: int
    attempt: int
    state: JobState
    worker: str | None
    token: int | None
    code: str | None
    ready_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    reason: str | None
    error: str | None
    traceback: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """One run request."""

    id: int
    pipeline: str
    job: str | None
    jobinstance: int | None
    action: str
    params: dict[str, Any] | None
    status: RequestState
    #: Why it was rejected.
    reason: str | None
    #: The run that it has become, or that it was about.
    run_id: int | None
    idempotency_key: str | None
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPartRow:
    """Some lines of an attempt. Parts are in order within a token."""

    job: str
    round: int
    attempt: int
    token: int
    part: int
    #: When it was kept.
    at: datetime
    lines: str


@contextmanager
def snapshot(session: Session) -> Generator[None]:
    """What is read inside is of one instant. The connection must not be in a transaction."""
    with session.transaction():
        session.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def list_runs(
    session: Session,
    *,
    pipeline: str | None = None,
    state: RunState | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[RunRow]:
    """Runs, the newest first; those with an id below `before`."""
    rows = session.many("list_runs", pipeline=pipeline, state=state, limit=limit, before=before)
    return [_run(row) for row in rows]


def run(session: Session, run_id: int) -> RunRow | None:
    row = session.one("run_by_id", run_id=run_id)
    return None if row is None else _run(row)


def run_id_of(session: Session, pipeline: str, jobinstance: int) -> int | None:
    row = session.one("run_id_of", pipeline=pipeline, jobinstance=jobinstance)
    return None if row is None else row.id


def jobs(session: Session, run_id: int) -> list[JobRow]:
    """The jobs of a run, each after those that it waits for, else as the definition has them."""
    rows = {row.name: _job(row) for row in session.many("run_jobs", run_id=run_id)}
    return [_with_waits(job, rows) for job in _in_order(rows)]


def attempts(session: Session, run_id: int, *, job: str | None = None) -> list[AttemptRow]:
    """Attempts in the order of time: those that have ended, and those that run."""
    rows = session.many("run_attempts", run_id=run_id, job=job)
    return [AttemptRow(**row._asdict() | {"state": JobState(row.state)}) for row in rows]


def log(
    session: Session,
    run_id: int,
    *,
    job: str | None = None,
    attempt: int | None = None,
    after: Mapping[int, int],
    limit: int = 1000,
) -> list[LogPartRow]:
    """
    Parts of logs in the order in which they were kept. `after` has the last part that was
    read of each token; what is cut off by `limit` comes next time.
    """
    rows = session.many(
        "run_log",
        run_id=run_id,
        job=job,
        attempt=attempt,
        tokens=array(after.keys()),
        parts=array(after.values()),
        limit=limit,
    )
    return [LogPartRow(**row._asdict()) for row in rows]


def result(session: Session, run_id: int, job: str) -> tuple[Any] | None:
    """What a job has returned, in a tuple; None where it has returned nothing."""
    row = session.one("run_result", run_id=run_id, job=job)
    return None if row is None else (row.value,)


def request(session: Session, request_id: int) -> RequestRow | None:
    row = session.one("request", id=request_id)
    return None if row is None else _request(row)


def request_of_key(
    session: Session,
    *,
    pipeline: str,
    job: str | None,
    jobinstance: int | None,
    params: dict[str, Any] | None,
    idempotency_key: str,
) -> Any:
    """The id and pipeline of the request that has the key, and `is_same`: whether it asks for this."""
    return session.one(
        "request_of_key",
        pipeline=pipeline,
        job=job,
        jobinstance=jobinstance,
        params=None if params is None else json.dumps(params),
        idempotency_key=idempotency_key,
    )


def pending_requests_for(
    session: Session, pipeline: str, jobinstance: int | None
) -> list[RequestRow]:
    """What is asked for and not decided, about a run of a pipeline or (None) about its next one."""
    rows = session.many("pending_for_run", pipeline=pipeline, jobinstance=jobinstance)
    return [_request(row) for row in rows]


def last_request(
    session: Session, pipeline: str, jobinstance: int | None = None
) -> RequestRow | None:
    """What was asked for last about a pipeline, or about one run of it."""
    row = session.one("last_request", pipeline=pipeline, jobinstance=jobinstance)
    return None if row is None else _request(row)


def _run(row: Any) -> RunRow:
    return RunRow(**row._asdict() | {"state": RunState(row.state)})


def _job(row: Any) -> JobRow:
    state = None if row.state is None else JobState(row.state)
    return JobRow(**row._asdict() | {"state": state, "predecessors": tuple(row.predecessors)})


def _request(row: Any) -> RequestRow:
    return RequestRow(**row._asdict() | {"status": RequestState(row.status)})


def _in_order(rows: Mapping[str, JobRow]) -> Iterator[JobRow]:
    """Each job after its predecessors; of those whose turn it could be, the first in the definition."""
    missing = {name: len(job.predecessors) for name, job in rows.items()}
    followers = _followers(rows.values())
    ready = [(job.position, name) for name, job in rows.items() if not missing[name]]
    heapq.heapify(ready)
    while ready:
        _, name = heapq.heappop(ready)
        yield rows[name]
        for follower in followers.get(name, ()):
            missing[follower.name] -= 1
            if not missing[follower.name]:
                heapq.heappush(ready, (follower.position, follower.name))


def _followers(rows: Iterable[JobRow]) -> dict[str, list[JobRow]]:
    followers: dict[str, list[JobRow]] = {}
    for job in rows:
        for name in job.predecessors:
            followers.setdefault(name, []).append(job)
    return followers


def _with_waits(job: JobRow, rows: Mapping[str, JobRow]) -> JobRow:
    if job.state is not None:
        return job
    waits_for = tuple(name for name in job.predecessors if rows[name].state not in SATISFIED)
    return replace(job, waits_for=waits_for)
