"""
Telling open pages that something has changed.

One thread with one connection hears the bells, and where none rings it looks at the signs of
change, so that behind a pooler without LISTEN nothing is missed but half a second. What it
notices is a set of topics (`runs`, `workers`, `pipelines`, `progress`); within a quarter of a
second they are told together. A page that is told asks again for what it shows.

A tab is an asyncio queue and costs no thread. One that does not keep up loses what it was to
be told, and is told to look at everything when it does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

import psycopg

from rush.errors import RushError
from rush.store.bells import growing_pauses
from rush.store.database import connect
from rush.store.session import Session, channel
from rush.store.signs import signs

TOPICS = ("runs", "workers", "pipelines", "progress")

#: In seconds: between two looks at the signs; between a change and its being told; between
#: two looks at what makes progress; between two signs of life on a stream.
LOOK = 0.5
DEBOUNCE = 0.25
PROGRESS = 2.0
KEEP_ALIVE = 15.0
#: How many things may be told to a tab that does not listen.
BACKLOG = 8

#: What a bell is about.
BELLS = {
    "runs": {"runs", "pipelines"},
    "master": {"runs", "pipelines"},
    "workers": {"workers"},
}

log = logging.getLogger(__name__)


class Live:
    """Hears of changes from `start` to `stop`, and tells whoever listens to `events`."""

    def __init__(self, url: str, schema: str) -> None:
        self._url = url
        self._schema = schema
        self._tabs: set[asyncio.Queue[frozenset[str]]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)

    # On the event loop ------------------------------------------------------------------

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Stop hearing, and end every stream."""
        self._stopping.set()
        self._tell(frozenset())
        self._thread.join(LOOK)

    async def events(self) -> AsyncIterator[str]:
        """What a tab is told, as server-sent events. It begins with a `hello`."""
        tab: asyncio.Queue[frozenset[str]] = asyncio.Queue(BACKLOG)
        self._tabs.add(tab)
        try:
            yield "retry: 3000\nevent: hello\ndata: {}\n\n"
            while not self._stopping.is_set():
                try:
                    topics = await asyncio.wait_for(tab.get(), KEEP_ALIVE)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                if topics:
                    data = json.dumps({"topics": sorted(topics)})
                    yield f"event: change\ndata: {data}\n\n"
        finally:
            self._tabs.discard(tab)

    def _tell(self, topics: frozenset[str]) -> None:
        for tab in self._tabs:
            if tab.full():
                with suppress(asyncio.QueueEmpty):
                    tab.get_nowait()
                topics = frozenset(TOPICS) if topics else topics
            tab.put_nowait(topics)

    # In the thread ----------------------------------------------------------------------

    def _run(self) -> None:
        pauses = growing_pauses()
        while not self._stopping.is_set():
            try:
                self._hear()
            except (psycopg.Error, RushError) as error:
                log.warning("the pages hear of no changes: %s", error)
                self._stopping.wait(next(pauses))
            else:
                pauses = growing_pauses()

    def _hear(self) -> None:
        with connect(self._url, application_name="rush ui live") as connection:
            session = Session(connection, self._schema, prepare=False)
            session.listen(*(channel(self._schema, bell) for bell in BELLS))
            # What has happened while nobody heard.
            self._publish(TOPICS)
            ear = _Ear(session)
            while not self._stopping.is_set():
                topics = ear.listen(LOOK)
                if topics and self._tabs:
                    self._stopping.wait(DEBOUNCE)
                    self._publish(topics | ear.listen(0))

    def _publish(self, topics: Iterable[str]) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):
            # RuntimeError: the loop has ended before us.
            self._loop.call_soon_threadsafe(self._tell, frozenset(topics))


class _Ear:
    """What one session notices."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._last = signs(session)
        #: When what makes progress was last looked at.
        self._progress = time.monotonic()

    def listen(self, seconds: float) -> set[str]:
        """What has changed since the last time. Waits so long for a bell."""
        topics: set[str] = set()
        prefix = channel(self._session.schema, "")
        for notify in self._session.connection.notifies(timeout=seconds, stop_after=1):
            topics |= BELLS[notify.channel.removeprefix(prefix)]
        return topics | self._changed()

    def _changed(self) -> set[str]:
        before, self._last = self._last, signs(self._session)
        now = self._last
        topics: set[str] = set()
        if before != now:
            topics |= {"runs", "pipelines"}
        if (before.workers, before.term, before.tokens) != (now.workers, now.term, now.tokens):
            topics |= {"workers"}
        if now.running and time.monotonic() >= self._progress + PROGRESS:
            self._progress = time.monotonic()
            topics |= {"progress"}
        return topics
