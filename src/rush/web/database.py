"""
The database as the pages see it: a few clients, and a limit to what each may ask.

However many people look, the pages take no more than these connections, and no statement of
theirs lasts long: so they cannot starve the workers.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from queue import Empty, LifoQueue

from psycopg import sql

from rush.client import Client
from rush.errors import DatabaseError, RushError
from rush.store.session import Session

#: How many connections; how long a statement may take, and how long one waits for a connection.
CONNECTIONS = 4
STATEMENT_TIMEOUT = 10.0
PATIENCE = 5.0


class Database:
    """Lends clients, each to one thread at a time. They are opened when they are first needed."""

    def __init__(
        self,
        url: str,
        schema: str,
        *,
        connections: int = CONNECTIONS,
        statement_timeout: float = STATEMENT_TIMEOUT,
    ) -> None:
        self.url = url
        self.schema = schema
        self._statement_timeout = statement_timeout
        #: None: a place for a client that is not opened yet.
        self._free: LifoQueue[Client | None] = LifoQueue()
        for _ in range(connections):
            self._free.put(None)
        self._closed = False

    @contextmanager
    def client(self) -> Generator[Client]:
        """A client, for the block. Raises DatabaseError when all of them are busy for long."""
        client = self._take()
        try:
            if client is None:
                client = Client(self.url, self.schema, name="rush ui", settle=self._settle)
            yield client
        except RushError:
            raise
        except BaseException:
            # Who knows what it was in the middle of.
            if client is not None:
                client.close()
            client = None
            raise
        finally:
            if client is not None and self._closed:
                client.close()
            self._free.put(client)

    def close(self) -> None:
        """Close what is free; what is lent is closed when it comes back."""
        self._closed = True
        # The queue gives back what was put last: so all of it is taken before anything is put.
        free = [self._free.get_nowait() for _ in range(self._free.qsize())]
        for client in free:
            if client is not None:
                client.close()
            self._free.put(None)

    def _take(self) -> Client | None:
        try:
            return self._free.get(timeout=PATIENCE)
        except Empty:
            raise DatabaseError(
                f"all connections of the dashboard have been busy for {PATIENCE:g} s: try again"
            ) from None

    def _settle(self, session: Session) -> None:
        # Filters that are left out are NULL: a plan is made for those that are there. And a
        # pipeline of thousands of jobs that was applied just now has no statistics yet.
        for name, value in (
            ("statement_timeout", f"{self._statement_timeout:g}s"),
            ("lock_timeout", "5s"),
            ("jit", "off"),
            ("enable_seqscan", "off"),
            ("plan_cache_mode", "force_custom_plan"),
        ):
            session.execute(sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
