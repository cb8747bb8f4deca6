"""What others do while a test waits: a master that decides, a run that comes to its end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import psycopg

from tests.support.factories import Factories
from tests.support.waiting import wait_for

Meanwhile = Callable[[Callable[[Factories], None]], None]


@contextmanager
def doing_meanwhile(database: str) -> Generator[Meanwhile]:
    """Starts work in threads, each with a connection of its own. What they raise fails the test."""
    with ThreadPoolExecutor() as threads:
        begun: list[Future[None]] = []

        def start(work: Callable[[Factories], None]) -> None:
            def run() -> None:
                with psycopg.connect(database, autocommit=True) as connection:
                    work(Factories(connection))

            begun.append(threads.submit(run))

        yield start
        for each in begun:
            each.result(timeout=10)


def pending(factories: Factories) -> int:
    """The id of the request that waits, once one does."""

    def look() -> int | None:
        row = factories.session.connection.execute(
            "SELECT id FROM rush.run_request WHERE status = 'Pending' ORDER BY id LIMIT 1"
        ).fetchone()
        return row and row[0]

    return wait_for(look, what="a pending request")
