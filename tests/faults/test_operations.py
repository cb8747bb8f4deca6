"""What people do to a database that is in use: backups and restores, retention, maintenance (O, B17)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from rush.store import history
from rush.store.session import Session
from tests.support.factories import Factories
from tests.support.postgres import postgres
from tests.support.project import Project, project
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

RETRIED = {"retry_limit": 2, "retry_gap_minutes": 0}


def test_a_backup_that_was_taken_in_mid_run_goes_on_when_it_is_restored(tmp_path: Path) -> None:
    """
    O2, F9: a dump is taken while a job runs, and restored after that run has ended: its job is lost with its
    worker and runs again, terms go on rising from those of the dump, and new runs work.
    """
    with postgres() as server, project(tmp_path / "p", server.url, poll_interval=0.5) as rush:
        rush.pipeline(
            "p",
            [
                {"name": "a", "kind": "Noop"},
                {"name": "b", "kind": "SleepOnce"} | RETRIED,
                {"name": "c", "kind": "Noop"},
            ],
        )
        rush.start("worker1")
        run = rush.started("p")
        rush.running(run, "b")
        dump = str(server.folder / "dump")
        server.run("pg_dump", "-Fc", "-f", dump, "-d", server.url)
        term = rush.one("SELECT max(term) FROM rush.master_term")
        later = rush.started("p")
        rush.kill("worker1")
        rush.workers["worker1"].wait(5)
        rush.connection.close()

        server.sql("DROP DATABASE rush WITH (FORCE)", database="postgres")
        server.run("pg_restore", "-C", "-d", server.at("postgres"), dump)
        rush.connection = psycopg.connect(server.url, autocommit=True)
        assert rush.sql("SELECT id FROM rush.run") == [(run,)]
        rush.start("worker2")
        rush.ended(run, timeout=40)

        assert rush.attempts(run) == [
            ("a", 1, "Complete"),
            ("b", 1, "Failed"),
            ("b", 2, "Complete"),
            ("c", 1, "Complete"),
        ]
        assert rush.one("SELECT term FROM rush.master_token") > term
        # What was asked for after the dump is forgotten: its number is given again.
        assert rush.started("p") == later


def test_retention_waits_for_nobody_who_reads(database: str) -> None:
    """
    O3: a partition that somebody reads is not dropped under him: the attempt gives up after a moment, and
    nobody waits behind it; later it goes.
    """
    with (
        psycopg.connect(database, autocommit=True) as connection,
        psycopg.connect(database) as reader,
    ):
        factories = Factories(connection)
        session = Session(connection, "rush")
        old = datetime.now(UTC) - timedelta(weeks=10)
        history.make_partitions(session, now=old)
        factories.pipeline()
        run = factories.run()
        factories.attempt(run, "extract", started=-86400 * 70, finished=-86400 * 70)
        assert reader.execute("SELECT count(*) FROM rush.archive").fetchone() == (1,)

        with pytest.raises(psycopg.errors.LockNotAvailable):
            history.drop_partitions(session, before=datetime.now(UTC) - timedelta(weeks=8))
        assert reader.execute("SELECT count(*) FROM rush.archive").fetchone() == (1,)
        reader.rollback()
        dropped = history.drop_partitions(session, before=datetime.now(UTC) - timedelta(weeks=8))
        assert dropped
        assert reader.execute("SELECT count(*) FROM rush.archive").fetchone() == (0,)


def test_maintenance_goes_on_beside_work(rush: Project) -> None:
    """B17: a freezing vacuum of everything, and a reindex without locks, while runs go on."""
    rush.pipeline("p", [{"name": "a", "kind": "Noop"}, {"name": "b", "kind": "Noop"}])
    rush.start("worker1")
    rush.start("worker2")
    requests = [rush.request("p") for _ in range(300)]
    for _ in range(3):
        rush.sql("VACUUM (FREEZE, ANALYZE)")
    rush.sql("REINDEX TABLE CONCURRENTLY rush.run_state")
    for request in requests:
        _, _, run = rush.decided(request)
        assert run is not None
        rush.ended(run)
    wait_for(
        lambda: rush.sql("SELECT DISTINCT state FROM rush.run") == [("Complete",)], what="the end"
    )


def test_a_long_snapshot_holds_up_nobody(rush: Project) -> None:
    """B15: somebody keeps a snapshot open while thousands of jobs come and go: all of them complete."""
    rush.pipeline("p", [{"name": "a", "kind": "Noop"}, {"name": "b", "kind": "Noop"}])
    rush.start("worker1")
    with psycopg.connect(rush.database) as other:
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT count(*) FROM rush.run_state")
        rush.sql("INSERT INTO rush.run_request (pipeline) SELECT 'p' FROM generate_series(1, 2000)")
        wait_for(
            lambda: rush.one("SELECT count(*) FROM rush.run WHERE state = 'Complete'") == 2000,
            what="all to complete",
            timeout=60,
        )


def test_a_connection_that_must_be_secret_is_so_or_is_none(tmp_path: Path) -> None:
    """C11: a server without TLS and a URL that asks for it: a clear error, and no plain connection."""
    with postgres() as server, project(tmp_path / "p", server.url) as rush:
        done = rush.rush("runs", "--database-url", f"{server.url}?sslmode=require")
        assert done.returncode == 4
        assert "server does not support SSL, but SSL was required" in done.stderr
