"""The harness's own way to the server: straight, and through every restart."""

from __future__ import annotations

import time
from typing import Any

import psycopg

#: How long the server may be away, in seconds.
PATIENCE = 60.0


class Ground:
    """
    Runs statements that change nothing when they are run twice, until they have been run. For one
    thread.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """The rows. Raises psycopg.OperationalError when the server stays away."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self._sql(statement, values)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                self.close()
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def one(self, statement: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        rows = self.sql(statement, *values)
        return rows[0][0] if rows else None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _sql(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._url, autocommit=True, application_name="chaos", connect_timeout=5
            )
        cursor = self._connection.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []
