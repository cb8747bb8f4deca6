"""
The master: one thread that decides whatever needs to see more than one job at once.

    finish ─ timeouts ─ retries ─ requests ─ waiting ─ assign

are its tasks, in this order, each a set-based statement over everything that is due, in
a transaction that is fenced by the term. A round begins with what bells mostly ring for:
new runs of pipelines that are known, and their first jobs to idle workers, in one round
trip. One look at what there is (`outlook`) follows, so that a task with nothing to do
costs nothing. Between rounds the master rests until the bell rings, the next thing is due,
or the poll interval has passed.

It leads only while the election (`worker.heartbeat`) says so, and stops before each
task once its trust in the term has run out. A renewal that is confirmed late gives the
trust back, so the thread stays until the election or the fence says that the term is
over. No user code is ever imported here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from rush.config import Settings
from rush.descriptors import readable
from rush.domain.looks import Horizon, Line
from rush.domain.records import OwnWorker
from rush.errors import DatabaseError
from rush.master import assign, finish, requests, retries, waiting
from rush.master.alerts import Alerts
from rush.master.retention import Retention
from rush.master.tasks import Round
from rush.master.timeouts import Timeouts
from rush.store import runs
from rush.store.master_token import TermOver
from rush.store.session import channel
from rush.store.wire import Wire
from rush.store.workers import Registration

log = logging.getLogger("rush.master")

#: How often to look for workers that are gone, in seconds.
BURY_EVERY = 0.5
#: The same while there is no other worker: only what was left behind can be found then.
BURY_ALONE_EVERY = 60.0
#: How long to rest after a round that failed, in seconds, and after many.
PAUSE = 0.5
LONGEST_PAUSE = 5.0
#: How long the only worker may take to begin enough of what it was handed, in seconds.
FILLED_PAUSE = 0.15
#: For how long runs are made no faster than that, in seconds.
PACED_FOR = 0.5
#: Where more pipelines than this come at once, workers ask what their jobs are when they get some.
LEARNT_AT_ONCE = 5
#: More than any worker has.
NO_ROOM = float("inf")


class Master:
    """
    The thread. It is always there and acts only between `lead` and `step_down`. `connect`
    opens its session; it has none while it does not lead.
    """

    def __init__(self, settings: Settings, connect: Callable[[], Wire]) -> None:
        self._settings = settings
        self._connect = connect
        self._wake_reading, self._wake_writing = os.pipe()
        os.set_blocking(self._wake_reading, False)
        os.set_blocking(self._wake_writing, False)
        self._term: int | None = None
        self._trusted_until = 0.0
        self._own: _Own | None = None
        self._wants_room = NO_ROOM
        self._paced_from: float | None = None
        #: No other worker was there at the last look.
        self._alone = False
        self._thread: threading.Thread | None = None
        #: Transactions that were refused because their term was over.
        self.refused = 0

    # What the election says ---------------------------------------------------------------

    def lead(self, term: int, trusted_until: float, in_contact_since: float) -> None:
        """Be master in this term, until then or until told more."""
        self._trusted_until = trusted_until
        self._term = term
        self._thread = threading.Thread(
            target=self._lead, args=(term, in_contact_since), name="master", daemon=True
        )
        self._thread.start()

    def trust(self, until: float) -> None:
        lapsed = not self._trusted
        self._trusted_until = until
        if lapsed:
            self.ring()

    def step_down(self) -> None:
        self._term = None
        self.ring()

    def ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_writing, b".")

    @property
    def leading(self) -> bool:
        return self._term is not None

    def bind(self, registration: Registration, worker: OwnWorker) -> None:
        """The worker in this same process, and how it is registered."""
        self._own = _Own(registration, worker)

    @property
    def wants_room(self) -> float:
        """Ring it when the worker of this process has room for so many new jobs."""
        return self._wants_room if self.leading and self._trusted else NO_ROOM

    # The loop -----------------------------------------------------------------------------

    def _lead(self, term: int, in_contact_since: float) -> None:
        session: Wire | None = None
        tasks = Tasks(self._settings, self.ring, in_contact_since)
        rung = True
        pause = PAUSE
        while self._leads(term, session):
            rest = self._settings.poll_interval
            try:
                if self._trusted:
                    session = session or self._open()
                    rest = self._round(session, term, tasks, rung=rung)
                pause = PAUSE
            except TermOver as over:
                log.warning("%s", over)
                self.refused += 1
                break
            except (DatabaseError, psycopg.Error) as error:
                log.warning("a round failed: %s", str(error).strip().split("\n", maxsplit=1)[0])
                rest, pause = pause, min(pause * 2, LONGEST_PAUSE)
            except Exception:
                # The election goes on renewing this term, so nobody else would lead.
                log.exception("a round failed")
                rest, pause = pause, min(pause * 2, LONGEST_PAUSE)
            if pause > PAUSE and (own := self._own) is not None:
                # It may have been handed what nobody has told it of.
                own.worker.ring()
            if session is not None and session.connection.closed:
                session = None
            rung = rest == 0 or self._rest(session, rest)
        if session is not None:
            session.connection.close()

    def _open(self) -> Wire:
        session = self._connect()
        session.settle_plans()
        # Before the first look: what is rung for later comes by itself.
        session.listen(channel(session.schema, "master"))
        return session

    def _rest(self, session: Wire | None, seconds: float) -> bool:
        """
        Wait for the bell, for a call from another thread, or for the next thing that is due.
        Says whether somebody has rung.
        """
        if session is not None and session.rung():
            return True
        listening = [self._wake_reading]
        if session is not None:
            listening.append(session.fileno())
        return bool(readable(listening, seconds))

    def _leads(self, term: int, session: Wire | None) -> bool:
        """Whether there is a round to come. The bell first: stepping down rings it."""
        self._silence(session)
        return self._term == term

    def _silence(self, session: Wire | None) -> None:
        """What has rung until now is what the round that follows is for."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_reading, 4096)
        if session is not None:
            # What is wrong with it comes to light in the round.
            with contextlib.suppress(psycopg.Error):
                session.hear()

    @property
    def _trusted(self) -> bool:
        return time.monotonic() < self._trusted_until

    def _round(self, session: Wire, term: int, tasks: Tasks, *, rung: bool) -> float:
        """One round. Returns how many seconds to rest."""
        round = Round(session=session, term=term, queue_sets=tasks.queue_sets, line=tasks.line)
        self._wants_room = NO_ROOM
        if (own := self._own) is not None:
            round.own, round.room = own.registration, own.worker.reach(deep=self._alone)
            round.rouse = own.worker.rouse
            if self._alone:
                # What it has no room for waits, and nobody else could be handed anything.
                round.queue_sets = []
        round.requested_after, round.finished_after = (
            tasks.requested.after(),
            tasks.finished.after(),
        )
        # Before the look at what there is: this is what bells ring for, and somebody waits for it.
        all_plain = rung and requests.admit(round)
        # What the hand-out has left out may be seen now.
        all_handed_out = all_plain and not round.line.left_out
        self._tell_workers(round)
        outlook = runs.outlook(
            session,
            requested_after=round.requested_after,
            finished_after=round.finished_after,
            line=round.line,
        )
        tasks.learn(outlook)
        self._alone = outlook.workers == 1
        if outlook.requested and not rung:
            # A bell was lost.
            tasks.requested.look_at_all()
            return 0.0
        # Workers that have come since serve queues that nothing was handed out for.
        handed_out = all_handed_out and outlook.queue_sets == round.queue_sets
        round.queue_sets = outlook.queue_sets
        for task in tasks.due(outlook, all_plain=all_plain, handed_out=handed_out):
            if self._term != term or not self._trusted:
                log.warning("term %s is not trusted any more", term)
                break
            task(round)
            self._tell_workers(round)
        self._tell_of_compiled(round)
        if round.watchers:
            session.notify(channel(session.schema, "runs"))
        if round.more:
            return self._pace(round)
        self._paced_from = None
        return tasks.rest(outlook)

    def _pace(self, round: Round) -> float:
        """
        How long to rest while there is more to do. For a while runs are made as fast as the only
        worker begins them: what it is handed as it is made is written once less. Not for longer,
        since what stands further back in the line may be more urgent.
        """
        if not (self._alone and round.filled):
            return 0.0
        now = time.monotonic()
        if self._paced_from is None:
            self._paced_from = now
        if now - self._paced_from > PACED_FOR:
            return 0.0
        self._wants_room = min(requests.ADMITTED, round.room)
        return FILLED_PAUSE

    def _tell_workers(self, round: Round) -> None:
        """Nobody waits for what else this round has to do."""
        others = round.workers | {each.worker_id for each in round.handed}
        if (own := self._own) is not None:
            handed = [each for each in round.handed if each.worker_id == own.registration.id]
            if handed:
                own.worker.hand(handed)
            if own.registration.id in round.workers:
                own.worker.ring()
            others.discard(own.registration.id)
        if others:
            schema = round.session.schema
            round.session.notify(*(channel(schema, "worker", each) for each in sorted(others)))
        round.handed.clear()
        round.workers.clear()

    def _tell_of_compiled(self, round: Round) -> None:
        """The first run of a pipeline need not wait until its worker has asked what the jobs are."""
        own = self._own
        if own is not None and 0 < len(round.compiled) <= LEARNT_AT_ONCE:
            own.worker.learn(round.compiled)


@dataclass(frozen=True, slots=True)
class _Own:
    """The worker of the master's own process."""

    registration: Registration
    worker: OwnWorker


class Tasks:
    """The tasks of one term, and what they remember from round to round."""

    def __init__(
        self, settings: Settings, ring: Callable[[], None], in_contact_since: float
    ) -> None:
        self._settings = settings
        self._timeouts = Timeouts(
            in_contact_since=in_contact_since,
            grace=settings.kill_grace + 5.0,
            poison_limit=settings.poison_limit,
            outage_grace=settings.worker_lease,
        )
        self._pauses = waiting.Pauses()
        self._alerts = Alerts(settings.alert_command, settings.alert_webhook, ring)
        self._retention = Retention(settings.retention_days)
        self._buried_at = -BURY_ALONE_EVERY
        self.requested, self.finished, self.line = Horizon(), Horizon(), Line()
        #: The sets of queues that workers served at the last look.
        self.queue_sets: list[str] = []

    def learn(self, outlook: Any) -> None:
        """Where to look in the next round."""
        self.finished.looked(
            outlook.looked_at_finished, first=outlook.finished, newest=outlook.newest_finished
        )
        self.requested.looked(
            outlook.looked_at_requests, first=outlook.requested, newest=outlook.newest_request
        )
        self.line.looked(outlook.looked_at_line, first=outlook.first, newest=outlook.newest_turn)

    def due(
        self, outlook: Any, *, all_plain: bool, handed_out: bool
    ) -> list[Callable[[Round], None]]:
        """
        The tasks that have something to do, in their order. Where all requests were plain they
        have been taken; what is Ready may have been handed out already.
        """
        now = time.monotonic()
        self.queue_sets = outlook.queue_sets
        tasks: list[Callable[[Round], None]] = []
        if outlook.finished:
            tasks.append(finish.release)
        if outlook.cancelling:
            tasks.append(finish.sweep)
        if outlook.next_deadline is not None and outlook.next_deadline <= outlook.now:
            tasks.append(self._timeouts.fail_overdue)
        if outlook.failed:
            tasks.append(self._retry)
        if outlook.uncompiled:
            tasks.append(requests.compile_versions)
        if outlook.requested and not all_plain:
            tasks.append(requests.take)
        if self._pauses.due(outlook.paused):
            tasks.append(self._pauses.apply)
        if outlook.next_ready is not None and outlook.next_ready <= outlook.now:
            tasks.append(waiting.wake)
        # What is released or asked for in this round is handed out in this round.
        if tasks or (outlook.first and not handed_out):
            tasks.append(assign.assign)
        if now >= self._bury_at(outlook):
            self._buried_at = now
            tasks.insert(0, self._timeouts.bury)
        if outlook.next_alert is not None and (
            outlook.next_alert <= outlook.now or self._alerts.waiting
        ):
            tasks.append(self._alerts.call_due)
        if self._retention.due():
            tasks.append(self._retention.keep_up)
        return tasks

    def rest(self, outlook: Any) -> float:
        """Seconds until the next thing is due, at most the poll interval."""
        due = [outlook.next_ready, outlook.next_alert]
        seconds = [(at - outlook.now).total_seconds() for at in due if at is not None]
        if outlook.next_deadline is not None:
            grace = self._timeouts.grace
            seconds.append((outlook.next_deadline - outlook.now).total_seconds() + grace)
        seconds.append(self._settings.poll_interval)
        seconds += [look.wait() for look in (self.requested, self.finished, self.line)]
        seconds.append(self._bury_at(outlook) - time.monotonic())
        return max(0.02, min(seconds))

    def _bury_at(self, outlook: Any) -> float:
        return self._buried_at + (BURY_ALONE_EVERY if outlook.workers <= 1 else BURY_EVERY)

    def _retry(self, round: Round) -> None:
        retries.retry(round, poison_limit=self._settings.poison_limit)
