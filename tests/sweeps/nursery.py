"""
Where workers are born who have imported all they need: a sweep starts thousands of them, and half
of what a short life costs is imports.

    harness ── how to start ──▶ nursery        forks; the child is `rush` with these arguments
            ◀── its pid ──
            ── a pid ─────────▶
            ◀── its exit code, or that it lives ──

The nursery has one thread and runs nothing itself. Run as `python -m tests.sweeps.nursery SOCKET`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from tests.support.waiting import wait_for


class Nursery:
    """The harness's side. Several threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.sweeps.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
            )
        self._answers = self._socket.makefile()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()
        self._answers.close()
        self._process.wait()

    def start(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], out: Path
    ) -> Child:
        """Start `rush` with these arguments in a folder; what it prints goes to a file."""
        return Child(self, self._ask([list(arguments), str(folder), dict(environment), str(out)]))

    def look(self, pid: int) -> int | None:
        """How a child has ended, as `subprocess` tells it; None: it has not."""
        return self._ask(pid)

    def _ask(self, question: Any) -> Any:
        with self._lock:
            self._socket.sendall(json.dumps(question).encode() + b"\n")
            return json.loads(self._answers.readline())


class Child:
    """A worker, to be handled as one that `subprocess` has started."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._nursery.look(self.pid)
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        """Raises AssertionError when it has not ended by then."""
        wait_for(lambda: self.poll() is not None, what="a worker to end", timeout=timeout)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _serve(asked: socket.socket) -> None:
    from rush.cli import app, worker  # noqa: F401 (imported here once, for all)

    gc.freeze()
    for line in asked.makefile():
        question = json.loads(line)
        answer = _ended(question) if isinstance(question, int) else _fork(asked, *question)
        asked.sendall(json.dumps(answer).encode() + b"\n")


def _ended(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _fork(asked: socket.socket, arguments: list[str], *place: Any) -> int:
    pid = os.fork()
    if pid == 0:
        os.close(asked.fileno())
        _be_born(arguments, *place)
    return pid


def _be_born(arguments: list[str], folder: str, environment: dict[str, str], out: str) -> NoReturn:
    from rush.cli.__main__ import main

    code: Any = 1
    try:
        os.setsid()
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        with open(out, "ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.argv = ["rush", *arguments]
        code = main()
    except SystemExit as ending:
        code = ending.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
