"""
A worker's lease, the bell, and the master's token: one thread, one connection, no work.

The thread renews the worker's lease every third of it, listens for bells, and stands
for election. None of that ever waits behind a job, a report or a master's task.

    follower ── the token is free, or its holder's session is gone ──▶ leader
    leader   ── renewal refused, or not confirmed in time ──────────▶ follower
    leader   ── resigns ────────────────────────────────────────────▶ follower

A lease is trusted only until (start of the attempt that renewed it + its length, less a
margin), on the monotonic clock: a slow answer never stretches it. An error is no
renewal. A registration that finds no row on a heartbeat is over: somebody has declared
this worker dead, and all that it holds is others'. It registers anew then.

A server that is on another timeline than before was a standby, or comes from a backup, and may
have lost what was committed last. Then a term is given up at once, and the registration is good
only if the server knows it (what is held is compared in `reports`).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import psycopg

from rush.descriptors import readable
from rush.domain.clocks import ClockWatch
from rush.errors import DatabaseError
from rush.store import master_token, server, workers
from rush.store.session import Session, channel
from rush.store.workers import Identity, Registration
from rush.worker.reports import Backoff

log = logging.getLogger("rush.worker")

#: How much of a lease is not trusted, in seconds: for what lies between clock and action.
MARGIN = 1.0
#: While jobs say how far they have come, the table is told this often, in seconds.
PROGRESS_EVERY = 1.0
#: A session must be gone this long before its end is believed to be a death.
GONE_FOR = 1.0

POOLED = (
    "the database is behind a pooler: bells are not heard here, so this worker looks every %g s "
    "(poll_interval), and its death is noticed after %g s (worker_lease)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long things last, in seconds."""

    lease: float
    expiry: float
    poll: float


class Leader(Protocol):
    """The master's thread, as the election sees it."""

    def lead(self, term: int, trusted_until: float, in_contact_since: float) -> None:
        """Begin to be master. Since that instant no heartbeat of this worker has been missed."""

    def trust(self, until: float) -> None:
        """The term has been renewed."""

    def step_down(self) -> None:
        """The term is over, or not sure any more."""


class Pulse:
    """
    The thread. `on_bell` is called when this worker is rung, `on_over` with the new
    registration when the old one was declared dead, `on_clock` with the database's time.
    """

    def __init__(
        self,
        connect: Callable[[], Session],
        identity: Identity,
        terms: Terms,
        leader: Leader,
        *,
        on_bell: Callable[[], None],
        on_over: Callable[[Registration], None],
        on_clock: Callable[[datetime, float], None],
        on_reload: Callable[[], None],
        progress: Callable[[], dict[int, list[float | None]]],
        stale_writes: Callable[[], int],
    ) -> None:
        self._connect = connect
        self._identity = identity
        self._terms = terms
        self._leader = leader
        self._on_bell = on_bell
        self._on_over = on_over
        self._on_clock = on_clock
        self._on_reload = on_reload
        self._progress = progress
        self._stale_writes = stale_writes
        self._session: Session | None = None
        self._registration: Registration | None = None
        self._wake_reading, self._wake_writing = os.pipe()
        os.set_blocking(self._wake_reading, False)
        self._to_ring: set[str] = set()
        self._lock = threading.Lock()
        self._stopping = False
        self._retiring = False
        self._retired = threading.Event()
        self._timeline: str | None = None
        self._term: int | None = None
        #: The highest term that there has been, as far as is known here.
        self._seen_term = 0
        self._term_until = 0.0
        self._beat_at = 0.0
        self._renew_at = 0.0
        self._stand_at = 0.0
        self._gone: tuple[int, float] | None = None
        #: The lease is ours until this monotonic instant.
        self.trusted_until = 0.0
        #: From this monotonic instant on, this worker has renewed its lease whenever it was due.
        self._in_contact_since = 0.0
        self._clock = ClockWatch()
        #: Writes of this thread that were refused; those that the table knows under this name of
        #: others before; and how many of this process's it has been told of.
        self._refused = self._refused_before = self._refused_told = 0
        self.thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def register(self) -> Registration | None:
        """Enter the table, on the connection that the thread will use. None: the name is taken."""
        self._session = self._connect()
        self._timeline = workers.timeline(self._session)
        self._registration = self._enter(self._session)
        for trap in server.traps(self._session).told():
            log.warning("%s", trap)
        return self._registration

    def start(self) -> None:
        self.thread.start()

    def ring(self, *names: str) -> None:
        """Ring bells from here, together with what others ring at the same time."""
        with self._lock:
            self._to_ring.update(names)
        self._wake()

    def retire(self, *, within: float = 2.0) -> None:
        """
        Take no more jobs, stand for election no more, and make room at once where this
        worker is master. Waits so many seconds for it: then nobody hands it anything.
        """
        self._retiring = True
        self._wake()
        self._retired.wait(within)

    def stop(self, *, leave: bool) -> None:
        """End the thread; `leave` takes the worker out of the table."""
        self._stopping = True
        self._wake()
        self.thread.join(timeout=10)
        if self._session is None:
            return
        try:
            if leave and self._registration is not None:
                refused = self._refused_before + self._refused + self._stale_writes()
                workers.leave(self._session, self._registration, stale_writes=refused)
                self._session.notify(
                    channel(self._session.schema, "master"),
                    channel(self._session.schema, "workers"),
                )
        except psycopg.Error as error:
            log.warning("could not leave the table of workers: %s", error)
        self._session.connection.close()

    # The thread -------------------------------------------------------------------------

    def _run(self) -> None:
        pause = Backoff(longest=2.0)
        while not self._stopping:
            try:
                session = self._session or self._reconnect()
                self._round(session)
                pause = Backoff(longest=2.0)
            except (DatabaseError, psycopg.Error, OSError) as error:
                log.warning("no heartbeat: %s", str(error).strip().split("\n", maxsplit=1)[0])
                self._hang_up()
                self._distrust(time.monotonic())
                time.sleep(pause.next())
        self._distrust(float("inf"))

    def _round(self, session: Session) -> None:
        now = time.monotonic()
        self._distrust(now)
        if now >= self._beat_at:
            self._beat(session)
        if self._term is not None and now >= self._renew_at:
            self._renew(session, self._term)
        if self._retiring and not self._retired.is_set():
            self._retire(session)
        elif self._term is None and not self._retiring and now >= self._stand_at:
            self._stand(session)
        self._ring(session)
        self._rest(session)

    def _beat(self, session: Session) -> None:
        assert self._registration is not None
        if session.pooled:
            # The pooler's connection outlives the server that is behind it.
            self._mind_the_timeline(session)
        began = time.monotonic()
        progress = self._progress()
        refused = self._refused + self._stale_writes()
        row = workers.heartbeat(
            session,
            self._registration,
            lease=self._terms.lease,
            progress=progress,
            stale_writes=self._refused_before + refused,
        )
        if row is None:
            self._refused += 1
            self._register_anew(session)
            return
        self._refused_told = refused
        now = time.monotonic()
        jumped = self._clock.jumped(row.now.timestamp(), asked=began, heard=now)
        # The database was out of reach, or this process was frozen, or leases mean nothing for now.
        if now >= self.trusted_until or jumped:
            self._in_contact_since = now
        self.trusted_until = began + self._terms.lease - min(MARGIN, self._terms.lease / 5)
        self._beat_at = began + min(self._terms.lease / 3, PROGRESS_EVERY if progress else 3600)
        self._on_clock(row.now, began)
        if row.reload:
            workers.reloaded(session, self._registration, self._identity.code)
            self._on_reload()

    def _renew(self, session: Session, term: int) -> None:
        assert self._registration is not None
        began = time.monotonic()
        if master_token.renew(session, self._registration, term, expiry=self._terms.expiry):
            self._term_until = self._trusted(began)
            self._leader.trust(self._term_until)
            self._renew_at = began + self._terms.expiry / 3
        else:
            log.warning("term %s was not renewed: there is another master", term)
            self._refused += 1
            self._lose()

    def _stand(self, session: Session) -> None:
        """Take the token if it is free, or if its holder has been seen to be gone for a while."""
        assert self._registration is not None
        began = time.monotonic()
        self._stand_at = began + min(self._terms.poll, self._terms.expiry / 3)
        state = master_token.master(session)
        self._seen_term = max(self._seen_term, state.term)
        gone_term = self._believed_gone(state, began)
        if not state.expired and gone_term is None:
            return
        # A lease that is over may be a clock that has jumped: a new master must know.
        self._beat(session)
        term = master_token.elect(
            session,
            self._registration,
            expiry=self._terms.expiry,
            gone_term=gone_term,
            seen=self._seen_term,
        )
        if term is None:
            return
        log.info("master in term %s", term)
        self._term = self._seen_term = term
        self._term_until = self._trusted(began)
        self._renew_at = began + self._terms.expiry / 3
        # Told before anything else can fail: this term is renewed from now on.
        self._leader.lead(term, self._term_until, self._in_contact_since)

    def _believed_gone(self, state: object, now: float) -> int | None:
        """The term whose session has been gone for long enough, if there is one."""
        term: int = state.term  # pyright: ignore[reportAttributeAccessIssue]
        if not state.session_gone:  # pyright: ignore[reportAttributeAccessIssue]
            self._gone = None
            return None
        if self._gone is None or self._gone[0] != term:
            self._gone = (term, now)
        self._stand_at = now + 0.25
        return term if now - self._gone[1] >= GONE_FOR else None

    def _trusted(self, began: float) -> float:
        return began + self._terms.expiry - min(MARGIN, self._terms.expiry / 5)

    def _distrust(self, now: float) -> None:
        if self._term is not None and now >= self._term_until:
            log.warning("term %s is not trusted any more", self._term)
            self._lose()

    def _lose(self) -> None:
        self._term = None
        self._leader.step_down()

    def _retire(self, session: Session) -> None:
        assert self._registration is not None
        workers.drain(session, self._registration.name, self._registration.generation)
        if (term := self._term) is not None:
            # What this term still has open is waited for by whoever takes the next one.
            self._lose()
            master_token.resign(session, self._registration, term)
            session.notify(channel(session.schema, "workers"))
            log.info("resigned from term %s", term)
        self._retired.set()

    def _register_anew(self, session: Session) -> None:
        log.warning("this worker was declared dead, or is not known; registering anew")
        if self._term is not None:
            self._lose()
        registration = self._enter(session)
        if registration is None:
            raise psycopg.OperationalError("another worker has taken this name")
        self._registration = registration
        self._on_over(registration)

    def _enter(self, session: Session) -> Registration | None:
        began = time.monotonic()
        registration = workers.register(
            session,
            self._identity,
            lease=self._terms.lease,
            dead_generation=self._dead_namesake(session),
        )
        if registration is not None:
            self._refused_before = registration.stale_writes - self._refused_told
            self._in_contact_since = time.monotonic()
            self.trusted_until = began + self._terms.lease - min(MARGIN, self._terms.lease / 5)
            self._beat_at = began + self._terms.lease / 3
            self._listen(session, registration)
            self._on_clock(registration.now, began)
            if session.pooled:
                log.warning(POOLED, self._terms.poll, self._terms.lease)
        return registration

    def _dead_namesake(self, session: Session) -> int | None:
        """The registration under this name, if its process was on this host and is gone."""
        row = workers.worker(session, self._identity.name)
        if row is None or row.host != self._identity.host or row.pid == self._identity.pid:
            return None
        if row.boot_id != self._identity.boot_id or not _is_alive(row.pid):
            return row.generation
        return None

    def _listen(self, session: Session, registration: Registration) -> None:
        session.listen(
            channel(session.schema, "worker", registration.id), channel(session.schema, "workers")
        )

    def _hear(self, session: Session) -> bool:
        """Whether bells have rung, which may have come with the answer to something else."""
        heard = False
        while (bell := session.connection.pgconn.notifies()) is not None:
            heard = True
            _, _, name = bell.relname.decode().partition(":")
            # Perhaps the master has resigned: that is worth a look at once.
            if name == "workers":
                self._stand_at = 0.0
            self._on_bell()
        return heard

    def _ring(self, session: Session) -> None:
        with self._lock:
            names, self._to_ring = self._to_ring, set()
        if names:
            session.notify(*names)

    def _rest(self, session: Session) -> None:
        """Wait for a bell, for a call from another thread, or for the next thing that is due."""
        if self._hear(session):
            return
        due = [self._beat_at]
        if self._term is not None:
            due += [self._renew_at, self._term_until]
        elif not self._retiring:
            due.append(self._stand_at)
        timeout = max(0.0, min(due) - time.monotonic())
        if self._stopping or (self._retiring and not self._retired.is_set()):
            timeout = 0.0
        connection = session.connection
        ready = readable([connection.fileno(), self._wake_reading], timeout)
        if self._wake_reading in ready:
            os.read(self._wake_reading, 4096)
        if connection.fileno() in ready:
            connection.pgconn.consume_input()
            self._hear(session)

    def _reconnect(self) -> Session:
        session = self._connect()
        assert self._registration is not None
        self._mind_the_timeline(session)
        self._listen(session, self._registration)
        workers.note_session(session, self._registration)
        self._session = session
        self._in_contact_since = time.monotonic()
        self._beat_at = self._renew_at = 0.0
        # What was rung while nobody listened.
        self._on_bell()
        return session

    def _mind_the_timeline(self, session: Session) -> None:
        """
        On another timeline nothing is ours that is not there: neither a term nor a registration,
        whose numbers may be somebody else's by now.
        """
        timeline, known = workers.timeline(session), self._timeline
        if timeline is None or timeline == known:
            return
        if known is None:
            self._timeline = timeline
            return
        log.warning("the database has failed over, from timeline %s to %s: what was committed last may be lost",
                    known, timeline)  # fmt: skip
        if self._term is not None:
            self._lose()
        assert self._registration is not None
        row = workers.worker(session, self._registration.name)
        mine = (self._registration.generation, self._identity.host, self._identity.pid)
        if row is None or (row.generation, row.host, row.pid) != mine:
            self._register_anew(session)
        self._timeline = timeline

    def _hang_up(self) -> None:
        if self._session is not None:
            self._session.connection.close()
            self._session = None

    def _wake(self) -> None:
        os.write(self._wake_writing, b".")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
