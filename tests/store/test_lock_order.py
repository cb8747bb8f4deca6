"""
Locks are taken in one order: worker → run_request → run_state → run.

A statement is held up at the rows of one table, by somebody who has locked them; what is
after that table in the order must still be free then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.support.kernel import Kernel, shared
from tests.support.waiting import wait_for

__all__ = ["shared"]

ORDER = ("worker", "run_request", "run_state", "run")


@pytest.fixture
def meanwhile() -> Iterator[Callable[..., Future[Any]]]:
    """Runs a call in a thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


def report(kernel: Kernel) -> Callable[[], object]:
    """A report that ends a run, and claims."""
    kernel.define({"a": []})
    worker = kernel.worker()
    kernel.start()
    kernel.start()
    claims = kernel.running(worker)
    return lambda: kernel.complete(worker, *claims, want=1)


def assign(kernel: Kernel) -> Callable[[], object]:
    kernel.define({"a": []})
    kernel.worker()
    kernel.start()
    return kernel.assign


def bury(kernel: Kernel) -> Callable[[], object]:
    """A death, and what is inherited."""
    kernel.define({"a": []})
    worker = kernel.worker()
    kernel.start()
    kernel.running(worker)
    return lambda: kernel.bury(worker)


@pytest.mark.parametrize(
    ("prepare", "table"),
    [
        (report, "worker"),
        (report, "run_state"),
        (assign, "worker"),
        (bury, "worker"),
    ],
)
def test_what_comes_later_is_not_locked_yet(
    shared: Kernel, database: str, meanwhile, prepare, table: str
):
    """
    Whoever waits for a row of one table has locked none of a later one.
    """
    statement = prepare(shared)
    pid = shared.session.connection.info.backend_pid
    with (
        psycopg.connect(database) as holder,
        psycopg.connect(database, autocommit=True) as onlooker,
    ):
        holder.execute(f"SELECT FROM rush.{table} FOR UPDATE")
        done = meanwhile(statement)
        wait_for(
            lambda: (
                onlooker.execute(
                    "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'",
                    [pid],
                ).rowcount
            ),
            what=f"the statement to wait for {table}",
        )
        locked = [later for later in after(table) if not is_free(onlooker, later)]
        holder.rollback()
        done.result(timeout=10)
    assert locked == []


def after(table: str) -> tuple[str, ...]:
    return ORDER[ORDER.index(table) + 1 :]


def is_free(onlooker: psycopg.Connection[Any], table: str) -> bool:
    rows = onlooker.execute(f"SELECT count(*) FROM rush.{table}").fetchone()
    free = onlooker.execute(f"SELECT FROM rush.{table} FOR UPDATE SKIP LOCKED").rowcount
    return rows == (free,)
