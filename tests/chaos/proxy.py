"""
A TCP proxy that understands enough of PostgreSQL's protocol to break it at a chosen message.

    worker ── client end ── wire ── server end ── PostgreSQL
               toward "client" ◀──────▶ toward "server"

Every frame (a type byte, a length, a body) becomes a `Message` that knows which session it is
of, which statement it is about, and its number. A proxy's `rule` is asked about each before
it goes on, and answers with a `Fault` or None. All proxies live on one event loop in one
thread, so no two messages are ever judged at once, and a wire is broken at exactly the message
that the rule names.

Statements are told by the comment that each of Rush's begins with (`-- report`), others by
their first word (`COMMIT`). A prepared one sends its text once, in Parse, and is told by its name
from then on. Sessions are told by their application name, so URLs through a proxy say
`sslmode=disable`.
"""

from __future__ import annotations

import asyncio
import math
import re
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

T = TypeVar("T")

Side = Literal["server", "client"]

SIDES: tuple[Side, Side] = ("server", "client")

STARTUP = "startup"
#: Codes in the place of a protocol version: may we speak TLS, may we speak GSS.
_TLS, _GSS = 80877103, 80877104
_NAME = re.compile(rb"-- (\w+)")
_WORD = re.compile(rb"\s*(\w+)")
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A frame on its way, before anybody has decided about it."""

    #: The application name of its session: `rush worker1 reports`.
    session: str
    toward: Side
    #: Its number among the messages of this kind about this statement, over all sessions of this name.
    nth: int
    #: The type byte, or `startup`. The same letter means different things in the two directions.
    kind: str
    #: The statement that it is about; empty where there is none.
    query: str
    #: It is the answer to a statement that is in no transaction, or that ends one.
    commits: bool
    #: It answers a statement to which so many things were given, in an array; 0 where there was none.
    items: int
    #: Nothing about this statement has been answered on this wire, or since an error on it: what
    #: is said may have been said before.
    first: bool
    #: The frame without type and length.
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """
    What becomes of a message, and of its wire.

    cut        it is not passed on, and both ends are reset
    cut after  it is passed on, and both ends are reset at once
    lose       the server gets all that was said so far, and does it; the client hears nothing more
    stall      nothing moves on the wire, in either direction, for so many seconds
    delay      the message, and what comes behind it, is passed on so many seconds later
    """

    kind: Literal["cut", "cut after", "lose", "stall", "delay"]
    seconds: float = 0.0


CUT = Fault(kind="cut")
CUT_AFTER = Fault(kind="cut after")
LOSE = Fault(kind="lose")

Rule = Callable[[Message], Fault | None]


class Network:
    """The event loop on which proxies live, in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._proxies: list[Proxy] = []
        self._thread = threading.Thread(target=self.loop.run_forever, name="network", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for proxy in self._proxies:
            proxy.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def proxy(self, url: str) -> Proxy:
        """A proxy in front of the server that a URL names."""
        proxy = Proxy(self, url)
        self._proxies.append(proxy)
        return proxy

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the loop's thread, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=10)


class Proxy:
    """
    One way to the server. `url` leads through it.

    `rule` may be replaced at any time; `watch` sees every message that is passed on, `unheard`
    is told which statements a wire had sent when it broke whose answer its client never got,
    `done` which of those the server is seen to have done nevertheless.
    """

    def __init__(self, network: Network, url: str) -> None:
        parts = urlsplit(url)
        self.target = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self.rule: Rule = lambda message: None
        self.watch: Callable[[Message], None] = lambda message: None
        self.unheard: Callable[[str, list[str]], None] = lambda session, queries: None
        self.done: Callable[[str, list[str]], None] = lambda session, queries: None
        #: Seconds that everything takes, in each direction.
        self.latency = 0.0
        self._numbers: Counter[tuple[str, Side, str, str]] = Counter()
        self.wires: set[Wire] = set()
        self._network = network
        #: Who comes is turned away.
        self.is_shut = False
        self._server = network.call(self._listen())
        port = self._server.sockets[0].getsockname()[1]
        user = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(
            parts._replace(netloc=f"{user}@127.0.0.1:{port}", query="sslmode=disable")
        )

    def cut(self, session: str = "") -> int:
        """Reset every wire whose session's name has this in it. Returns how many there were."""

        async def cut() -> int:
            wires = [wire for wire in self.wires if session in wire.session]
            for wire in wires:
                wire.reset()
            return len(wires)

        return self._network.call(cut())

    def stall(self, seconds: float, session: str = "") -> int:
        """Let nothing move for so long on the wires there are. Returns how many there were."""

        async def stall() -> int:
            wires = [wire for wire in self.wires if session in wire.session]
            for wire in wires:
                wire.hold(seconds, *SIDES)
            return len(wires)

        return self._network.call(stall())

    def shut(self) -> None:
        """Reset all there is, and whoever comes, until `heal`."""
        self.is_shut = True
        self.cut()

    def heal(self) -> None:
        """Break nothing any more, and let go on what is held."""
        self.rule = lambda message: None
        self.latency = 0.0
        self.is_shut = False

        async def release() -> None:
            for wire in list(self.wires):
                wire.release(*SIDES)

        self._network.call(release())

    def close(self) -> None:
        self.shut()
        self._network.loop.call_soon_threadsafe(self._server.close)

    def judge(
        self, session: str, toward: Side, frame: Frame, talk: Conversation
    ) -> tuple[Message, Fault | None]:
        """Number a message, and ask the rule about it."""
        kind, query = frame.kind, talk.about(toward, frame.kind, frame.body)
        answers = toward == "client" and kind in "CD"
        self._numbers[session, toward, kind, query] += 1
        message = Message(
            session=session,
            toward=toward,
            nth=self._numbers[session, toward, kind, query],
            kind=kind,
            query=query,
            commits=answers and kind == "C" and talk.commits,
            items=talk.items if answers else 0,
            first=answers and query not in talk.answered,
            body=frame.body,
        )
        return message, self.rule(message)

    async def _listen(self) -> asyncio.Server:
        return await self._network.loop.create_server(self._accept, "127.0.0.1", 0)

    def _accept(self) -> asyncio.Protocol:
        return Wire(self, self._network.loop).ends["client"]


@dataclass(slots=True)
class Frame:
    """A message as it is on the wire."""

    kind: str
    whole: bytes
    #: Without type and length.
    body: bytes
    judged: Message | None = None


class Wire:
    """One connection through a proxy."""

    def __init__(self, proxy: Proxy, loop: asyncio.AbstractEventLoop) -> None:
        self.proxy = proxy
        self.loop = loop
        self.session = ""
        #: By where they lead: what the client's end receives goes toward the server.
        self.ends: dict[Side, End] = {"client": End(self, "server"), "server": End(self, "client")}
        self._talk = Conversation()
        self._backlog: dict[Side, deque[Frame]] = {side: deque() for side in SIDES}
        #: Nothing goes to the server before it is there.
        self._held_until: dict[Side, float] = {"server": math.inf, "client": 0.0}
        #: The client is gone; what the server still says is only read.
        self._lost = False
        self._over = False
        self._connecting: asyncio.Task[None] | None = None
        proxy.wires.add(self)

    # What the ends tell -----------------------------------------------------------------

    def opened(self) -> None:
        """The client is here: get the server."""
        if self.proxy.is_shut:
            self.reset()
            return
        self._connecting = self.loop.create_task(self._connect())

    def arrived(self, toward: Side, frames: Iterable[Frame]) -> None:
        self._backlog[toward].extend(frames)
        if self.proxy.latency and self.loop.time() >= self._held_until[toward]:
            self.hold(self.proxy.latency, toward)
        self._flow(toward)

    def ended(self, by: Side) -> None:
        """One end has closed, so the other is closed too, once what is on its way has arrived."""
        if by == "client" and self._lost:
            return
        if by == "server":
            self._say_unheard()
        self._over = True
        self.proxy.wires.discard(self)
        for end in self.ends.values():
            if end.transport is not None:
                end.transport.close()

    # What befalls it ----------------------------------------------------------------------

    def hold(self, seconds: float, *sides: Side) -> None:
        """Pass nothing on toward these for so long."""
        until = self.loop.time() + seconds
        for side in sides:
            self._held_until[side] = max(self._held_until[side], until)
            self._source(side).pause()
            self.loop.call_at(until, self._let_go, side)

    def release(self, *sides: Side) -> None:
        for side in sides:
            if self.ends[side].transport is not None:
                self._held_until[side] = 0.0
                self._let_go(side)

    def reset(self) -> None:
        """An RST to both ends, and nothing more to either."""
        self._say_unheard()
        self._over = True
        self.proxy.wires.discard(self)
        for end in self.ends.values():
            end.reset()

    def _lose(self) -> None:
        """The server does what it has got and finds the client gone; the client only finds that."""
        self._say_unheard()
        self._lost = True
        self.ends["client"].reset()
        self.ends["server"].transport.write_eof()
        self.release(*SIDES)

    # What flows ---------------------------------------------------------------------------

    def _flow(self, toward: Side) -> None:
        backlog = self._backlog[toward]
        while backlog and not self._over and self.loop.time() >= self._held_until[toward]:
            frame = backlog.popleft()
            if self._lost:
                self._overhear(toward, frame)
            else:
                self._befall(toward, frame, None if frame.judged else self._judged(toward, frame))

    def _judged(self, toward: Side, frame: Frame) -> Fault | None:
        if frame.kind == STARTUP:
            self.session = _session_name(frame.body)
        frame.judged, fault = self.proxy.judge(self.session, toward, frame, self._talk)
        return fault

    def _befall(self, toward: Side, frame: Frame, fault: Fault | None) -> None:
        match fault and fault.kind, toward:
            case "cut", _:
                self.reset()
            case "cut after", _:
                self._pass(toward, frame)
                self.reset()
            case "lose", "server":
                self._pass(toward, frame)
                self._lose()
            case "lose", _:
                self._backlog[toward].appendleft(frame)
                self._lose()
            case "stall" | "delay" as kind, _:
                assert fault is not None
                self._backlog[toward].appendleft(frame)
                self.hold(fault.seconds, *(SIDES if kind == "stall" else (toward,)))
            case _:
                self._pass(toward, frame)

    def _pass(self, toward: Side, frame: Frame) -> None:
        assert frame.judged is not None
        self._talk.passed(toward, frame.kind, frame.body)
        self.proxy.watch(frame.judged)
        if not self.ends[toward].transport.is_closing():
            self.ends[toward].transport.write(frame.whole)

    def _overhear(self, toward: Side, frame: Frame) -> None:
        """The client is gone: see what the server has done nevertheless."""
        if toward == "client" and (done := self._talk.passed(toward, frame.kind, frame.body)):
            self.proxy.done(self.session, done)

    def _say_unheard(self) -> None:
        if not self._over and not self._lost and (queries := self._talk.unanswered()):
            self.proxy.unheard(self.session, queries)

    def _let_go(self, side: Side) -> None:
        if not self._over and self.loop.time() >= self._held_until[side]:
            self._flow(side)
            self._source(side).resume()

    def _source(self, toward: Side) -> End:
        return self.ends["client" if toward == "server" else "server"]

    async def _connect(self) -> None:
        try:
            await self.loop.create_connection(lambda: self.ends["server"], *self.proxy.target)
        except OSError:
            self.reset()
            return
        if self._over:
            self.ends["server"].reset()
            return
        self.release("server")


class End(asyncio.Protocol):
    """One end of a wire. What it receives goes `toward` the other."""

    def __init__(self, wire: Wire, toward: Side) -> None:
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._wire = wire
        self._toward: Side = toward
        self._rest = b""
        #: The first frame of a client has no type, and may be asked for several times.
        self._typed = toward == "client"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._toward == "server":
            self._wire.opened()

    def data_received(self, data: bytes) -> None:
        self._wire.arrived(self._toward, self._frames(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire.ended("server" if self._toward == "client" else "client")

    def pause(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def reset(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            raw: socket.socket = self.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    def _frames(self, data: bytes) -> Iterator[Frame]:
        """The whole frames that are here."""
        data = self._rest + data
        while True:
            at = 1 if self._typed else 0
            if len(data) < at + 4:
                break
            end = at + int.from_bytes(data[at : at + 4])
            if len(data) < end:
                break
            whole, data = data[:end], data[end:]
            if self._typed:
                yield Frame(chr(whole[0]), whole, whole[5:])
            elif int.from_bytes(whole[4:8]) in (_TLS, _GSS):
                self.transport.write(b"N")
            else:
                self._typed = True
                yield Frame(STARTUP, whole, whole[8:])
        self._rest = data


class Asked(NamedTuple):
    """Something that the server answers."""

    #: P and E are answered each, S ends a whole exchange; e is an E in an open transaction, with
    #: which nothing is committed.
    kind: str
    query: str
    items: int = 0


class Conversation:
    """What was asked on a wire and is not yet answered, so that answers have a name."""

    def __init__(self) -> None:
        self._statements: dict[bytes, str] = {}
        #: Statements and how many things they were given, by portal.
        self._portals: dict[bytes, tuple[str, int]] = {}
        self._asked: deque[Asked] = deque()
        self._done: list[str] = []
        self._in_transaction = False
        #: Statements that have been answered since the last error.
        self.answered: set[str] = set()

    @property
    def commits(self) -> bool:
        """Whether what is answered next is committed then."""
        return bool(self._asked) and self._asked[0].kind == "E"

    @property
    def items(self) -> int:
        """How many things what is answered next was given."""
        return self._asked[0].items if self._asked else 0

    def about(self, toward: Side, kind: str, body: bytes) -> str:
        """Which statement a message is about."""
        if toward == "client":
            return self._asked[0].query if self._asked else ""
        match kind:
            case "Q":
                return _query_name(body)
            case "P":
                return _query_name(body.split(b"\0", 1)[1])
            case "B":
                return self._statements.get(body.split(b"\0", 2)[1], "")
            case "E":
                return self._portal(body)[0]
            case "D" | "C" if body[:1] == b"S":
                return self._statements.get(body[1:].split(b"\0", 1)[0], "")
            case "D" | "C":
                return self._portal(body[1:])[0]
            case "S":
                return self._asked[-1].query if self._asked else ""
            case _:
                return ""

    def passed(self, toward: Side, kind: str, body: bytes) -> list[str]:
        """
        A message has been passed on. Returns the statements that are over with it: those of
        an exchange that the server has ended.
        """
        if toward == "server":
            self._note_asked(kind, body)
            return []
        return self._note_answered(kind)

    def unanswered(self) -> list[str]:
        """Statements that were sent and may be done, of which the client has not heard that they are."""
        whole = len(self._asked)
        while whole and self._asked[whole - 1].kind != "S":
            whole -= 1
        return self._done + [
            asked.query
            for at, asked in enumerate(self._asked)
            # What is not a whole exchange is undone, but for a COMMIT: that is done when it comes.
            if asked.kind == "E" and (at < whole or asked.query == "COMMIT")
        ]

    def _note_asked(self, kind: str, body: bytes) -> None:
        query = self.about("server", kind, body)
        if kind == "P":
            self._statements[body.split(b"\0", 1)[0]] = query
            self._asked.append(Asked("P", query))
        elif kind == "B":
            self._portals[body.split(b"\0", 1)[0]] = query, _items(body)
        elif kind == "E":
            self._asked.append(Asked(self._executed(query), query, self._portal(body)[1]))
        elif kind == "S":
            self._asked.append(Asked("S", query))
        elif kind == "Q":
            self._asked += [Asked(self._executed(query), query), Asked("S", query)]

    def _portal(self, name: bytes) -> tuple[str, int]:
        return self._portals.get(name.split(b"\0", 1)[0], ("", 0))

    def _executed(self, query: str) -> str:
        if query in ("BEGIN", "COMMIT", "ROLLBACK"):
            self._in_transaction = query == "BEGIN"
        return "e" if self._in_transaction or query == "ROLLBACK" else "E"

    def _note_answered(self, kind: str) -> list[str]:
        asked = self._asked
        if kind == "1" and asked and asked[0].kind == "P":
            asked.popleft()
        elif kind in "CIs" and asked and asked[0].kind in "Ee":
            executed = asked.popleft()
            self.answered.add(executed.query)
            if executed.kind == "E":
                self._done.append(executed.query)
        elif kind == "E":
            self.answered.clear()
            # After an error the server skips what comes before the exchange's end.
            while asked and asked[0].kind != "S":
                asked.popleft()
        elif kind == "Z":
            while asked and asked.popleft().kind != "S":
                pass
            done, self._done = self._done, []
            return done
        return []


def _items(body: bytes) -> int:
    """How many elements the first array has that a Bind carries as text; 0 where it carries none."""
    _, _, rest = body.split(b"\0", 2)
    at = 2 + 2 * int.from_bytes(rest[:2])
    count, at = int.from_bytes(rest[at : at + 2]), at + 2
    for _ in range(count):
        length = int.from_bytes(rest[at : at + 4], signed=True)
        value, at = rest[at + 4 : at + 4 + max(0, length)], at + 4 + max(0, length)
        if value[:1] == b"{":
            return 0 if value == b"{}" else value.count(b",") + 1
    return 0


def _query_name(text: bytes) -> str:
    found = _NAME.match(text) or _WORD.match(text)
    return found[1].decode() if found else ""


def _session_name(body: bytes) -> str:
    """The application name among a startup message's pairs."""
    parts = body.split(b"\0")
    pairs = dict(zip(parts[::2], parts[1::2], strict=False))
    return pairs.get(b"application_name", b"").decode(errors="replace")
