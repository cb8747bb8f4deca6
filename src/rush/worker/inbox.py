"""What a runner has been told by its supervisor, for whichever of its threads wants it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from rush.worker.channel import Channel, Message

T = TypeVar("T")


class Inbox:
    """
    Sorts what comes on the wire: jobs, what they are, answers, cancels.

    A job may leave threads behind that still wait for an answer. One thread reads at a time, for
    all: whoever finds what it wants has it, and nobody takes what is another's. Who waits raises
    EOFError when the supervisor is gone.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._sorted = threading.Condition()
        self._reading = False
        self._bodies: deque[tuple[int, Any]] = deque()
        self._answers: dict[int, tuple[Any, str | None]] = {}
        self._cancelled: set[int] = set()
        #: A job may come in a moment.
        self.roused = False
        #: What the jobs are that may come, by their ids.
        self.defined: dict[int, Any] = {}

    def body(self, token: int) -> Any:
        """The body of a token. Those before it were taken back, and will not come."""

        # Only the thread that runs jobs takes them: what is here needs no lock.
        found = self._take_body(token)
        return found if found is not None else self._wait_for(lambda: self._take_body(token))

    def answer(self, token: int) -> tuple[Any, str | None]:
        """The answer to what this attempt has asked, or why there is none."""
        return self._wait_for(lambda: self._answers.pop(token, None))

    def is_cancelled(self, token: int) -> bool:
        self.look()
        return token in self._cancelled

    def look(self) -> None:
        """Sort what is here, unless another thread is at it. Never waits."""
        with self._sorted:
            if not self._reading:
                for message in self._channel.incoming():
                    self._sort(message)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Where something to be sorted can be heard of, if no other thread listens there."""
        return () if self._reading else (self._channel.fileno(),)

    def forget(self, token: int) -> None:
        """An attempt is over."""
        self._answers.pop(token, None)
        self._cancelled.discard(token)

    def _take_body(self, token: int) -> Any:
        while self._bodies:
            of, body = self._bodies.popleft()
            if of == token:
                return body
        return None

    def _wait_for(self, find: Callable[[], T | None]) -> T:
        with self._sorted:
            while (found := find()) is None:
                if self._reading:
                    self._sorted.wait()
                else:
                    self._read()
            return found

    def _read(self) -> None:
        """Wait for a message, and sort it with all that came with it. The others may look meanwhile."""
        self._reading = True
        self._sorted.release()
        try:
            message = self._channel.receive()
        finally:
            self._sorted.acquire()
            self._reading = False
            self._sorted.notify_all()
        self._sort(message)
        for message in self._channel.unpacked():
            self._sort(message)

    def _sort(self, message: Message) -> None:
        kind = message[0]
        if kind == "job":
            self._bodies.append((message[1], message[2]))
            self.roused = False
        elif kind == "define":
            self.defined[message[1]] = message[2]
        elif kind == "answer":
            self._answers[message[1]] = (message[2], message[3])
        elif kind == "cancel":
            self._cancelled.add(message[1])
        elif kind == "rouse":
            self.roused = True
