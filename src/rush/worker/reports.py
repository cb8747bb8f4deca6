"""
A worker's conversation with the database about the jobs that it holds.

One connection, one request at a time: what it hears is in the order of what was said, so
the supervisor never has to guess which of two answers is older.

A request that only reports and claims, which is nearly all of them, is sent by whoever says
it, and its answer is read when it has come: nobody waits, and no thread has to be woken.
All others, and every trouble, are a thread's. The connection is used by either of them, and
never by both: a request is with one of them until it is answered.

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
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import errors as pg

from rush.domain.looks import Line, Looks
from rush.domain.records import Answer, Claim, CompiledJob, LogPart, Outcome
from rush.errors import DatabaseError
from rush.store import held as store
from rush.store import workers
from rush.store.wire import Wire
from rush.store.workers import Registration

log = logging.getLogger("rush.worker")

#: Errors that pass: the statement is said again on the same connection.
PASSING = (pg.DeadlockDetected, pg.SerializationFailure, pg.LockNotAvailable, pg.QueryCanceled)

#: Of so many jobs is known what they are, before all that is forgotten and asked anew.
KNOWN = 20_000


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
    #: Ask what this worker holds: of tokens after this one will do, where a look at all takes long.
    ask_held: bool = False
    held_after: int = 0
    #: The database has failed over since this was begun: what it says is held and is not known
    #: here may have been over already.
    failed_over: bool = False
    #: Ask what these jobs are, which may be handed over some time.
    learn: set[int] = field(default_factory=set[int])
    #: Ask for the results of these runs, by the token of the job that wants them.
    results_of: dict[int, int] = field(default_factory=dict[int, int])

    @property
    def only_reports(self) -> bool:
        """Nothing but outcomes and a claim: one round trip."""
        return not (
            self.begun
            or self.logs
            or self.given_back
            or self.ask_held
            or self.learn
            or self.results_of
        )


@dataclass(slots=True, kw_only=True)
class Reply:
    """What came back."""

    request: Request
    answer: Answer
    #: Outcomes that nobody accepted and no archive row has: another attempt has moved on.
    overtaken: list[Outcome] = field(default_factory=list[Outcome])
    held: list[Claim] | None = None
    results: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    #: What the jobs are of which it speaks.
    compiled: Mapping[int, CompiledJob] = field(default_factory=dict[int, CompiledJob])
    #: Those among them that were not known before.
    learned: Sequence[CompiledJob] = ()


@dataclass(slots=True)
class _UnderWay:
    """A request that has been sent, and how to read its answer."""

    request: Request
    session: Wire
    answer: Callable[[], Answer]
    until: float


class Reporter:
    """
    `say` takes a request, `heard` gives the reply once it is there. `wake` is called from the
    thread when it is; while `wire` is not None, it can be read when there is an answer.
    """

    def __init__(
        self, connect: Callable[[], Wire], registration: Registration, wake: Callable[[], None]
    ) -> None:
        self._connect = connect
        self._wake = wake
        self._requests: queue.SimpleQueue[Request | Reply | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._session: Wire | None = None
        self._under_way: _UnderWay | None = None
        self._timeline: str | None = None
        self._compiled: dict[int, CompiledJob] = {}
        self._stopping = threading.Event()
        self.registration = registration
        self._line = Line()
        #: At what is held.
        self._looks = Looks()
        #: A request is under way.
        self.busy = False
        #: It may ask what this worker holds.
        self._asking_held = False
        self.thread = threading.Thread(target=self._run, name="reports", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def say(self, request: Request) -> None:
        assert not self.busy
        self.busy = True
        if not (request.only_reports and self._send(request)):
            self._leave_to_thread(request)

    def heard(self) -> Reply | None:
        """The reply to what was said, if it is there. Whoever says asks, nobody else."""
        reply = self._arrived() if self._under_way is not None else self._from_thread()
        if reply is not None:
            self.busy = self._asking_held = False
        return reply

    def known(self, claims: Sequence[Claim]) -> Mapping[int, CompiledJob] | None:
        """What these jobs are; None where that, or what else is held, must be asked."""
        if self._asking_held or not self._knows(claims):
            return None
        return self._compiled

    @property
    def wire(self) -> Wire | None:
        """What can be read when the answer to what was said is there; None: `wake` tells."""
        return None if self._under_way is None else self._under_way.session

    @property
    def due(self) -> float:
        """Until when the answer is waited for, on the monotonic clock."""
        return float("inf") if self._under_way is None else self._under_way.until

    # Without waiting --------------------------------------------------------------------

    def _send(self, request: Request) -> bool:
        """Whether it is on its way. If not, the thread says it."""
        session = self._session
        if session is None:
            return False
        try:
            answer = self._ask(session, request)
        except (psycopg.Error, OSError) as error:
            log.warning("no contact to the database: %s", _first_line(error))
            return False
        self._under_way = _UnderWay(request, session, answer, time.monotonic() + session.patience)
        return True

    def _arrived(self) -> Reply | None:
        """The reply, when all of it is here and nothing has to be asked behind it."""
        under_way = self._under_way
        assert under_way is not None
        try:
            if not under_way.session.arrived():
                if time.monotonic() >= under_way.until:
                    # An unknown commit, like every answer that was lost.
                    under_way.session.connection.close()
                    self._leave_to_thread(under_way.request)
                return None
            answer = under_way.answer()
        except (psycopg.Error, OSError) as error:
            # Said again, it meets the same once more, and there it is dealt with.
            log.info("a report is said again: %s", _first_line(error))
            self._leave_to_thread(under_way.request)
            return None
        reply = Reply(request=under_way.request, answer=answer)
        if answer.refused or not self._knows(answer.claims):
            self._leave_to_thread(reply)
            return None
        self._under_way = None
        reply.compiled = self._compiled
        return reply

    def _leave_to_thread(self, what: Request | Reply) -> None:
        self._under_way = None
        # On a new connection it will.
        self._asking_held = True
        self._requests.put(what)

    def _knows(self, claims: Sequence[Claim]) -> bool:
        return all(claim.job_id in self._compiled for claim in claims)

    def _from_thread(self) -> Reply | None:
        try:
            return self._replies.get_nowait()
        except queue.Empty:
            return None

    # The thread -------------------------------------------------------------------------

    def stop(self) -> None:
        """End the thread. A request that cannot be answered is given up."""
        self._stopping.set()
        self._requests.put(None)
        self.thread.join(timeout=10)

    def _run(self) -> None:
        while (what := self._requests.get()) is not None:
            reply = self._until_answered(what)
            if reply is None:
                return
            self._replies.put(reply)
            self._wake()
        if self._session is not None:
            self._session.connection.close()

    def _until_answered(self, what: Request | Reply) -> Reply | None:
        pause = Backoff()
        request = what.request if isinstance(what, Reply) else what
        while not self._stopping.is_set():
            try:
                session = self._open_session(request)
                if isinstance(what, Request):
                    what = self._say(session, what)
                return self._complete(session, what)
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

    def _open_session(self, request: Request) -> Wire:
        if self._session is None or self._session.connection.closed:
            self._session = self._connect()
            self._session.settle_plans(keyed=True)
            self._mind_the_timeline(self._session, request)
            # What was committed without our hearing of it must come to light.
            request.ask_held = True
            request.held_after = 0
        return self._session

    def _mind_the_timeline(self, session: Wire, request: Request) -> None:
        timeline, known = workers.timeline(session), self._timeline
        self._timeline = timeline or known
        request.failed_over |= known is not None and timeline not in (None, known)

    def _hang_up(self) -> None:
        if self._session is not None:
            self._session.connection.close()
            self._session = None

    def _say(self, session: Wire, request: Request) -> Reply:
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
        return reply

    def _complete(self, session: Wire, reply: Reply) -> Reply:
        """Ask what else belongs to a reply."""
        request = reply.request
        reply.overtaken = self._overtaken(session, request.outcomes, reply.answer.refused)
        if request.ask_held:
            reply.held = self._held(session, request)
        for token, run_id in request.results_of.items():
            reply.results[token] = store.results_before(session, run_id)
        claims = [*reply.answer.claims, *(reply.held or ())]
        reply.learned = self._learn(session, request.learn | {claim.job_id for claim in claims})
        reply.compiled = self._compiled
        return reply

    def _held(self, session: Wire, request: Request) -> list[Claim]:
        if self._looks.whole():
            request.held_after = 0
        began = time.monotonic()
        held = store.held(session, self.registration, after=request.held_after)
        self._looks.took(time.monotonic() - began)
        return held

    def _report(self, session: Wire, request: Request) -> Answer:
        try:
            return self._ask(session, request)()
        except psycopg.DataError as error:
            log.error("an outcome cannot be stored: %s", _first_line(error))
            return self._report_apart(session, request.outcomes)

    def _ask(self, session: Wire, request: Request) -> Callable[[], Answer]:
        return store.report(
            session,
            self.registration,
            request.outcomes,
            keep=request.keep,
            want=request.want,
            idle=request.idle,
            # What tells this claim from every other, made before it is sent.
            claim_id=secrets.randbits(62),
            line=self._line,
        )

    def _report_apart(self, session: Wire, outcomes: list[Outcome]) -> Answer:
        """Report in halves until what cannot be stored is alone; that attempt has failed."""
        whole = Answer()
        batches: list[list[Outcome]] = [outcomes]
        while batches:
            batch = batches.pop()
            try:
                answer = self._ask(session, Request(outcomes=batch))()
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
        self, session: Wire, outcomes: Sequence[Outcome], refused: Sequence[int]
    ) -> list[Outcome]:
        if not refused:
            return []
        tokens = set(refused)
        doubtful = [outcome for outcome in outcomes if outcome.claim.token in tokens]
        known = store.archived(session, [outcome.claim for outcome in doubtful])
        return [outcome for outcome in doubtful if outcome.claim.token not in known]

    def _learn(self, session: Wire, job_ids: set[int]) -> Sequence[CompiledJob]:
        """See to it that these jobs are known. Returns those that were not."""
        missing = job_ids - self._compiled.keys()
        if not missing:
            return ()
        if len(self._compiled) > KNOWN:
            self._compiled, missing = {}, job_ids
        learned = store.compiled_jobs(session, missing)
        self._compiled |= {job.id: job for job in learned}
        return learned


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
        # Most likely it is the result. If it is the log, this comes back without a result.
        log=outcome.log if outcome.result is not None else None,
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]
