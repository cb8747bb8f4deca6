"""
A runner as its supervisor sees it: a child process, its wire, and the tokens it has been given.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rush.worker.channel import Baton, Channel, Message
from rush.worker.template import Template

if TYPE_CHECKING:
    from rush.worker.attempt import Body
    from rush.worker.runner import Greeting

#: How much a runner may print past Python's `print` before the rest is looked at again.
_OUTPUT_AT_ONCE = 65536
#: A runner's memory is looked at every so many jobs.
_WEIGH_EVERY = 100


class RunnerProcess:
    """
    One runner. It leads a process group, so that killing the group ends all that its job
    has started; and it holds the reading end of a pipe, its lifeline, whose writing end dies
    with this process. Raises OSError where the system has no room for one more.
    """

    def __init__(self, template: Template, greeting: Greeting) -> None:
        # What is opened before the system has no room for more is closed again.
        with contextlib.ExitStack() as opened, contextlib.ExitStack() as given:
            ours, theirs = socket.socketpair()
            opened.callback(ours.close)
            given.callback(theirs.close)
            self._channel = Channel(ours)
            self._baton = Baton.pipe()
            opened.callback(self._baton.close)
            lifeline, self._life = os.pipe()
            opened.callback(os.close, self._life)
            given.callback(os.close, lifeline)
            self._output, output = os.pipe()
            opened.callback(os.close, self._output)
            given.callback(os.close, output)
            os.set_blocking(self._output, False)
            self._process = template.fork((theirs.fileno(), self._baton.reading, lifeline, output))
            opened.pop_all()
        self._rest = b""
        self.code = greeting["code"]
        self._defined: set[int] = set()
        self.post([["greeting", greeting]])
        #: Given to this runner and not ended, in order.
        self.tokens: dict[int, None] = {}
        #: The job that it is known to run, and since when.
        self.current: int | None = None
        self._since = 0.0
        self.jobs = 0
        #: It takes no more jobs, and ends when it has done what it holds.
        self.retiring = False
        #: It has been sent a signal.
        self.killed = False
        #: What it runs wants a process of its own.
        self.reserved = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output_descriptor(self) -> int:
        """Where what it prints past Python can be read."""
        return self._output

    def fileno(self) -> int:
        return self._channel.fileno()

    # What it has to do ----------------------------------------------------------------

    @property
    def takes(self) -> bool:
        channel = self._channel
        return not (self.retiring or self.killed or channel.closed or channel.broken)

    @property
    def free(self) -> bool:
        return not self.tokens

    @property
    def fresh(self) -> bool:
        """It has run nothing yet."""
        return self.jobs == 0 and not self.tokens

    @property
    def queued(self) -> int:
        """How many of its jobs have not begun."""
        return len(self.tokens) - (self.current is not None)

    def load(self) -> int:
        return len(self.tokens)

    def long_running(self, seconds: float) -> bool:
        """Whether its present job has run for longer than that."""
        return self.current is not None and time.monotonic() - self._since >= seconds

    def give(self, token: int) -> None:
        """Count a job as this runner's. `hand_over` follows."""
        self.tokens[token] = None

    def knows(self, job_id: int) -> bool:
        """Whether it has been told what this job is; from now on it has."""
        known = job_id in self._defined
        self._defined.add(job_id)
        return known

    def hand_over(self, jobs: Sequence[tuple[int, Body]]) -> None:
        """Send jobs: the bodies on the wire, and their tokens into the baton, which wakes the runner."""
        self.post([["job", token, body] for token, body in jobs])
        self._baton.give(token for token, _ in jobs)

    def take_back(self) -> list[int]:
        """The tokens that it had not taken, in order: they will not be begun here."""
        tokens = self._baton.take_back()
        for token in tokens:
            self.tokens.pop(token, None)
        return tokens

    @property
    def has_something_to_begin(self) -> bool:
        """It had nothing to do when it was given something, and is not known to have begun it."""
        return self.current is None and bool(self.tokens)

    def has_begun(self) -> bool:
        """Whether it has taken the first of what it was given."""
        return self._baton.waiting() < len(self.tokens)

    def begin(self, token: int, at: float) -> None:
        self.current = token
        self._since = at

    def end(self, token: int) -> None:
        self.tokens.pop(token, None)
        self.current = None

    # The wire -------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self._channel.closed

    @property
    def unsent(self) -> int:
        return self._channel.unsent

    def post(self, messages: Sequence[Message]) -> None:
        self._channel.post(messages)

    def flush(self) -> None:
        self._channel.flush()

    def incoming(self) -> Iterator[Message]:
        return self._channel.incoming()

    def output(self) -> list[str]:
        """Lines that it has written to its standard output and error, as far as they are here."""
        try:
            data = os.read(self._output, _OUTPUT_AT_ONCE)
        except BlockingIOError:
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _OUTPUT_AT_ONCE:
            lines.append(self._rest)
            self._rest = b""
        return [line.decode(errors="backslashreplace") for line in lines]

    # Its life -------------------------------------------------------------------------

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to it and to all that it has started."""
        self.killed = True
        self._process.kill(number)

    def finish(self) -> None:
        """Let it end when its baton is empty."""
        self.retiring = True
        if self._baton.writing is not None:
            os.close(self._baton.writing)
            self._baton.writing = None

    def wait(self) -> str:
        """Wait for its end, hastened if need be, and say how it ended."""
        if not self._has_ended(within=0.5):
            self.kill(signal.SIGKILL)
            self._has_ended(within=None)
        # What its job has started goes with it. Before the process is reaped, since
        # until then nobody else can get its number.
        self.kill(signal.SIGKILL)
        code = self._process.reap()
        if code < 0:
            return f"signal {-code}, {signal.Signals(-code).name}"
        return f"code {code}"

    def _has_ended(self, *, within: float | None) -> bool:
        until = None if within is None else time.monotonic() + within
        while not self._process.has_ended():
            if until is not None and time.monotonic() >= until:
                return False
            time.sleep(0.002)
        return True

    def too_large(self, megabytes: int) -> bool:
        """Whether it has grown beyond so many MiB; looked at every hundred jobs."""
        if self.jobs % _WEIGH_EVERY:
            return False
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return False
        return pages * os.sysconf("SC_PAGE_SIZE") > megabytes * 1024 * 1024

    def close(self) -> None:
        self._channel.close()
        self._baton.close()
        os.close(self._life)
        os.close(self._output)
        if self._process.code is None:
            self.wait()
