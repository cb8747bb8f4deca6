"""
Task: take run requests.

Most requests ask for the next run of a pipeline that can run: they become runs in one
statement. New definitions are compiled; what is wrong with one is kept beside it, and every
request for it is rejected with that reason. Then each pending request, oldest first, is
one of: a new run, a re-run of one that has ended (or of a Stuck job while the rest of
its run goes on), a cancel, or refused with a reason that says what is in the way.

A batch that holds something the database cannot take is taken again in halves, until
what is bad is alone and refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import errors as pg

from rush.domain.definition import read_definition
from rush.errors import DefinitionError
from rush.master.tasks import BATCH, Round
from rush.store import pipelines, requests, runs
from rush.store.session import Session

log = logging.getLogger("rush.master")

#: So many requests become runs at once: few enough that workers begin before all of them have.
ADMITTED = 500
#: No more than the master's own worker has room for, where that is so much at least.
WORTHWHILE = 100


def compile_versions(round: Round) -> None:
    """Compile the oldest definitions that nobody has compiled yet."""
    round.more |= _compile_oldest(round, 100)


def _compile_oldest(round: Round, limit: int) -> bool:
    try:
        with round.transaction() as session:
            versions = pipelines.uncompiled(session, limit=limit)
            first_jobs = [_compile(session, version) for version in versions]
        round.compiled += [job for job in first_jobs if job is not None]
    except (psycopg.DataError, psycopg.IntegrityError, pg.ProgramLimitExceeded) as error:
        log.warning("a definition cannot be stored: %s", error)
        if limit > 1:
            return _compile_oldest(round, limit // 2)
        with round.transaction() as session:
            versions = pipelines.uncompiled(session, limit=1)
            for version in versions:
                reason = f"it cannot be stored: {_first_line(error)}"
                pipelines.refuse_version(session, version.id, reason)
    return bool(versions)


def admit(round: Round) -> bool:
    """
    Make runs of the plain requests at the head of the line, and hand out what is Ready: one
    round trip, with which every round begins. Says whether there was nothing but plain ones.
    """
    limit = ADMITTED if round.room < WORTHWHILE else min(ADMITTED, round.room)
    try:
        with round.sending(meanwhile=round.rouse) as session:
            answer = requests.admit_next(
                session,
                limit=limit,
                after=round.requested_after,
                own=round.own,
                room=round.room,
                line=round.line,
            )
            assigned = [
                runs.assign(session, each, line=round.line) for each in round.queue_sets or ()
            ]
        admitted = answer()
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        # Also where somebody else has made a run just now: a conflict that is looked for costs more.
        log.warning("requests are decided one by one: %s", _first_line(error))
        return False
    round.handed += admitted.handed
    for handed in assigned:
        round.handed += handed()
    round.watchers |= admitted.made > 0
    round.filled = admitted.made == limit == len(admitted.handed)
    round.more |= admitted.made == limit
    return 0 < admitted.made == admitted.seen


def take(round: Round) -> None:
    """Decide about the oldest pending requests, whatever they are."""
    decided = _take(round, BATCH)
    round.watchers |= decided
    round.more |= decided


def _take(round: Round, limit: int) -> bool:
    """Whether anything was decided: what somebody else has locked is not."""
    try:
        with round.transaction() as session:
            pending = requests.pending_requests(session, limit=limit, after=round.requested_after)
            return _decide(session, pending)
    except psycopg.DataError as error:
        log.warning("a request cannot be taken: %s", error)
        if limit > 1:
            return _take(round, limit // 2)
        return _refuse_oldest(round, _why_not(error))


@dataclass(slots=True)
class Verdicts:
    """What is to become of a batch of requests."""

    refused: list[tuple[int, str, int | None]] = field(
        default_factory=list[tuple[int, str, int | None]]
    )
    #: (request, version, job to start from)
    new: list[tuple[int, int, int | None]] = field(
        default_factory=list[tuple[int, int, int | None]]
    )
    #: (request, run, its round, job to start from)
    again: list[tuple[int, int, int, int | None]] = field(
        default_factory=list[tuple[int, int, int, int | None]]
    )
    #: (request, run)
    cancelled: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def __bool__(self) -> bool:
        return bool(self.refused or self.new or self.again or self.cancelled)


def _compile(session: Session, version: Any) -> int | None:
    """Returns the first job of what can run."""
    try:
        definition = read_definition(version.definition, syntax="json")
    except DefinitionError as error:
        log.warning(
            "pipeline %s version %s cannot run: %s", version.pipeline, version.version, error
        )
        pipelines.refuse_version(session, version.id, str(error))
        return None
    first_job = pipelines.compile_version(session, version.id, definition)
    log.info("compiled pipeline %s version %s", version.pipeline, version.version)
    return first_job


def _decide(session: Session, pending: Sequence[Any]) -> bool:
    verdicts = Verdicts()
    for request in pending:
        _judge(request, verdicts)
    _refuse_blocked(session, verdicts)
    if verdicts.new:
        _start(session, verdicts.new)
    if verdicts.again:
        opened = requests.reopen(session, [(r, run, n) for r, run, n, _ in verdicts.again])
        requests.open_round(
            session, [(run, job) for r, run, _, job in verdicts.again if r in opened]
        )
    if verdicts.cancelled:
        requests.flag_cancelled(session, verdicts.cancelled)
    if verdicts.refused:
        requests.reject(session, verdicts.refused)
    return bool(verdicts)


def _judge(request: Any, verdicts: Verdicts) -> None:
    judge = _judge_cancel if request.action == "cancel" else _judge_start
    judge(
        request,
        verdicts,
        lambda reason: verdicts.refused.append((request.id, reason, request.run_id)),
    )


def _judge_cancel(request: Any, verdicts: Verdicts, refuse: Callable[[str], None]) -> None:
    name = f"{request.pipeline}/{request.jobinstance}"
    if request.jobinstance is None:
        refuse("a cancel must say which run: give its jobinstance")
    elif request.job is not None:
        refuse("a cancel is about a whole run: leave job out")
    elif request.nth > 1:
        return  # An earlier request for this very run is decided in this round.
    elif request.run_id is None:
        refuse(f"there is no run {name}")
    elif request.run_state not in ("Running", "Stuck"):
        refuse(f"{name} has ended: it is {request.run_state}")
    else:
        verdicts.cancelled.append((request.id, request.run_id))


def _judge_start(request: Any, verdicts: Verdicts, refuse: Callable[[str], None]) -> None:
    name = f"{request.pipeline}/{request.jobinstance}"
    if not request.known and request.run_id is None:
        refuse(f"there is no pipeline {request.pipeline}")
    elif request.run_id is None and not request.compiled:
        return  # It came after this round's compiling; the next round has it.
    elif request.run_id is None and request.error is not None:
        refuse(f"the definition of {request.pipeline} cannot run: {request.error}")
    elif request.job is not None and request.job_id is None:
        refuse(f"{request.pipeline} has no job {request.job}")
    elif request.jobinstance is not None and request.nth > 1:
        return  # An earlier request for this very run is decided in this round.
    elif request.run_id is None:
        verdicts.new.append((request.id, request.version_id, request.job_id))
    elif request.cancelling:
        refuse(f"{name} is being cancelled: ask again when it is Cancelled")
    elif request.run_state == "Running" and not request.job_stuck:
        refuse(f"{name} is still running: a run cannot be started twice")
    else:
        verdicts.again.append((request.id, request.run_id, request.round, request.job_id))


def _refuse_blocked(session: Session, verdicts: Verdicts) -> None:
    from_jobs = [(r, run, job) for r, run, _, job in verdicts.again if job is not None]
    if not from_jobs:
        return
    blocked = requests.blocked_reruns(session, from_jobs)
    for request_id, run_id, _ in from_jobs:
        if request_id in blocked:
            job, state = blocked[request_id]
            reason = f"it comes after {job}, which is {state}: run again from {job}"
            verdicts.refused.append((request_id, reason, run_id))
    verdicts.again = [again for again in verdicts.again if again[0] not in blocked]


def _start(session: Session, new: Sequence[tuple[int, int, int | None]]) -> None:
    made = requests.admit(session, [(request, version) for request, version, _ in new])
    later = [(made[r], job) for r, _, job in new if job is not None and r in made]
    if later:
        requests.open_round(session, later)


def _refuse_oldest(round: Round, reason: str) -> bool:
    with round.transaction() as session:
        oldest = requests.pending_requests(session, limit=1, after=round.requested_after)
        for request in oldest:
            requests.reject(session, [(request.id, f"it cannot be taken: {reason}", None)])
    return bool(oldest)


def _why_not(error: psycopg.DataError) -> str:
    if isinstance(error, pg.NumericValueOutOfRange):
        # The only number that a request makes is that of the run.
        return "the pipeline's last run has the highest number there is: say which jobinstance"
    return _first_line(error)


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]
