"""The workers of a campaign, each behind a proxy of its own, and what may be done to them."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.chaos.proxy import Network, Proxy
from tests.support.project import Project

#: What `rush worker` answers when the database is out of reach as it starts.
OUT_OF_REACH = 4

DAY = 86_400


class Clock:
    """A wall clock that can be set wrong, of a process that is started with its environment."""

    SOURCE = Path(__file__).with_name("clock.c")

    def __init__(self, path: Path, library: Path) -> None:
        self._path = path
        self._library = library
        self.set(0)

    def set(self, ahead: int) -> None:
        """So many seconds ahead; at once, in all processes that have it."""
        with self._path.open("r+b" if self._path.exists() else "wb") as file:
            file.write(ahead.to_bytes(8, "little", signed=True))

    @property
    def environment(self) -> dict[str, str]:
        return {"CHAOS_CLOCK": str(self._path), "LD_PRELOAD": str(self._library)}

    @classmethod
    def library(cls, folder: Path) -> Path | None:
        """What makes clocks wrong, compiled. None: there is no compiler here."""
        compiler = shutil.which("cc")
        if compiler is None:
            return None
        built = folder / "clock.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O2", "-o", built, cls.SOURCE, "-ldl"], check=True
        )
        return built


class Actor:
    """One worker, which is started again when it has been killed."""

    def __init__(
        self, name: str, rush: Project, proxy: Proxy, slots: int, clock: Clock | None
    ) -> None:
        self.name = name
        self.proxy = proxy
        #: Its own, which can be set wrong; None where it has that of the machine.
        self.clock = clock
        self._rush = rush
        self._slots = slots
        self._process: subprocess.Popen[bytes] | None = None
        self._may_end_with: set[int] = set()
        self._frozen: list[int] = []
        #: When to start it again, by the monotonic clock.
        self.start_at = 0.0
        #: The nemesis is at it.
        self.busy_until = 0.0
        #: It has been seen at work: from now on nothing ends it but a signal.
        self.settled = False
        self.starts = 0
        #: Ends that nobody has brought about.
        self.surprises: list[str] = []

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def leaving(self) -> bool:
        """It has been asked to end."""
        return 0 in self._may_end_with

    @property
    def frozen(self) -> bool:
        return bool(self._frozen)

    def keep_alive(self, now: float) -> None:
        """Start it when it is time to, and note how it has ended when nobody has ended it."""
        if self.lives:
            return
        if self._process is not None:
            self._note_end(self._process)
            self._process = None
            self.start_at = max(self.start_at, now + 0.1)
        if now >= self.start_at:
            self._start()

    def kill(self, *, away: float) -> None:
        """`kill -9`; it comes back after so many seconds."""
        assert self._process is not None
        self._may_end_with.add(-signal.SIGKILL)
        self.start_at = time.monotonic() + away
        self._process.kill()

    def leave(self, *, away: float) -> None:
        """SIGTERM: it leaves in good order, and comes back after so many seconds."""
        assert self._process is not None
        self._may_end_with.add(0)
        # A second signal, when it is through with this, would find no handler any more.
        self.settled = False
        self.start_at = time.monotonic() + away
        self._process.terminate()

    def freeze(self, *, runners: bool) -> None:
        """SIGSTOP: the supervisor, and its runners or not."""
        self._frozen = [self.pid, *(children(self.pid) if runners else ())]
        _signal(self._frozen, signal.SIGSTOP)

    def thaw(self) -> None:
        _signal(self._frozen, signal.SIGCONT)
        self._frozen = []

    def fill_log(self) -> None:
        """Nothing more can be written to the files that it has open, or opens (E1)."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def empty_log(self) -> None:
        if self.lives:
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, unlimited)

    def move_log(self, number: int) -> None:
        """Somebody moves the log away under it (E2)."""
        logs = self._rush.folder / "logs"
        with contextlib.suppress(FileNotFoundError):
            (logs / f"{self.name}.log").rename(logs / f"{self.name}.log.moved{number}")

    def runners(self) -> list[int]:
        """Its runners: what its template, its only child, has forked."""
        return children(self.pid)[1:]

    def end(self, timeout: float) -> str | None:
        """End it in good order. Returns what was wrong with that."""
        if self._process is None:
            return None
        self.thaw()
        self._process.terminate()
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return f"{self.name} did not end within {timeout:g} s of SIGTERM"
        return None if code == 0 else f"{self.name} ended with {code} on SIGTERM"

    def _start(self) -> None:
        self.starts += 1
        # Until it has settled it may say that the database is out of reach.
        self._may_end_with = {OUT_OF_REACH}
        self.settled = False
        self._process = self._rush.spawn(
            "worker", self.name, "--slots", str(self._slots), "--database-url", self.proxy.url,
            **(self.clock.environment if self.clock else {}),
        )  # fmt: skip
        self._rush.workers[f"{self.name} {self.starts}"] = self._process

    def settle(self) -> None:
        self.settled = True
        self._may_end_with.discard(OUT_OF_REACH)

    def _note_end(self, process: subprocess.Popen[bytes]) -> None:
        if process.returncode not in self._may_end_with:
            self.surprises.append(f"{self.name} ended by itself with {process.returncode}")


class Cast:
    """All of them."""

    def __init__(
        self,
        rush: Project,
        network: Network,
        url: str,
        *,
        workers: int,
        slots: int,
        clocks: bool = True,
    ) -> None:
        self._folder = rush.folder
        # Every second worker has a clock that can be set wrong.
        beside = rush.folder.parent
        library = Clock.library(beside) if clocks else None
        self.actors = [
            Actor(
                f"worker{n}", rush, network.proxy(url), slots,
                Clock(beside / f"clock{n}", library) if library and n % 2 == 0 else None,
            )
            for n in range(1, workers + 1)
        ]  # fmt: skip

    def keep_alive(self, at_work: dict[str, int]) -> None:
        """`at_work` are the process ids of those that have been heard of since they came, by name."""
        now = time.monotonic()
        for actor in self.actors:
            actor.keep_alive(now)
            if actor.lives and not actor.leaving and at_work.get(actor.name) == actor.pid:
                actor.settle()

    def free(self) -> list[Actor]:
        """Those that live and that nobody is at."""
        now = time.monotonic()
        return [a for a in self.actors if a.lives and not a.frozen and now >= a.busy_until]

    def left_over(self) -> list[int]:
        """Runners in this project's folder that still live."""
        return [pid for pid in _processes() if _works_in(pid, self._folder)]


def children(pid: int) -> list[int]:
    """What a process has started, and what these have: the template, and its runners."""
    with contextlib.suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        found = [int(child) for task in tasks for child in task.read_text().split()]
        return found + [further for child in found for further in children(child)]
    return []


def descriptors(pid: int) -> int:
    """How many files a process has open."""
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _works_in(pid: int, folder: Path) -> bool:
    try:
        here = Path(f"/proc/{pid}/cwd").resolve() == folder.resolve()
        return here and b"rush" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
