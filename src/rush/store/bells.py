"""Hearing bells. A bell wakes; it carries nothing that polling would miss."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from psycopg import sql

from rush.store.session import Session


@contextmanager
def listening(session: Session, channel: str) -> Generator[None]:
    """Listen on a channel for a while. The connection must be in autocommit."""
    name = sql.Identifier(channel)
    session.connection.execute(sql.SQL("LISTEN {}").format(name))
    try:
        yield
    finally:
        if not session.connection.closed:
            session.connection.execute(sql.SQL("UNLISTEN {}").format(name))


def rest(session: Session, seconds: float) -> None:
    """Wait until a bell rings, at most so many seconds."""
    for _ in session.connection.notifies(timeout=seconds, stop_after=1):
        pass
