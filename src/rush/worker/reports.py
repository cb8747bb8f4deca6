"""
A worker's conversation with the database about the jobs that it holds.

One thread, one connection, one request at a time: what it hears is in the order of
what was said, so the supervisor never has to guess which of two answers is older.

A request whose answer was lost is said again on a new connection, until it is answered:
every part of it changes nothing the second time. Outcomes are fenced by their token, so
those that had been committed are refused then, and their archive rows tell that they
had been. Claims that were committed unheard come to light because the first thing asked
on a new connection is what this worker holds.

After a failover the database may say that this worker holds what had been over, and was lost.
That is not begun a second time under its token: it is given back, for another hand-out.
"""

from __future__ import annotations

import logging
import queue
import random
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import errors as pg

from rush.domain.records import Answer, Claim, CompiledJob, LogPart, Outcome
from rush.errors import DatabaseError
from rush.store import held as store
from rush.store import workers
from rush.store.session import Session
from rush.store.workers import Registration

log = logging.getLogger("rush.worker")

#: Errors that pass: the statement is said again on the same connection.
PASSING = (pg.DeadlockDetected, pg.SerializationFailure, pg.LockNotAvailable, pg.QueryCanceled)


@dataclass(slots=True, kw_only=True)
class Request:
    """What a worker has to say, in the order in which it is said."""

    begun: list[tuple[Claim, float]] = field(default_factory=list[tuple[Claim, float]])
    logs: list[LogPart] = field(default_factory=list[LogPart])
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    given_back: list[Claim] = field(default_factory=list[Claim])
    #: Tokens of jobs that have completed in transactions of their own, which told nobody.
    committed: list[int] = field(default_factory=list[int])
    #: How many jobs may follow those that are reported, and how many are wanted in all.
    keep: int = 0
    want: int = 0
    idle: bool = False
    #: Ask what this worker holds.
    ask_held: bool = False
    #: The database has failed over since this was begun: what it says is held and is not known
    #: here may have been over already.
    failed_over: bool = False
    #: Ask for the results of these runs, by the token of the job that wants them.
    results_of: dict[int, int] = field(default_factory=dict[int, int])


@dataclass(slots=True, kw_only=True)
class Reply:
    """What came back."""

    request: Request
    answer: Answer
    #: Outcomes that nobody accepted and no archive row has: another attempt has moved on.
    overtaken: list[Outcome] = field(default_factory=list[Outcome])
    held: list[Claim] | None = None
    results: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    compiled: dict[int, CompiledJob] = field(default_factory=dict[int, CompiledJob])


class Reporter:
    """
    The thread. `say` hands it a request, `heard` gives the reply once it is there;
    `wake` is called from the thread when it is.
    """

    def __init__(
        self, connect: Callable[[], Session], registration: Registration, wake: Callable[[], None]
    ) -> None:
        self._connect = connect
        self._wake = wake
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._session: Session | None = None
        self._timeline: str | None = None
        self._compiled: dict[int, CompiledJob] = {}
        self._stopping = threading.Event()
        self.registration = registration
        #: A request is under way.
        self.busy = False
        self.thread = threading.Thread(target=self._run, name="reports", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def say(self, request: Request) -> None:
        assert not self.busy
        self.busy = True
        self._requests.put(request)

    def heard(self) -> Reply | None:
        """The reply to what was said, if it is there. To be called by one thread."""
        try:
            reply = self._replies.get_nowait()
        except queue.Empty:
            return None
        self.busy = False
        return reply

    def stop(self) -> None:
        """End the thread. A request that cannot be answered is given up."""
        self._stopping.set()
        self._requests.put(None)
        self.thread.join(timeout=10)

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            reply = self._until_answered(request)
            if reply is None:
                return
            self._replies.put(reply)
            self._wake()
        if self._session is not None:
            self._session.connection.close()

    def _until_answered(self, request: Request) -> Reply | None:
        pause = Backoff()
        while not self._stopping.is_set():
            try:
                session = self._session or self._reconnect(request)
                return self._say(session, request)
            except PASSING as error:
                log.info("the database asks to try again: %s", _first_line(error))
            except (
                DatabaseError,
                psycopg.OperationalError,
                psycopg.InterfaceError,
                OSError,
            ) as error:
                log.warning("no contact to the database: %s", _first_line(error))
                self._hang_up()
            except pg.ReadOnlySqlTransaction as error:
                log.warning("this server is read-only: %s", _first_line(error))
                self._hang_up()
            except Exception:
                # Whatever it is: this thread must not end while the lease goes on.
                log.exception("a request failed; trying again")
                self._hang_up()
            self._stopping.wait(pause.next())
        return None

    def _reconnect(self, request: Request) -> Session:
        self._session = self._connect()
        self._session.settle_plans(keyed=True)
        self._mind_the_timeline(self._session, request)
        # What was committed without our hearing of it must come to light.
        request.ask_held = True
        return self._session

    def _mind_the_timeline(self, session: Session, request: Request) -> None:
        timeline, known = workers.timeline(session), self._timeline
        self._timeline = timeline or known
        request.failed_over |= known is not None and timeline not in (None, known)

    def _hang_up(self) -> None:
        if self._session is not None:
            self._session.connection.close()
            self._session = None

    def _say(self, session: Session, request: Request) -> Reply:
        me = self.registration
        reply = Reply(request=request, answer=Answer())
        if request.begun:
            store.mark_running(session, me, request.begun)
        if request.logs:
            store.append_log(session, me, request.logs)
        if request.given_back:
            store.give_back(session, me, request.given_back)
        if request.outcomes or request.want:
            reply.answer = self._report(session, request)
            reply.overtaken = self._overtaken(session, request.outcomes, reply.answer.refused)
        if request.ask_held:
            reply.held = store.held(session, me)
        for token, run_id in request.results_of.items():
            reply.results[token] = store.results_before(session, run_id)
        reply.compiled = self._look_up([*reply.answer.claims, *(reply.held or ())])
        return reply

    def _report(self, session: Session, request: Request) -> Answer:
        try:
            return self._report_batch(
                session,
                request.outcomes,
                keep=request.keep,
                want=request.want,
                idle=request.idle,
            )
        except psycopg.DataError as error:
            log.error("an outcome cannot be stored: %s", _first_line(error))
            return self._report_apart(session, request.outcomes)

    def _report_batch(
        self,
        session: Session,
        outcomes: Sequence[Outcome],
        *,
        keep: int = 0,
        want: int = 0,
        idle: bool = False,
    ) -> Answer:
        # The id that tells this claim from every other, made before it is sent.
        claim_id = secrets.randbits(62)
        return store.report(
            session,
            self.registration,
            outcomes,
            keep=keep,
            want=want,
            idle=idle,
            claim_id=claim_id,
        )

    def _report_apart(self, session: Session, outcomes: Sequence[Outcome]) -> Answer:
        """Report in halves until what cannot be stored is alone; that attempt has failed."""
        whole = Answer()
        batches: list[Sequence[Outcome]] = [outcomes]
        while batches:
            batch = batches.pop()
            try:
                answer = self._report_batch(session, batch)
            except psycopg.DataError as error:
                if len(batch) == 1:
                    batches.append([_unstorable(batch[0], error)])
                else:
                    middle = len(batch) // 2
                    batches += [batch[middle:], batch[:middle]]
                continue
            whole.claims += answer.claims
            whole.refused += answer.refused
            whole.left += answer.left
            whole.ended += answer.ended
            whole.ready |= answer.ready
        return whole

    def _overtaken(
        self, session: Session, outcomes: Sequence[Outcome], refused: Sequence[int]
    ) -> list[Outcome]:
        if not refused:
            return []
        tokens = set(refused)
        doubtful = [outcome for outcome in outcomes if outcome.claim.token in tokens]
        known = store.archived(session, [outcome.claim for outcome in doubtful])
        return [outcome for outcome in doubtful if outcome.claim.token not in known]

    def _look_up(self, claims: Sequence[Claim]) -> dict[int, CompiledJob]:
        wanted = {claim.job_id for claim in claims}
        missing = wanted - self._compiled.keys()
        if missing:
            assert self._session is not None
            for job in store.compiled_jobs(self._session, missing):
                self._compiled[job.id] = job
        return {job_id: self._compiled[job_id] for job_id in wanted if job_id in self._compiled}


class Backoff:
    """Pauses that grow from a twentieth of a second to five, each with some chance in it."""

    def __init__(self, first: float = 0.05, longest: float = 5.0) -> None:
        self._pause = first
        self._longest = longest

    def next(self) -> float:
        pause, self._pause = self._pause, min(self._longest, self._pause * 2)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 (spreads reconnections, hides nothing)


def _unstorable(outcome: Outcome, error: psycopg.Error) -> Outcome:
    return Outcome(
        claim=outcome.claim,
        state="Failed",
        began=outcome.began,
        ended=outcome.ended,
        code=outcome.code,
        reason="raised",
        error=f"what this attempt left cannot be stored: {_first_line(error)}",
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]
