"""Workers behind PgBouncer in transaction mode (C10): no session is anybody's."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import errors as pg

from rush import Client
from rush.store.database import connect
from rush.store.migrate import migrate
from rush.store.session import Session
from rush.store.wire import Wire
from tests.support.pooler import Pooler, pgbouncer
from tests.support.project import Project, project
from tests.support.waiting import wait_for

SETTINGS = {"poll_interval": 0.5, "worker_lease": 4.0, "master_expiry": 3.0}


@pytest.fixture
def pooler(database: str) -> Generator[Pooler]:
    with pgbouncer(database) as pooler:
        yield pooler


@pytest.fixture
def rush(pooler: Pooler, database: str, tmp_path: Path) -> Generator[Project]:
    with behind(pooler, database, tmp_path) as made:
        yield made


@contextmanager
def behind(pooler: Pooler, database: str, folder: Path) -> Generator[Project]:
    """A project whose workers reach the database through the pooler alone; the test itself does not."""
    with project(folder / "project", pooler.url, **SETTINGS) as made:
        made.connection.close()
        made.connection = psycopg.connect(database, autocommit=True)
        yield made


def test_a_pooler_is_recognised(database: str, pooler: Pooler) -> None:
    """C10: a session behind a pooler is not taken for one of the server's own."""
    with (
        connect(database, application_name="t") as direct,
        connect(pooler.url, application_name="t") as pooled,
    ):
        assert not Session(direct, "rush").pooled
        assert Session(pooled, "rush").pooled


def test_nothing_is_left_behind_in_the_sessions_of_others(
    pooler: Pooler, connection: psycopg.Connection
) -> None:
    """C10: what a wire sets is over with its transaction, nothing is prepared, nobody listens."""
    with connect(pooler.url, application_name="t") as pooled:
        wire = Wire(pooled, "rush")
        wire.bound(3)
        wire.settle_plans(keyed=True)
        wire.listen("rush:workers")
        for _ in range(20):
            wire.one("workers_alive")
            with wire.transaction():
                wire.one("workers_alive")
    plain = psycopg.connect(pooler.url, autocommit=True, prepare_threshold=None)
    with plain:
        for _ in range(20):
            assert plain.execute(
                "SELECT current_setting('statement_timeout'), current_setting('enable_seqscan'),"
                " (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels())"
            ).fetchone() == ("0", "on", 0, 0)


def test_what_is_set_holds_in_each_transaction(
    pooler: Pooler, connection: psycopg.Connection
) -> None:
    """C10: a wire's limits hold through a pooler too, within and without a transaction."""
    with connect(pooler.url, application_name="t") as pooled, connection.transaction():
        wire = Wire(pooled, "rush")
        wire.bound(0.5)
        connection.execute("LOCK TABLE rush.worker")
        with pytest.raises(pg.QueryCanceled):
            wire.one("workers_alive")
        with pytest.raises(pg.QueryCanceled), wire.transaction():
            wire.one("workers_alive")


def test_a_schema_is_made_through_a_pooler(empty_database: str) -> None:
    """C10: `rush db migrate` needs no session either, and a second time finds nothing to do."""
    with pgbouncer(empty_database) as pooler:
        assert migrate(pooler.url)
        assert migrate(pooler.url) == []


@pytest.mark.process
@pytest.mark.slow
def test_everything_works_by_polling(rush: Project, pooler: Pooler) -> None:
    """
    C10: chains, fans, retries, own transactions, results and logs work through a pooler that gives
    every transaction another session; the log and `rush doctor` say that bells are not heard.
    """
    rush.sql("CREATE TABLE public.effect (job text, attempt int)")
    rush.pipeline(
        "p",
        [
            {"name": "a", "kind": "Log"},
            {"name": "b", "kind": "Insert", "depends_on": ["a"]},
            {"name": "c", "kind": "Fail", "depends_on": ["a"], "params": {"until": 2},
             "retry_limit": 2, "retry_gap_minutes": 0},
            {"name": "d", "kind": "Results", "depends_on": ["b", "c"]},
        ],
    )  # fmt: skip
    rush.start("worker1")
    rush.start("worker2")
    runs = [rush.started("p") for _ in range(10)]
    for run in runs:
        rush.ended(run, timeout=40)

    assert rush.one("SELECT count(*) FROM public.effect") == 10
    assert "hello from a" in rush.log(runs[0])
    assert "behind a pooler: bells are not heard" in log(rush, "worker1")
    assert "no heartbeat" not in log(rush, "worker1") + log(rush, "worker2")
    assert "trying again" not in log(rush, "worker1") + log(rush, "worker2")
    said = rush.rush("doctor")
    assert "a pooler stands between" in said.stdout
    with Client(pooler.url) as client:
        assert client.submit("p").wait(timeout=40).state == "Complete"
    assert rush.stop("worker1") == 0
    assert rush.stop("worker2") == 0


@pytest.mark.process
@pytest.mark.slow
def test_sessions_that_the_pooler_replaces_are_nobodys_death(database: str, tmp_path: Path) -> None:
    """C10: the pooler ends its sessions every second; nobody is declared dead, and a long job goes on."""
    with (
        pgbouncer(database, lifetime=1) as pooler,
        behind(pooler, database, tmp_path) as rush,
    ):
        rush.pipeline("p", [{"name": "a", "kind": "Sleep", "params": {"seconds": 8}}])
        rush.start("worker1", slots=1)
        rush.start("worker2", slots=1)
        runs = [rush.started("p"), rush.started("p")]
        for run in runs:
            rush.ended(run, timeout=40)
        assert [rush.attempts(run) for run in runs] == [[("a", 1, "Complete")]] * 2
        assert "is dead" not in log(rush, "worker1") + log(rush, "worker2")


@pytest.mark.process
@pytest.mark.slow
def test_a_death_is_noticed_when_the_lease_is_over(rush: Project) -> None:
    """C10: `kill -9` of a worker, who is master too: both leases run out, and the job runs elsewhere."""
    rush.pipeline(
        "p", [{"name": "a", "kind": "SleepOnce", "retry_limit": 1, "retry_gap_minutes": 0}]
    )
    rush.start("worker1", slots=1)
    run = rush.started("p")
    rush.running(run, "a")
    rush.start("worker2", slots=1)

    rush.kill("worker1", signal.SIGKILL)
    rush.ended(run, timeout=40)

    assert rush.attempts(run) == [("a", 1, "Failed"), ("a", 2, "Complete")]
    wait_for(
        lambda: rush.one("SELECT holder FROM rush.master_token") == "worker2", what="a new master"
    )


def log(rush: Project, name: str) -> str:
    return (rush.folder / "logs" / f"{name}.log").read_text()
