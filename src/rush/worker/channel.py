"""
The wire between a supervisor and one of its runners.

Two things connect them. A socket pair carries messages both ways: JSON arrays, in frames
of one or more, each frame behind its length in four bytes. A pipe, the *baton*, carries tokens, eight bytes each,
from the supervisor to the runner: a token in the pipe is a job that has been handed to
the runner and not begun.

    supervisor                                       runner
    ["define", job_id, job]     ── socket ──▶        keeps what is the same in all attempts
    ["rouse"]                   ── socket ──▶        wakes up and rehearses, if it had nothing to do
    ["answer", token, answer, problem] ─ socket ▶    has what it has asked for, or why not
    ["cancel", token]           ── socket ──▶        knows that its job is not wanted any more
    ["job", token, body]        ── socket ──▶        keeps the body until its token is taken
    token                       ── baton  ──▶        takes one token: begins that job
                                ◀── socket ──        ["log", token, at, level, text] …
                                ◀── socket ──        ["ask", token, what], ["progress", token, done, total]
                                ◀── socket ──        ["end", token, [began, at], outcome, next token]

A token comes right behind its body and wakes the runner, which for a moment listens to nothing
else: so it wakes once. Bodies come in the order of their tokens, and where the socket was full
after them: whoever has taken a token waits for its body. A token is read by exactly one of
the two, since the kernel gives each eight bytes of a pipe to one reader. So the supervisor
takes back what has not begun by reading the baton itself, whatever the runner is doing, and
it cannot be wrong about what has: a job is begun when its token is neither in the pipe nor
ended. At most one job is begun at a time, and no message tells of it: nearly all are over
before anybody asks. A runner that finds a token behind the one that has ended begins it at
once, and says so in the same message.

Instants are seconds on the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import termios
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from json.encoder import (
    c_make_encoder,  # pyright: ignore[reportAttributeAccessIssue] (the stubs leave it out)
    encode_basestring_ascii,
)
from typing import Any

Message = list[Any]

# Made once, and called without what `json.dumps` and `json.loads` do around them at every call, which
# takes more than half of their time. (No markers: nothing is sent that contains itself.)
_encoder = json.JSONEncoder(separators=(",", ":"))
_chunks = c_make_encoder(
    None, _encoder.default, encode_basestring_ascii, None, ":", ",", False, False, True
)
_scan = json.JSONDecoder().scan_once  # pyright: ignore[reportAttributeAccessIssue] (so is this)

_LENGTH = struct.Struct("!I")
_TOKEN = struct.Struct("=q")

#: How many tokens a pipe surely takes without blocking (POSIX: 4 KiB at least at once).
BATON_LIMIT = 500


class Channel:
    """One end of the socket pair. `receive` waits; `incoming` and `flush` never do."""

    def __init__(self, wire: socket.socket) -> None:
        self.wire = wire
        #: All that the other end has sent is here, and it sends no more.
        self.closed = False
        #: It takes no more. What it has sent before may still be on its way.
        self.broken = False
        self._inbox = bytearray()
        self._messages: deque[Message] = deque()
        self._outbox = bytearray()

    def fileno(self) -> int:
        return self.wire.fileno()

    def send(self, *messages: Message) -> None:
        """Send, waiting until the wire has taken all of it."""
        self.wire.sendall(_frame(messages))

    def post(self, messages: Sequence[Message]) -> None:
        """Send what the wire takes now; `flush` sends the rest. Never waits."""
        self._outbox += _frame(messages)
        self.flush()

    @property
    def unsent(self) -> int:
        """Bytes that were posted and not sent yet."""
        return len(self._outbox)

    def flush(self) -> None:
        try:
            while self._outbox:
                sent = self.wire.send(self._outbox, socket.MSG_DONTWAIT)
                del self._outbox[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.broken = True
            self._outbox.clear()

    def receive(self) -> Message:
        """The next message, waiting for it. Raises EOFError when the other end is gone."""
        while not self._messages:
            self._read(0)
            if self.closed:
                raise EOFError
        return self._messages.popleft()

    def incoming(self) -> Iterator[Message]:
        """The messages that are here. Sets `closed` when the other end is gone."""
        self._read(socket.MSG_DONTWAIT)
        yield from self.unpacked()

    def unpacked(self) -> Iterator[Message]:
        """Those that came together with one that has been received."""
        while self._messages:
            yield self._messages.popleft()

    def close(self) -> None:
        self.wire.close()

    def _read(self, flags: int) -> None:
        try:
            data = self.wire.recv(262144, flags)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.closed = True
        self._inbox += data
        self._unpack()

    def _unpack(self) -> None:
        """Take the whole frames out of the inbox."""
        inbox, start = self._inbox, 0
        while len(inbox) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(inbox, start)
            end = start + _LENGTH.size + length
            if len(inbox) < end:
                break
            messages, _ = _scan(inbox[start + _LENGTH.size : end].decode(), 0)
            self._messages += messages
            start = end
        del inbox[:start]


class Baton:
    """
    The pipe of tokens. The reading end never blocks, since both sides read it.
    """

    def __init__(self, reading: int, writing: int | None = None) -> None:
        self.reading = reading
        self.writing = writing

    @classmethod
    def pipe(cls) -> Baton:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        return cls(reading, writing)

    def give(self, tokens: Iterable[int]) -> None:
        """Hand tokens over. No more than BATON_LIMIT may lie in the pipe."""
        assert self.writing is not None
        os.write(self.writing, b"".join(map(_TOKEN.pack, tokens)))

    def take(self) -> int | None:
        """The next token, if there is one now. Raises EOFError when the supervisor has closed the pipe."""
        try:
            data = os.read(self.reading, _TOKEN.size)
        except BlockingIOError:
            return None
        if not data:
            raise EOFError
        (token,) = _TOKEN.unpack(data)
        return token

    def waiting(self) -> int:
        """How many tokens nobody has taken yet."""
        size = array("i", [0])
        fcntl.ioctl(self.reading, termios.FIONREAD, size)
        return size[0] // _TOKEN.size

    def take_back(self) -> list[int]:
        """All tokens that nobody has taken: they will not be begun."""
        taken: list[int] = []
        try:
            while (token := self.take()) is not None:
                taken.append(token)
        except EOFError:
            pass
        return taken

    def close(self) -> None:
        os.close(self.reading)
        if self.writing is not None:
            os.close(self.writing)


def _frame(messages: Sequence[Message]) -> bytes:
    body = "".join(_chunks(messages, 0)).encode()
    return _LENGTH.pack(len(body)) + body
