"""
What a demo that was killed leaves behind: its worker, and a server that nobody stops.

    <folder>/.rush/
      demo.lock         held by a demo; there is something in it while that has to stop the server
      demo-worker.lock  held by the demo's worker, whose pid is in it

A pid can be another's by now. A lock (flock) that a process has inherited is held exactly
as long as the process lives.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rush.errors import ConfigurationError, RushError

STEP = 0.02


class DemoLock:
    """Held while a demo is on in a folder."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        #: Whether the last demo here was killed before it could stop its server.
        self.server_was_left = bool(file.read())

    def note_server(self, *, to_be_stopped: bool) -> None:
        """Let the next demo know, should this one be killed."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write("the server is to be stopped\n" if to_be_stopped else "")
        self._file.flush()


@contextmanager
def the_only_demo(folder: Path) -> Generator[DemoLock]:
    """Raises ConfigurationError while there is another demo with this folder `.rush`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "demo.lock"
    path.touch()
    with path.open("r+") as file:
        if not _taken(file.fileno()):
            raise ConfigurationError(
                f"a demo is under way in {folder.parent}: wait until it is over"
            )
        lock = DemoLock(file)
        try:
            yield lock
        finally:
            lock.note_server(to_be_stopped=False)


class WorkerLock:
    """Held while the worker of a demo lives, whatever has become of the demo."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "demo-worker.lock"

    @contextmanager
    def to_inherit(self) -> Generator[int]:
        """A descriptor that holds the lock, for the worker to be started with. Nobody else may hold it."""
        with self._opened() as descriptor:
            if not _taken(descriptor):
                raise RushError(
                    f"a process that an earlier demo has started holds {self._path}: end it"
                )
            os.ftruncate(descriptor, 0)
            yield descriptor

    def note_pid(self, pid: int) -> None:
        self._path.write_text(str(pid))

    def left(self) -> int | None:
        """The pid of a worker that lives and was left behind."""
        return int(self._path.read_text() or 0) or None if self._is_held() else None

    def end(self, pid: int, *, patience: float) -> None:
        """End a worker that was left: in good order, unless that takes longer than `patience` seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            if self._is_free_within(patience):
                return

    def _is_free_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._is_held():
            if time.monotonic() > deadline:
                return False
            time.sleep(STEP)
        return True

    def _is_held(self) -> bool:
        if not self._path.exists():
            return False
        with self._opened() as descriptor:
            return not _taken(descriptor)

    @contextmanager
    def _opened(self) -> Generator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
