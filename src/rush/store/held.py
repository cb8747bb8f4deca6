"""What a worker says about the jobs that it holds (`held.sql`)."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any, Protocol

from rush.domain.records import Answer, Claim, CompiledJob, Key, LogPart, Outcome
from rush.store.session import Connection, Session, array
from rush.store.workers import Registration


def report(
    session: Session,
    holder: Registration,
    outcomes: Sequence[Outcome],
    *,
    want: int,
    idle: bool,
    claim_id: int,
) -> Answer:
    """
    Report outcomes, go on with what follows them, and claim up to `want` jobs.

    Instants become the database's: each is sent as the seconds that have passed since.
    Reporting the same outcomes again changes nothing.
    """
    now = time.monotonic()
    outcomes = sorted(outcomes, key=_by_key)
    rows = session.many(
        "report",
        worker=holder.name,
        generation=holder.generation,
        **_keys(outcomes),
        outcomes=array(o.state for o in outcomes),
        began=array(None if o.began is None else now - o.began for o in outcomes),
        ended=array(now - o.ended for o in outcomes),
        reasons=array(o.reason for o in outcomes),
        errors=array(o.error for o in outcomes),
        tracebacks=array(o.traceback for o in outcomes),
        results=array(o.result for o in outcomes),
        logs=array(o.log for o in outcomes),
        parts=array(o.part for o in outcomes),
        codes=array(o.code for o in outcomes),
        want=want,
        idle=idle,
        claim_id=claim_id,
    )
    answer = Answer()
    for row in rows:
        match row.kind:
            case "claimed":
                answer.claims.append(_claim(row))
            case "refused":
                answer.refused.append(row.n)
            case "left":
                answer.left = row.n
            case _:
                answer.ended = row.n
    return answer


def held(session: Session, holder: Registration) -> list[Claim]:
    """All that this registration holds, as the database knows it."""
    rows = session.many("held", worker=holder.name, generation=holder.generation)
    return [_claim(row) for row in rows]


def mark_running(
    session: Session, holder: Registration, begun: Sequence[tuple[Claim, float]]
) -> None:
    """Mark jobs as Running that a runner has begun, each at its monotonic instant."""
    now = time.monotonic()
    begun = sorted(begun, key=lambda b: b[0].key)
    session.run(
        "mark_running",
        worker=holder.name,
        generation=holder.generation,
        **_keys([claim for claim, _ in begun]),
        began=array(now - began for _, began in begun),
    )


def give_back(session: Session, holder: Registration, claims: Collection[Claim]) -> int:
    """Give jobs to whoever wants them; their attempts are not counted. Returns how many were still held."""
    claims = sorted(claims, key=_by_key)
    return session.one(
        "give_back", worker=holder.name, generation=holder.generation, **_keys(claims)
    ).count


def append_log(session: Session, holder: Registration, parts: Sequence[LogPart]) -> None:
    """Keep lines of attempts. The same part twice is kept once."""
    session.run(
        "append_log",
        worker=holder.name,
        generation=holder.generation,
        run_ids=array(p.key.run_id for p in parts),
        jobs=array(p.key.job for p in parts),
        items=array(p.key.item for p in parts),
        rounds=array(p.key.round for p in parts),
        attempts=array(p.attempt for p in parts),
        tokens=array(p.token for p in parts),
        logs=array(p.lines for p in parts),
        parts=array(p.part for p in parts),
    )


def archived(session: Session, outcomes: Sequence[Outcome]) -> set[int]:
    """Those tokens among the outcomes that have an archive row."""
    rows = session.many(
        "archived",
        run_ids=array(o.key.run_id for o in outcomes),
        tokens=array(o.token for o in outcomes),
    )
    return {row.token for row in rows}


def compiled_jobs(session: Session, job_ids: Collection[int]) -> list[CompiledJob]:
    """Compiled jobs by id."""
    rows = session.many("compiled_jobs", job_ids=array(job_ids))
    return [CompiledJob(**row._asdict()) for row in rows]


def results_before(session: Session, run_id: int) -> dict[str, Any]:
    """The results that a run has so far, by job."""
    return {row.job: row.value for row in session.many("results_before", run_id=run_id)}


class Finishing(Protocol):
    """The attempt that a job's own transaction completes."""

    run_id: int
    job: str
    item: int
    round: int
    token: int
    claim_id: int


def complete_within(
    connection: Connection,
    schema: str,
    *,
    worker: str,
    generation: int,
    code: str,
    attempt: Finishing,
    began: float,
    result: str | None,
) -> bool:
    """
    Complete a job inside the caller's open transaction. `began` is seconds ago.
    False: the attempt is no longer this worker's, and the caller must roll back.
    """
    row = Session(connection, schema, prepare=False).one(
        "complete_within",
        worker=worker,
        generation=generation,
        code=code,
        run_id=attempt.run_id,
        job=attempt.job,
        item=attempt.item,
        round=attempt.round,
        token=attempt.token,
        claim_id=attempt.claim_id,
        began=began,
        result=result,
    )
    return row is not None


class _Keyed(Protocol):
    @property
    def key(self) -> Key: ...
    @property
    def token(self) -> int: ...
    @property
    def claim_id(self) -> int: ...


def _by_key(keyed: _Keyed) -> Key:
    return keyed.key


def _keys(keyed: Sequence[_Keyed]) -> dict[str, str]:
    return {
        "run_ids": array(k.key.run_id for k in keyed),
        "jobs": array(k.key.job for k in keyed),
        "items": array(k.key.item for k in keyed),
        "rounds": array(k.key.round for k in keyed),
        "tokens": array(k.token for k in keyed),
        "claim_ids": array(k.claim_id for k in keyed),
    }


def _claim(row: Any) -> Claim:
    return Claim(
        key=Key(row.run_id, row.job, row.item, row.round),
        token=row.n,
        claim_id=row.claim_id,
        job_id=row.job_id,
        pipeline=row.pipeline,
        jobinstance=row.jobinstance,
        attempt=row.attempt,
        given_back=row.given_back,
        cancelling=row.cancelling,
        params=row.params,
        job_params=row.job_params,
    )
