"""
A connection, and the named statements of one schema to run on it.

The modules beside this one are the verbs: each function is one named query of the .sql
file of the same name, or a few of them in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row

from rush.store.queries import load

Connection = psycopg.Connection[Any]


class Session:
    """
    Runs named statements on a connection. Each is prepared at its first use; None: after some.

    Behind a pooler a connection may be with another session of the server in each transaction.
    So nothing of it may rest on a session then: nothing is prepared, what is set is set for a
    transaction, and there are no bells to listen for.
    """

    def __init__(self, connection: Connection, schema: str, *, prepare: bool | None = True) -> None:
        self.connection = connection
        self.schema = schema
        #: `database.connect` leaves it so when it has met a pooler.
        self.pooled = connection.prepare_threshold is None
        self.prepare = False if self.pooled else prepare
        self._queries = load(schema)
        self._cursor = psycopg.RawCursor(connection, row_factory=namedtuple_row)

    @cached_property
    def often(self) -> Session:
        """The same connection, for statements that are repeated: prepared after some uses."""
        return Session(self.connection, self.schema, prepare=None)

    def settle_plans(self, *, keyed: bool = False) -> None:
        """
        Plan each statement once, for any parameters, and through indexes: what is hot must
        not be planned by what a table looked like when it was empty. `keyed` also rules out
        joins other than by key, for statements that find all their rows so.
        """
        settings = {"jit": "off", "plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
        if keyed:
            settings |= {"enable_hashjoin": "off", "enable_mergejoin": "off"}
        self.set(settings)

    def set(self, settings: Mapping[str, str]) -> None:
        """Set parameters of this session. One that may be everybody's is left as it is."""
        if self.pooled:
            return
        for name, value in settings.items():
            self.execute(sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))

    def many(self, name: str, /, **params: Any) -> list[Any]:
        return self._execute(name, params).fetchall()

    def one(self, name: str, /, **params: Any) -> Any:
        """The only row, or None."""
        return self._execute(name, params).fetchone()

    def run(self, name: str, /, **params: Any) -> int:
        """Run a statement for its effect. Returns how many rows it touched."""
        return self._execute(name, params).rowcount

    def send(self, name: str, /, **params: Any) -> Callable[[], list[Any]]:
        """Run a statement whose rows are wanted later: a `Wire` does not wait for them before that."""
        rows = self.many(name, **params)
        return lambda: rows

    def execute(self, statement: sql.SQL | sql.Composed) -> None:
        """Run a statement that has no name, for its effect."""
        self.connection.execute(statement)

    @contextmanager
    def transaction(self) -> Generator[None]:
        with self.connection.transaction():
            yield

    def sending(self) -> AbstractContextManager[None]:
        """A transaction whose answers are all read after its end: a `Wire` does not wait for it."""
        return self.transaction()

    def listen(self, *channels: str) -> None:
        """Hear bells from now on, where there is a session that can."""
        if self.pooled:
            return
        for name in channels:
            self.execute(sql.SQL("LISTEN {}").format(sql.Identifier(name)))

    def unlisten(self, *channels: str) -> None:
        if self.pooled:
            return
        for name in channels:
            self.execute(sql.SQL("UNLISTEN {}").format(sql.Identifier(name)))

    def notify(self, *channels: str) -> None:
        """Ring bells: one commit for all of them."""
        self.run("ring", channels=array(channels))

    def _execute(self, name: str, params: dict[str, Any]) -> psycopg.RawCursor[Any]:
        query = self._queries[name]
        values = [params[parameter] for parameter in query.parameters]
        return self._cursor.execute(query.numbered, values, prepare=self.prepare)


def array(values: Iterable[Any]) -> str:
    """
    A PostgreSQL array's text, to be cast where it is used. One parameter type whatever
    the values are, so that a statement is prepared once.
    """
    return "{" + ",".join(map(_element, values)) + "}"


def numbers(values: Iterable[float]) -> str:
    """The same for numbers none of which is missing: a third of the time."""
    return "{" + ",".join(map(str, values)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value)


def channel(schema: str, *parts: str | int) -> str:
    """The name of a bell: `rush:master`, `rush:worker:17`, `rush:workers`, `rush:runs`."""
    return ":".join([schema, *map(str, parts)])
