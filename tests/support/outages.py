"""A database that goes away and comes back."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from tests.support.waiting import wait_for

CLIENT = "rush client"


def end_sessions(connection: psycopg.Connection[Any], name: str = CLIENT) -> int:
    """End the sessions that have a name, and see that they are gone. Returns how many there were."""
    ended = connection.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = %s",
        [name],
    ).fetchall()
    return len(ended)


@contextmanager
def out_of_reach(connection: psycopg.Connection[Any], name: str = CLIENT) -> Generator[None]:
    """Nobody can connect any more, and the sessions that have a name are ended."""
    _let_in(connection, False)
    try:
        end_sessions(connection, name)
        yield
    finally:
        _let_in(connection, True)


def resting(
    connection: psycopg.Connection[Any], *, after: LiteralString = "run_by_id", name: str = CLIENT
) -> int:
    """The process of the session that has that name, once it has looked and rests."""

    def look() -> int | None:
        row = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND state = 'idle' AND query LIKE %s",
            [name, f"-- {after}%"],
        ).fetchone()
        return row and row[0]

    return wait_for(look, what=f"{name} to have looked")


def _let_in(connection: psycopg.Connection[Any], allowed: bool) -> None:
    # The one database that nobody can lock is that in which one is.
    info = connection.info
    with psycopg.connect(
        info.dsn, dbname="postgres", password=info.password, autocommit=True
    ) as elsewhere:
        elsewhere.execute(
            sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}").format(
                sql.Identifier(info.dbname), sql.Literal(allowed)
            )
        )
