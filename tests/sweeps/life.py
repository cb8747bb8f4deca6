"""
One worker's life, broken at a chosen point.

    the worker starts ── a run of three jobs is asked for ── it completes ── SIGTERM

all of it through a proxy: registering, election, heartbeats, renewals, submit, claim, start,
log, complete, fail, retry, `self.transaction()`, resigning. A quiet life is recorded once; its
messages are the points. In a broken life something happens at one of them, and when the wire is
whole again (or another worker has come), everything must end as if nothing had been.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psycopg

from rush.client import Client
from rush.errors import DatabaseError
from tests.chaos.history import violations
from tests.chaos.proxy import CUT, CUT_AFTER, LOSE, Fault, Message, Network, Proxy, Side
from tests.chaos.scene import job, lay
from tests.support.project import Project, project
from tests.support.server import Server
from tests.support.waiting import wait_for
from tests.sweeps.nursery import Child, Nursery

How = Literal["cut before", "cut after", "reply lost", "kill before", "kill after"]

SETTINGS = {"worker_lease": 2.0, "master_expiry": 2.0, "poll_interval": 1.0}

JOBS = [
    job("extract", failures=1),
    job("transform", "extract", inside=True, seconds=0.05),
    job("load", "transform", reads=True, seconds=0.05),
]

#: A life is at least so long, in seconds, so that leases are renewed in it.
SHORTEST = 1.0
#: How long it may take until everything is over, in seconds.
PATIENCE = 40.0
#: What `rush worker` answers when the database is out of reach as it starts: a service manager starts it again.
OUT_OF_REACH = 4

FAULTS: dict[How, Fault] = {"cut before": CUT, "cut after": CUT_AFTER, "reply lost": LOSE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A message of a life, and what happens there: the third Execute of `report` toward the server."""

    session: str
    toward: Side
    kind: str
    query: str
    nth: int
    how: How

    def is_at(self, message: Message) -> bool:
        return (self.session, self.toward, self.kind, self.query, self.nth) == (
            message.session,
            message.toward,
            message.kind,
            message.query,
            message.nth,
        )

    def __str__(self) -> str:
        told = f"{self.kind} {self.query}".strip()
        return f"{self.how} {told} number {self.nth}, toward the {self.toward}, in {self.session}"


@dataclass(slots=True, kw_only=True)
class Ending:
    """How a broken life went."""

    #: The message came.
    met: bool = False
    problems: list[str] = field(default_factory=list)
    #: How often the worker had to be started again, since it had not reached the database.
    restarts: int = 0
    seconds: float = 0.0
    #: Attempts that the archive has.
    attempts: int = 0


class Place:
    """Where lives are lived: a server, a network, a folder for each."""

    def __init__(self, server: Server, network: Network, nursery: Nursery, folder: Path) -> None:
        self._nursery = nursery
        self._server = server
        self._network = network
        self._folder = folder

    def record(self) -> list[Message]:
        """The messages of a quiet life, in their order."""
        messages: list[Message] = []
        with self._life("quiet") as life:
            life.proxy.watch = messages.append
            life.has_all = lambda: any(message.query == "renew" for message in messages)
            ending = life.live()
            assert not ending.problems, (ending.problems, life.log())
        return messages

    def break_at(self, name: str, point: Point) -> Ending:
        """Live once more, with something happening at that point."""
        with self._life(name) as life:
            return life.live(point)

    @contextmanager
    def _life(self, name: str) -> Iterator[Life]:
        with ExitStack() as stack:
            url = stack.enter_context(self._server.database())
            proxy = self._network.proxy(url)
            stack.callback(proxy.close)
            made = stack.enter_context(project(self._folder / name, url, **SETTINGS))
            lay(made, {"life": JOBS})
            yield Life(made, proxy, self._nursery)


class Life:
    """One life. Whatever happens in it is told in its `Ending`."""

    def __init__(self, rush: Project, proxy: Proxy, nursery: Nursery) -> None:
        self._rush = rush
        self._nursery = nursery
        self.proxy = proxy
        self._ending = Ending()
        self._met = threading.Event()
        self._children: list[Child] = []
        self._process: Child | None = None
        #: What takes its time has come to pass.
        self.has_all: Callable[[], bool] = lambda: True

    def live(self, point: Point | None = None) -> Ending:
        began = time.monotonic()
        if point is not None:
            self.proxy.rule = self._rule(point)
        try:
            self._until_complete(began, heir=point is not None and point.how.startswith("kill"))
            self._stop()
            self._ending.problems += self._found()
        except AssertionError as error:
            self._ending.problems.append(str(error))
        finally:
            for child in self._children:
                child.kill()
                child.wait()
        self._ending.seconds = time.monotonic() - began
        return self._ending

    def log(self) -> str:
        """What its workers have logged."""
        return "\n".join(path.read_text() for path in (self._rush.folder / "logs").glob("*.log"))

    def _until_complete(self, began: float, *, heir: bool) -> None:
        self._process = self._start("alpha", self.proxy.url)
        asking = threading.Thread(target=self._ask)
        asking.start()
        self._each(
            lambda: self._state() == "Complete",
            heir,
            what=lambda: f"the run to end: {self._told()}",
        )
        asking.join(PATIENCE)
        # What has not come yet may come while the worker rests.
        self._each(
            lambda: time.monotonic() - began >= SHORTEST and self.has_all(),
            heir,
            what=lambda: "its time to pass",
        )

    def _each(self, over: Callable[[], bool], heir: bool, *, what: Callable[[], str]) -> None:
        """Wait for something, and start workers where they end."""

        def look() -> bool:
            self._start_again(heir)
            return over()

        wait_for(look, what=what, timeout=PATIENCE)

    def _ask(self) -> None:
        """Ask for a run, by a key: however often it is tried, there is one."""
        for _ in range(20):
            try:
                with Client(self.proxy.url) as client:
                    client.submit("life", idempotency_key="once")
                    return
            except DatabaseError:
                continue
        self._ending.problems.append("the run could not be asked for")

    def _start_again(self, heir: bool) -> None:
        assert self._process is not None
        code = self._process.poll()
        if code is None:
            return
        if heir and self._met.is_set():
            if code != -signal.SIGKILL:
                self._ending.problems.append(f"the worker ended with {code}")
            self._process = self._start("beta", self._rush.database)
        elif code == OUT_OF_REACH and self._ending.restarts < 3:
            self._ending.restarts += 1
            self._process = self._start("alpha", self.proxy.url)
        else:
            raise AssertionError(f"the worker ended by itself with {code}")

    def _start(self, name: str, url: str) -> Child:
        self._log = self._rush.folder / "logs" / f"{name}.log"
        self._told_before = self._log.stat().st_size if self._log.exists() else 0
        process = self._nursery.start(
            ["worker", name, "--slots", "1", "--database-url", url],
            self._rush.folder,
            self._rush.environment(),
            self._rush.folder / f"{name}.out",
        )
        self._children.append(process)
        return process

    def _stop(self) -> None:
        assert self._process is not None
        # One that has just been started listens to no signal yet: it would simply be gone.
        wait_for(
            lambda: self._is_ready() or self._process.poll() is not None,
            what="the worker to be ready",
            timeout=20,
        )
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(20)
        if code != 0 and not (self._met.is_set() and code == -signal.SIGKILL):
            raise AssertionError(f"the worker ended with {code} on SIGTERM")

    def _is_ready(self) -> bool:
        return self._log.exists() and b" is ready" in self._log.read_bytes()[self._told_before :]

    def _rule(self, point: Point) -> Callable[[Message], Fault | None]:
        def rule(message: Message) -> Fault | None:
            if not point.is_at(message):
                return None
            self._ending.met = True
            self._met.set()
            if point.how.startswith("kill"):
                assert self._process is not None
                self._process.kill()
            return FAULTS.get(point.how, CUT)

        return rule

    def _state(self) -> Any:
        return self._rush.one("SELECT state FROM rush.run")

    def _told(self) -> Any:
        return self._rush.sql(
            "SELECT r.state, r.open, s.job, s.state, s.attempt, s.worker, s.ready_at"
            " FROM rush.run r LEFT JOIN rush.run_state s ON s.run_id = r.id"
        )

    def _found(self) -> list[str]:
        with psycopg.connect(self._rush.database, autocommit=True) as connection:
            found = violations(connection)
            rows = connection.execute("SELECT count(*) FROM rush.run").fetchone()
            if rows != (1,):
                found.append(f"there are {rows} runs of one request")
            rows = connection.execute("SELECT count(*) FROM rush.archive").fetchone()
            assert rows is not None
            self._ending.attempts = rows[0]
        return found


def points(messages: list[Message], *, kills: bool) -> list[Point]:
    """
    Every point of a quiet life: each message with each way to break the wire there; or, of
    `kills`, each statement, before the server has it and when the server has done it.
    """
    found: list[Point] = []
    for message in messages:
        if kills:
            hows: tuple[How, ...] = (
                ("kill before",) if message.toward == "server" else ("kill after",)
            )
            if message.kind not in (("S", "Q") if message.toward == "server" else ("Z",)):
                continue
            if message.session == "rush client":
                continue
        elif message.toward == "server":
            hows = ("cut before", "cut after", "reply lost")
        else:
            hows = ("cut before", "cut after")
        found += [
            Point(
                session=message.session,
                toward=message.toward,
                kind=message.kind,
                query=message.query,
                nth=message.nth,
                how=how,
            )
            for how in hows
        ]
    return found
