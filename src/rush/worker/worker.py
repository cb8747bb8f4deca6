"""
A worker: one process of a machine, with slots for jobs.

    pulse (thread)      the lease, the bell, the election         one connection
    master (thread)     the master's tasks, while this is it      one connection
    this thread         the supervisor: runners, time, kills;
                        reports, without waiting for answers      one connection
    reports (thread)    what has to be waited for in between      the same

It ends in good order on SIGTERM and SIGINT: it takes nothing more, gives back what has
not begun, waits for what runs as long as the settings say, makes room as master, leaves
the table. The second signal means now.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Protocol

import rush
from rush.config import LoadedSettings
from rush.domain.records import Handed, OwnWorker
from rush.errors import ConfigurationError
from rush.store import workers
from rush.store.session import Session, channel
from rush.store.wire import Wire
from rush.store.workers import Identity, Registration
from rush.worker.heartbeat import Leader, Pulse, Terms
from rush.worker.process import RunnerProcess
from rush.worker.reports import Reporter
from rush.worker.runner import Greeting
from rush.worker.supervisor import Limits, Supervisor
from rush.worker.template import Template

log = logging.getLogger("rush.worker")

#: Bells for those who watch runs are rung no more often than this.
WATCH_EVERY = 0.1


class Master(Leader, Protocol):
    """The master's thread of this worker."""

    @property
    def leading(self) -> bool: ...

    def ring(self) -> None: ...

    @property
    def wants_room(self) -> float: ...

    @property
    def refused(self) -> int: ...

    def bind(self, registration: Registration, worker: OwnWorker) -> None: ...


class Worker:
    """
    One worker. `connect` and `wire` open sessions on Rush's schema, under a name for the
    purpose that `pg_stat_activity` shows; `run` returns when it has been told to stop.
    """

    def __init__(
        self,
        name: str,
        loaded: LoadedSettings,
        database_url: str,
        *,
        connect: Callable[[str], Session],
        wire: Callable[[str], Wire],
        master: Master,
    ) -> None:
        self.name = name
        self._settings = loaded.settings
        self._project = loaded.project
        self._database_url = database_url
        self._connect = connect
        self._wire = wire
        self._master = master
        self._slots = loaded.settings.slots or os.cpu_count() or 1
        self._wake_reading, self._wake_writing = os.pipe()
        os.set_blocking(self._wake_reading, False)
        os.set_blocking(self._wake_writing, False)
        self._signals = 0
        self._rung = True
        self._reload = False
        #: What the master in this same process has handed over.
        self._handed: deque[Handed] = deque()
        #: Of these jobs it may hand something over some time.
        self._to_learn: deque[int] = deque()
        #: When an answer about what is held was last heard.
        self._looked_at = 0.0
        self._over: Registration | None = None
        #: What is awaited was asked for by a registration that is over.
        self._outlived = False
        self._poll_at = 0.0
        self._watch_at = 0.0
        self._ready = False
        #: Nothing was Ready where the last look looked, and it has left something out.
        self._overlooked = False
        self._registration: Registration | None = None
        self._reporter: Reporter | None = None
        self._template = Template()
        self.supervisor = Supervisor(
            Limits(
                slots=self._slots,
                kill_grace=self._settings.kill_grace,
                max_log_bytes=self._settings.max_log_bytes,
                max_log_line=self._settings.max_log_line,
                runner_jobs=self._settings.runner_jobs,
                runner_memory_mb=self._settings.runner_memory_mb,
            ),
            self._start_runner,
        )
        self.supervisor.watch(self._wake_reading, self._woken)

    def run(self, *, ready: Callable[[], None] = lambda: None) -> None:
        """Work until a signal says stop. Raises ConfigurationError when the name is taken."""
        with self._handling_signals():
            pulse = self._enter()
            registration = self._registration
            assert registration is not None
            reporter = Reporter(lambda: self._wire("reports"), registration, self._wake)
            self._reporter = reporter
            self._master.bind(registration, self)
            self.supervisor.start()
            reporter.start()
            pulse.start()
            log.info("%s is ready: %s slots, queues %s, pid %s", self.name, self._slots,
                     ", ".join(self._settings.queues), os.getpid())  # fmt: skip
            ready()
            try:
                while not self._signals:
                    self._turn(pulse, reporter)
                self._stop(pulse, reporter)
            except Exception:
                log.exception("%s has failed", self.name)
                raise
            finally:
                self.supervisor.close()
                self._template.close()
                self._master.step_down()
                reporter.stop()
                pulse.stop(leave=True)
        log.info("%s has stopped", self.name)

    def stop(self) -> None:
        """What a signal does, for another thread."""
        self._signals += 1
        self._wake()

    # One turn ---------------------------------------------------------------------------

    def _turn(self, pulse: Pulse, reporter: Reporter) -> None:
        now = time.monotonic()
        if now >= self._poll_at:
            # Without a bell, and with a master that may be gone: ask what is ours, and help ourselves.
            self._poll_at = now + self._settings.poll_interval
            self._rung = True
            self._ready |= not self._master.leading
        if self._over is not None:
            self._begin_again(reporter)
        if self._reload:
            self._reload = False
            log.info("replacing the runners")
            self.supervisor.reload()
        if now >= pulse.trusted_until:
            self.supervisor.end_lost_contact()
        if self._handed:
            self._take_over(reporter)
        if self.reach(deep=True) >= self._master.wants_room or (
            self._master.wants_room < float("inf") and self.supervisor.idle()
        ):
            self._master.ring()
        self._converse(pulse, reporter, claim=True)
        self.supervisor.wait(max(0.0, min(self._poll_at, reporter.due) - time.monotonic()))
        self._hear(pulse, reporter)

    def _take_over(self, reporter: Reporter) -> None:
        """
        Begin what the master in this same process has handed over. It is looked up, like what
        another master hands over, where the jobs are not known yet, and where an answer about
        what is held is awaited, which may be older, or has been heard since it was handed out:
        then it may have been begun already, and be over.
        """
        assert self._registration is not None
        handed = [self._handed.popleft() for _ in range(len(self._handed))]
        claims = [e.claim for e in handed if e.generation == self._registration.generation]
        compiled = reporter.known(claims)
        if compiled is None or any(e.since <= self._looked_at for e in handed):
            self._rung = True
        else:
            self.supervisor.take_over(claims, compiled)

    def _converse(self, pulse: Pulse, reporter: Reporter, *, claim: bool) -> None:
        """Say what there is to say, unless an answer is still awaited."""
        if reporter.busy:
            return
        takes = claim and time.monotonic() < pulse.trusted_until
        hungry = takes and self.supervisor.room() > 0
        if not (
            self._rung or self._to_learn or self.supervisor.has_news() or (self._ready and hungry)
        ):
            return
        # Taken before it is acted on: a bell that rings meanwhile rings for the next time.
        rung, self._rung = self._rung, False
        request = self.supervisor.news()
        request.ask_held = rung
        request.learn = {self._to_learn.popleft() for _ in range(len(self._to_learn))}
        if rung:
            request.held_after = self.supervisor.held_after
        if not takes:
            request.keep = 0
        if not hungry or not (self._ready or request.committed):
            # Nothing was Ready when it was last looked. A bell means that the master has
            # handed something over: that is held already.
            request.want = 0
        reporter.say(request)
        self._attend(reporter)

    def _attend(self, reporter: Reporter) -> None:
        wire = reporter.wire
        if wire is None:
            self.supervisor.attend(None)
        else:
            self.supervisor.attend(wire.fileno(), writing=wire.unsent)

    def _hear(self, pulse: Pulse, reporter: Reporter) -> None:
        reply = reporter.heard()
        self._attend(reporter)
        if reply is None:
            return
        if self._outlived:
            self._outlived = False
            # What it brings may be others' by now: what is ours is looked up.
            reply.answer.claims, reply.held = [], None
            self._rung = True
        if reply.held is not None:
            self._looked_at = time.monotonic()
        answer = reply.answer
        filled = bool(reply.request.want) and len(answer.claims) >= reply.request.want
        unasked = self._ready and not reply.request.want
        self._ready = filled or answer.ready or unasked
        if answer.overlooks is not None:
            self._overlooked = answer.overlooks and not self._ready
        if answer.left or reply.request.committed:
            self._ring_master(pulse)
        if answer.ended and time.monotonic() >= self._watch_at:
            self._watch_at = time.monotonic() + WATCH_EVERY
            pulse.ring(channel(self._settings.schema, "runs"))
        self.supervisor.take_in(reply)
        if self._overlooked and self.supervisor.idle():
            # What the look has left out may be all there is: the master looks again soon.
            self._overlooked = False
            self._ring_master(pulse)

    def _ring_master(self, pulse: Pulse) -> None:
        if self._master.leading:
            self._master.ring()
        else:
            pulse.ring(channel(self._settings.schema, "master"))

    def _begin_again(self, reporter: Reporter) -> None:
        """This worker was declared dead: what it holds is others' now."""
        registration, self._over = self._over, None
        assert registration is not None
        self._registration = registration
        self._master.bind(registration, self)
        self.supervisor.let_go()
        self._outlived = reporter.busy
        reporter.registration = registration
        self._rung = True

    # The end ----------------------------------------------------------------------------

    def _stop(self, pulse: Pulse, reporter: Reporter) -> None:
        log.info("stopping: waiting up to %g s for what runs", self._settings.stop_grace)
        # Room for another master first, so that none of what follows waits for an election.
        pulse.retire()
        self.supervisor.drain()
        # What was handed over until then, and not heard of yet, goes back too.
        self._rung = True
        until = time.monotonic() + self._settings.stop_grace
        while self._unsettled(reporter) and self._signals < 2 and time.monotonic() < until:
            self._settle(pulse, reporter)
        if self.supervisor.holding:
            log.warning("giving back %s jobs that still run", self.supervisor.holding)
            self.supervisor.stop_running(now=self._signals >= 2)
        until = time.monotonic() + self._settings.kill_grace + 5
        while self._unsettled(reporter) and time.monotonic() < until:
            self._settle(pulse, reporter)

    def _unsettled(self, reporter: Reporter) -> bool:
        return (
            self._rung
            or bool(self._handed)
            or bool(self.supervisor.holding)
            or self.supervisor.has_news()
            or reporter.busy
        )

    def _settle(self, pulse: Pulse, reporter: Reporter) -> None:
        if self._handed:
            self._take_over(reporter)
        self._converse(pulse, reporter, claim=False)
        self.supervisor.wait(0.1)
        self._hear(pulse, reporter)

    # From other threads and from signals --------------------------------------------------

    def ring(self) -> None:
        self._rung = True
        self._wake()

    def hand(self, handed: list[Handed]) -> None:
        self._handed.extend(handed)
        try:
            with self.supervisor.borrowed() as mine:
                # Nobody waits until the thread that rests has woken up.
                if mine and self._over is None and self._reporter is not None:
                    self._take_over(self._reporter)
        finally:
            self._wake()

    def reach(self, *, deep: bool) -> int:
        return max(0, self.supervisor.reach(deep=deep) - len(self._handed))

    def rouse(self) -> None:
        with self.supervisor.borrowed() as mine:
            if mine and not self.supervisor.holding:
                self.supervisor.rouse()

    def learn(self, job_ids: list[int]) -> None:
        self._to_learn.extend(job_ids)
        self._wake()

    def _is_over(self, registration: Registration) -> None:
        self._over = registration
        self._wake()

    def _asked_to_reload(self) -> None:
        self._reload = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_writing, b".")

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_reading, 4096)

    @contextlib.contextmanager
    def _handling_signals(self) -> Generator[None]:
        def count(number: int, frame: FrameType | None) -> None:
            self.stop()

        def reload(number: int, frame: FrameType | None) -> None:
            self._asked_to_reload()

        handlers = {signal.SIGTERM: count, signal.SIGINT: count, signal.SIGHUP: reload}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # Beginnings ---------------------------------------------------------------------------

    def _enter(self) -> Pulse:
        """Register, waiting for the lease of a predecessor of the same name that has just died."""
        pulse = Pulse(
            self._open_pulse,
            self._identity(),
            Terms(
                lease=self._settings.worker_lease,
                expiry=self._settings.master_expiry,
                poll=self._settings.poll_interval,
            ),
            self._master,
            on_bell=self.ring,
            on_over=self._is_over,
            on_clock=self.supervisor.set_clock,
            on_reload=self._asked_to_reload,
            progress=lambda: self.supervisor.progress,
            stale_writes=lambda: self.supervisor.refused + self._master.refused,
        )
        self._registration = pulse.register()
        if self._registration is None:
            raise ConfigurationError(self._name_taken())
        return pulse

    def _open_pulse(self) -> Wire:
        """Its answers come within a third of a lease, or it is of no use."""
        wire = self._wire("pulse")
        shortest = min(self._settings.worker_lease, self._settings.master_expiry)
        wire.bound(max(1.0, shortest / 3))
        return wire

    def _name_taken(self) -> str:
        session = self._connect("names")
        row = workers.worker(session, self.name)
        session.connection.close()
        who = (
            ""
            if row is None
            else f" (pid {row.pid} on {row.host}, seen {row.last_seen:%H:%M:%S} UTC)"
        )
        return (
            f"there is a worker named {self.name} already{who}. "
            "Give this one another name; if that one is dead, its name is free when its lease is over"
        )

    def _identity(self) -> Identity:
        return Identity(
            name=self.name,
            slots=self._slots,
            queues=self._settings.queues,
            host=socket.gethostname(),
            boot_id=_boot_id(),
            pid=os.getpid(),
            version=rush.__version__,
            code=code_version(self._project),
        )

    def _start_runner(self) -> RunnerProcess:
        assert self._registration is not None
        settings = self._settings
        allowed = settings.allowed_modules
        return RunnerProcess(
            self._template,
            Greeting(
                project=str(self._project),
                allowed_modules=None if allowed is None else list(allowed),
                database_url=self._database_url,
                schema=settings.schema,
                worker=self.name,
                generation=self._registration.generation,
                code=code_version(self._project),
                log_level=settings.log_level,
                max_log_line=settings.max_log_line,
                max_log_bytes=settings.max_log_bytes,
                max_result_bytes=settings.max_result_bytes,
            ),
        )


def code_version(project: Path) -> str:
    """Twelve hex digits that change when a Python file of the project does."""
    digest = hashlib.sha256()
    for path in _python_files(project):
        with contextlib.suppress(OSError):
            state = path.stat()
            digest.update(
                f"{path.relative_to(project)} {state.st_size} {state.st_mtime_ns}\n".encode()
            )
    return digest.hexdigest()[:12]


def _python_files(project: Path, limit: int = 5000) -> Iterator[Path]:
    """The project's Python files in a settled order; hidden folders and environments are none of it."""
    seen = 0
    for folder, folders, files in os.walk(project):
        folders[:] = sorted(
            name for name in folders
            if not name.startswith((".", "__")) and not Path(folder, name, "pyvenv.cfg").exists()
        )  # fmt: skip
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(folder, name)
                seen += 1
                if seen >= limit:
                    return


def _boot_id() -> str:
    """Tells one boot of this machine from another."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{socket.gethostname()} {time.time() - time.monotonic():.0f}"
