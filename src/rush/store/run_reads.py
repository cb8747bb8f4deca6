"""What there is to see of runs (`run_reads.sql`)."""

from __future__ import annotations

import heapq
import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rush.domain.reasons import Situation
from rush.domain.rows import AttemptRow, JobRow, LogPartRow, RequestRow, RunRow, RunView
from rush.domain.states import JobState, RequestState, RunState
from rush.store import overview
from rush.store.session import Session, array

#: What lets a successor go on.
SATISFIED = (JobState.Complete, JobState.Skipped)


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


def view(session: Session, run_id: int) -> RunView | None:
    """A run and its jobs. To be read in a snapshot."""
    row = run(session, run_id)
    return row and RunView(run=row, jobs=tuple(jobs(session, run_id)))


def situation(session: Session, run_id: int) -> Situation | None:
    """All that it depends on why something of a run does not run. To be read in a snapshot."""
    row = run(session, run_id)
    if row is None:
        return None
    return Situation(
        run=row,
        jobs=tuple(jobs(session, run_id)),
        standing=overview.standing(session),
        workers=tuple(overview.workers(session)),
        pending=tuple(pending_requests_for(session, row.pipeline, row.jobinstance)),
        newest_version=overview.newest_version(session, row.pipeline),
    )


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
    action: str,
    params: dict[str, Any] | None,
    idempotency_key: str,
) -> Any:
    """The id and pipeline of the request that has the key, and `is_same`: whether it asks for this."""
    return session.one(
        "request_of_key",
        pipeline=pipeline,
        job=job,
        jobinstance=jobinstance,
        action=action,
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
