"""
The template: the process that runners are forked from.

It is a fresh interpreter with one thread, which has imported what a runner needs and
nothing of a user's. A fork of it takes some milliseconds, where a new interpreter takes
a hundred, and shares its memory with the others.

    supervisor                               template
    "fork", four descriptors      ──▶        forks; the child is a runner
                                  ◀──        its pid
    "look" or "reap", pid         ──▶
                                  ◀──        how it has ended, or that it has not

Runners are the template's children. It reaps one only when it is told to, so until then
nobody else can get its number. The template dies with its supervisor, and runners die
with the template.

Run as `python -m rush.worker.template SOCKET`, the number of an inherited descriptor.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Sequence

_REQUEST = struct.Struct("=cq")
_ANSWER = struct.Struct("=qq")

_FORK, _LOOK, _REAP = b"f", b"l", b"r"
_LIVING, _ENDED, _UNKNOWN = 0, 1, 2

#: How long the template may take to answer, in seconds: at first, when it is still starting, and
#: later. One that does not is frozen: it is killed, and its runners with it.
STARTING, PATIENCE = 30.0, 5.0


class Template:
    """The template as its supervisor sees it. It is started when it is needed, and again when it is gone."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def fork(self, descriptors: Sequence[int]) -> Child:
        """
        A new runner with these descriptors: wire, baton, lifeline, output. Raises OSError
        where the system has no room for one more process.
        """
        try:
            pid, problem = self._ask(_FORK, 0, descriptors)
        except (OSError, EOFError):
            # It has been killed, and all runners with it; or it must be.
            self.close()
            pid, problem = self._ask(_FORK, 0, descriptors)
        if problem:
            raise OSError(problem, os.strerror(problem))
        return Child(self, pid)

    def look(self, pid: int, *, reap: bool = False) -> int | None:
        """How a runner has ended, as `subprocess` tells it; None: it has not."""
        try:
            ended, code = self._ask(_REAP if reap else _LOOK, pid)
        except (OSError, EOFError):
            self.close()
            ended, code = _UNKNOWN, 0
        if ended == _UNKNOWN:
            # Its template died, which killed it.
            return -signal.SIGKILL
        return code if ended == _ENDED else None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1.0)
            self._process.kill()
            self._process.wait()
            self._process = None

    def _ask(self, kind: bytes, pid: int, descriptors: Sequence[int] = ()) -> tuple[int, int]:
        wire = self._socket or self._start()
        socket.send_fds(wire, [_REQUEST.pack(kind, pid)], list(descriptors))
        answer = b""
        while len(answer) < _ANSWER.size:
            data = wire.recv(_ANSWER.size - len(answer))
            if not data:
                raise EOFError
            answer += data
        wire.settimeout(PATIENCE)
        return _ANSWER.unpack(answer)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rush.worker.template", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        ours.settimeout(STARTING)
        self._socket = ours
        return ours


class Child:
    """A runner's process, which leads a process group of its own."""

    def __init__(self, template: Template, pid: int) -> None:
        self._template = template
        self.pid = pid
        #: How it has ended, once it is reaped.
        self.code: int | None = None

    def has_ended(self) -> bool:
        return self.code is not None or self._template.look(self.pid) is not None

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to it and to all that it has started."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def reap(self) -> int:
        """Its end, which must have come."""
        if self.code is None:
            self.code = self._template.look(self.pid, reap=True)
        assert self.code is not None
        return self.code


def main(descriptor: int) -> None:
    from rush.worker import runner

    runner.die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    wire = socket.socket(fileno=descriptor)
    wire.set_inheritable(False)
    gc.collect()
    gc.freeze()
    while True:
        request, descriptors, _, _ = socket.recv_fds(wire, _REQUEST.size, 4)
        if not request:
            os._exit(0)
        kind, pid = _REQUEST.unpack(request)
        answer = _fork(wire, descriptors) if kind == _FORK else _end_of(pid, reap=kind == _REAP)
        wire.sendall(_ANSWER.pack(*answer))


def _fork(wire: socket.socket, descriptors: Sequence[int]) -> tuple[int, int]:
    template = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        return 0, error.errno or 1
    if pid == 0:
        wire.close()
        _become_runner(template, *descriptors)
    # Here and there, whoever is first: nobody may signal a group that is not there yet.
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)
    for descriptor in descriptors:
        os.close(descriptor)
    return pid, 0


def _become_runner(template: int, wire: int, baton: int, lifeline: int, output: int) -> None:
    from rush.worker import runner

    try:
        os.setpgid(0, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        runner.main(template, wire, baton, lifeline)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _end_of(pid: int, *, reap: bool) -> tuple[int, int]:
    options = os.WEXITED | os.WNOHANG | (0 if reap else os.WNOWAIT)
    try:
        ended = os.waitid(os.P_PID, pid, options)
    except ChildProcessError:
        return _UNKNOWN, 0
    if ended is None:
        return _LIVING, 0
    exited = ended.si_code == os.CLD_EXITED
    return _ENDED, ended.si_status if exited else -ended.si_status


if __name__ == "__main__":
    main(int(sys.argv[1]))
