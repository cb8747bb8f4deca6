"""What a worker says about the jobs that it holds (`held.sql`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from rush.domain.looks import Line
from rush.domain.records import Answer, Claim, CompiledJob, LogPart, Outcome
from rush.store.session import Connection, Session, array, numbers
from rush.store.workers import Registration

#: No token is newer.
NEWEST = 2**63 - 1


def report(
    session: Session,
    holder: Registration,
    outcomes: Sequence[Outcome],
    *,
    keep: int,
    want: int,
    idle: bool,
    claim_id: int,
    line: Line | None = None,
) -> Callable[[], Answer]:
    """
    Report outcomes, go on with up to `keep` jobs that follow them, and claim what is Ready,
    up to `want` together with these: one commit. What is returned waits for the answer. `line`
    says where to look, and learns from it.

    Instants become the database's: each is sent as the seconds that have passed since.
    Reporting the same outcomes again changes nothing.
    """
    me = {"worker": holder.name, "generation": holder.generation}
    now = time.monotonic()
    outcomes = sorted(outcomes, key=lambda o: o.claim.key)
    complete = [o for o in outcomes if o.state == "Complete"]
    others = [o for o in outcomes if o.state != "Complete"]
    line = line or Line()
    bands = line.bands()
    overlooks = line.left_out if complete or want else None
    completed = failed = claimed = _nothing
    # In the order of locks: `complete` goes on to the rows of runs, `claim` waits for none.
    with session.sending():
        if others:
            failed = session.send(
                "fail",
                **me,
                **_keys([o.claim for o in others]),
                **_ends(others, now),
                outcomes=array([o.state for o in others]),
                reasons=array([o.reason for o in others]),
                errors=array([o.error for o in others]),
                tracebacks=array([o.traceback for o in others]),
            )
        if complete:
            completed = session.send(
                "complete",
                **me,
                **_keys([o.claim for o in complete]),
                **_ends(complete, now),
                results=array([o.result for o in complete]),
                keep=keep,
                claim_id=claim_id,
                **bands,
            )
        if want:
            claimed = session.send(
                "claim",
                **me,
                want=want,
                idle=idle,
                claim_id=claim_id,
                after=max((o.claim.token for o in complete), default=NEWEST),
                **bands,
            )

    def answered() -> Answer:
        rows, claims = completed(), claimed()
        if rows:
            look = rows[-1]
            line.looked(look.looked, first=look.first, newest=look.newest)
        answer = _answer(complete, others, rows, failed(), claims)
        answer.overlooks = overlooks
        return answer

    return answered


def _nothing() -> list[Any]:
    return []


def _answer(
    complete: Sequence[Outcome],
    others: Sequence[Outcome],
    completed: list[Any],
    failed: list[Any],
    claimed: list[Any],
) -> Answer:
    answer = Answer(claims=[Claim.of(row) for row in claimed])
    if complete:
        *handed, total = completed
        answer.claims += [Claim.of(row) for row in handed]
        answer.left, answer.ended, answer.ready = total.left, total.ended, total.ready
        if total.accepted is not None:
            answer.refused += _missing(complete, total.accepted)
    answer.left += len(failed)
    answer.ready |= bool(failed)
    if len(failed) < len(others):
        answer.refused += _missing(others, [row.token for row in failed])
    return answer


def _missing(outcomes: Sequence[Outcome], accepted: Sequence[int]) -> list[int]:
    known = set(accepted)
    return [o.claim.token for o in outcomes if o.claim.token not in known]


def held(session: Session, holder: Registration, *, after: int = 0) -> list[Claim]:
    """What this registration holds, as the database knows it; of tokens `after` one, if one is given."""
    rows = session.many("held", worker=holder.name, generation=holder.generation, after=after)
    return [Claim._make(row) for row in rows]


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
        began=numbers([now - began for _, began in begun]),
    )


def give_back(session: Session, holder: Registration, claims: Collection[Claim]) -> int:
    """Give jobs to whoever wants them; their attempts are not counted. Returns how many were still held."""
    claims = sorted(claims, key=lambda claim: claim.key)
    return session.one(
        "give_back", worker=holder.name, generation=holder.generation, **_keys(claims)
    ).count


def append_log(session: Session, holder: Registration, parts: Sequence[LogPart]) -> None:
    """Keep lines of attempts. The same part twice is kept once."""
    session.run(
        "append_log",
        worker=holder.name,
        generation=holder.generation,
        **_keys([part.claim for part in parts]),
        attempts=numbers([p.attempt for p in parts]),
        logs=array([p.lines for p in parts]),
        parts=numbers([p.part for p in parts]),
    )


def archived(session: Session, claims: Sequence[Claim]) -> set[int]:
    """Those tokens among the claims that have an archive row."""
    rows = session.many(
        "archived",
        run_ids=numbers([claim.run_id for claim in claims]),
        tokens=numbers([claim.token for claim in claims]),
    )
    return {row.token for row in rows}


def compiled_jobs(session: Session, job_ids: Collection[int]) -> list[CompiledJob]:
    """Compiled jobs by id, and some that come behind them."""
    rows = session.many("compiled_jobs", job_ids=numbers(job_ids))
    return [CompiledJob(**row._asdict()) for row in rows]


def results_before(session: Session, run_id: int) -> dict[str, Any]:
    """The results that a run has so far, by job."""
    return {row.job: row.value for row in session.many("results_before", run_id=run_id)}


class OwnAttempt(Protocol):
    """An attempt with a transaction of its own, which is on another connection than reports."""

    run_id: int
    job: str
    item: int
    round: int
    token: int
    claim_id: int
    #: On this machine's monotonic clock.
    began: float


def begin_alone(
    connection: Connection,
    schema: str,
    *,
    worker: str,
    generation: int,
    attempt: OwnAttempt,
) -> None:
    """
    Mark a job as Running before a transaction of its own begins: nobody touches its row while that
    is open, so it completes at REPEATABLE READ too.
    """
    with connection.transaction():
        # Above this level it could fail where the worker marks the same row at the same moment.
        connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        Session(connection, schema, prepare=False).run(
            "mark_running",
            worker=worker,
            generation=generation,
            run_ids=numbers([attempt.run_id]),
            jobs=array([attempt.job]),
            items=numbers([attempt.item]),
            rounds=numbers([attempt.round]),
            tokens=numbers([attempt.token]),
            claim_ids=numbers([attempt.claim_id]),
            began=numbers([time.monotonic() - attempt.began]),
        )


def complete_within(
    connection: Connection,
    schema: str,
    *,
    worker: str,
    generation: int,
    code: str,
    attempt: OwnAttempt,
    result: str | None,
) -> bool:
    """
    Complete a job inside the caller's open transaction.
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
        began=time.monotonic() - attempt.began,
        result=result,
    )
    return row is not None


def _keys(claims: Sequence[Claim]) -> dict[str, str]:
    columns = zip(*[claim[:6] for claim in claims], strict=True) if claims else [()] * 6
    tokens, run_ids, jobs, items, rounds, claim_ids = columns
    return {
        "run_ids": numbers(run_ids),
        "jobs": array(jobs),
        "items": numbers(items),
        "rounds": numbers(rounds),
        "tokens": numbers(tokens),
        "claim_ids": numbers(claim_ids),
    }


def _ends(outcomes: Sequence[Outcome], now: float) -> dict[str, str]:
    return {
        "began": array([None if o.began is None else now - o.began for o in outcomes]),
        "ended": numbers([now - o.ended for o in outcomes]),
        "logs": array([o.log for o in outcomes]),
        "codes": array([o.code for o in outcomes]),
    }
