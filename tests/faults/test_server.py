"""A server at its limits, or set so that it cannot be trusted (B)."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors as pg

from rush import Client
from rush.errors import DatabaseError
from tests.support.postgres import Postgres, give, postgres, scratch
from tests.support.project import Project, project
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

SETTINGS = {"worker_lease": 5.0, "master_expiry": 4.0, "poll_interval": 0.5}

INSERT = {"name": "a", "kind": "Insert", "retry_limit": 20, "retry_gap_minutes": 0.005}


@contextmanager
def working(folder: Path, server: Postgres, *workers: str, **settings: Any) -> Generator[Project]:
    with project(folder, server.url, **(SETTINGS | settings)) as rush:
        rush.sql("CREATE TABLE IF NOT EXISTS public.effect (job text, attempt int)")
        rush.pipeline("p", [{"name": "a", "kind": "Noop"}, {"name": "b", "kind": "Noop"}])
        rush.pipeline("long", [{"name": "a", "kind": "Sleep", "params": {"seconds": 3}}])
        rush.pipeline("writes", [INSERT])
        for name in workers:
            rush.start(name, slots=2)
        yield rush


@pytest.fixture
def server() -> Generator[Postgres]:
    with postgres() as server:
        yield server


def connected(url: str) -> psycopg.Connection | None:
    try:
        return psycopg.connect(url)
    except psycopg.OperationalError:
        return None


def back(rush: Project, server: Postgres) -> None:
    rush.connection.close()
    wait_for(server.answers, what="the server to be back", timeout=60)
    rush.connection = psycopg.connect(rush.database, autocommit=True)


def log(rush: Project, name: str = "worker1") -> str:
    return (rush.folder / "logs" / f"{name}.log").read_text()


def all_live(rush: Project) -> bool:
    return all(process.poll() is None for process in rush.workers.values())


def test_a_server_that_recovers_is_waited_for(server: Postgres, tmp_path: Path) -> None:
    """
    B1, B5: after a crash the server is starting up (57P03) for a while. Workers wait for it; what ran
    goes on, and nobody is declared dead.
    """
    with working(tmp_path / "p", server, "worker1", "worker2") as rush:
        run = rush.started("long")
        rush.running(run, "a")
        server.stop(signal.SIGQUIT)
        server.start()
        back(rush, server)
        rush.ended(run)
        rush.ended(rush.started("p"))
        assert rush.attempts(run) == [("a", 1, "Complete")]
        assert "is dead" not in log(rush, "worker1") + log(rush, "worker2")
        assert all_live(rush)


def test_without_connections_left_it_backs_off_and_goes_on(tmp_path: Path) -> None:
    """
    B9: max_connections is reached (53300). Workers keep the sessions that they have, jobs that need one
    fail and are retried, nobody ends, and all goes on when there is room again.
    """
    with (
        postgres({"max_connections": 12, "superuser_reserved_connections": 1}) as server,
        working(tmp_path / "p", server, "worker1") as rush,
    ):
        rush.ended(rush.started("p"))
        with ExitStack() as crowd:
            # All places, also that which is reserved for superusers: Rush's role is one here.
            while (guest := connected(server.url)) is not None:
                crowd.enter_context(guest)
            rush.sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'rush worker1 reports'"
            )
            crowd.enter_context(psycopg.connect(server.url))
            requests = [rush.request("writes"), rush.request("p")]
            wait_for(lambda: log(rush).count("too many clients") > 2, what="refused connections")
            assert all_live(rush)
        for request in requests:
            _, _, made = rush.decided(request, timeout=40)
            assert made is not None
            rush.ended(made, timeout=40)
        assert rush.sql("SELECT count(*) FROM public.effect") == [(1,)]
        assert all_live(rush)


def test_a_full_disk_is_waited_out(tmp_path: Path) -> None:
    """
    B12: the disk of the server's data is full (53100). Asking for a run fails cleanly, workers stay and
    wait, and all goes on when there is room again: everything that was accepted is done once.
    """
    with (
        small_disk(160) as folder,
        postgres(folder=folder) as server,
        working(tmp_path / "p", server, "worker1") as rush,
    ):
        rush.ended(rush.started("p"))
        running = rush.started("long")
        rush.running(running, "a")
        fill(folder / "filler")

        accepted = refused = 0
        with Client(server.url) as client:
            for _ in range(2000):
                try:
                    client.submit("writes", params={"filler": "x" * 20_000})
                    accepted += 1
                except DatabaseError as error:
                    refused += 1
                    assert "No space left" in str(error) or "out of reach" in str(error)
                    break
        assert refused
        assert all_live(rush)

        (folder / "filler").unlink()
        if server.process is None or server.process.poll() is not None:
            server.start()
        back(rush, server)
        rush.ended(running, timeout=60)
        wait_for(
            lambda: (
                not rush.one("SELECT count(*) FROM rush.run_request WHERE status = 'Pending'")
                and not rush.one("SELECT count(*) FROM rush.run WHERE state = 'Running'")
            ),
            what="all to be done",
            timeout=60,
        )
        done = rush.one("SELECT count(*) FROM rush.run WHERE pipeline = 'writes'")
        assert done >= accepted
        assert rush.one("SELECT count(*) FROM public.effect") == done
        assert rush.attempts(running) == [("a", 1, "Complete")]
        assert all_live(rush)


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system of that size. Needs root."""
    with scratch() as folder:
        options = f"size={megabytes}m,mode=0700"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],
            check=False,
            capture_output=True,
        )
        if mounted.returncode != 0:
            pytest.skip("file systems cannot be mounted here")
        try:
            give(folder)
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def fill(path: Path, *, but: int = 0) -> None:
    """Fill a file system to the brim, or nearly."""
    state = os.statvfs(path.parent)
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, state.f_bavail * state.f_bsize - but))


def test_a_locked_table_is_waited_for(server: Postgres, tmp_path: Path) -> None:
    """
    B16: somebody holds ACCESS EXCLUSIVE on `run_state` for longer than a lease: heartbeats do not need it,
    nobody is declared dead, what runs goes on, and what it had to say is said then.
    """
    with working(tmp_path / "p", server, "worker1", "worker2") as rush:
        run = rush.started("long")
        rush.running(run, "a")
        seen = "SELECT min(last_seen) FROM rush.worker"
        with psycopg.connect(server.url) as other:
            other.execute("LOCK TABLE rush.run_state")
            locked_at = rush.one("SELECT now()")
            request = rush.request("p")
            wait_for(
                lambda: (rush.one(seen) - locked_at).total_seconds() > 7,
                what="heartbeats for longer than a lease",
                timeout=20,
            )
        rush.ended(run)
        _, _, later = rush.decided(request)
        assert later is not None
        rush.ended(later)
        assert rush.attempts(run) == [("a", 1, "Complete")]
        assert "is dead" not in log(rush, "worker1") + log(rush, "worker2")


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout"])
def test_statements_that_are_cut_short_are_said_again(
    server: Postgres, tmp_path: Path, setting: str
) -> None:
    """B11: a timeout of the role's own, hit while a table is locked: tried again, and all completes."""
    server.sql(f"ALTER ROLE rush SET {setting} = '300ms'", database="postgres")
    with working(tmp_path / "p", server, "worker1") as rush:
        rush.ended(rush.started("p"))
        run = rush.started("long")
        rush.running(run, "a")
        with psycopg.connect(server.url) as other:
            other.execute("SET statement_timeout = 0")
            other.execute("LOCK TABLE rush.run_state")
            before = len(log(rush))
            wait_for(
                lambda: "timeout" in log(rush)[before:] or "try again" in log(rush)[before:],
                what="a statement that is cut short",
                timeout=30,
            )
        rush.ended(run)
        assert rush.attempts(run) == [("a", 1, "Complete")]
        assert all_live(rush)


def test_a_job_that_loses_a_race_of_its_own_is_retried(server: Postgres, tmp_path: Path) -> None:
    """
    B10: two jobs lock the same rows in opposite order. One of them gets the deadlock (40P01), which is
    its failure and is retried; both complete, and each has written once.
    """
    with working(tmp_path / "p", server, "worker1") as rush:
        rush.sql("CREATE TABLE public.account (id int PRIMARY KEY, balance int)")
        rush.sql("INSERT INTO public.account VALUES (1, 0), (2, 0)")
        (rush.folder / "jobs" / "crossing.py").write_text(CROSSING)
        job = {"class_name": "jobs.crossing.Crossing", "retry_limit": 5, "retry_gap_minutes": 0.005}
        rush.pipeline(
            "crossing",
            [
                job | {"name": "up", "depends_on": [], "params": {"rows": [1, 2]}},
                job | {"name": "down", "depends_on": [], "params": {"rows": [2, 1]}},
            ],
        )
        run = rush.started("crossing")
        rush.ended(run, timeout=40)
        assert rush.sql("SELECT balance FROM public.account") == [(2,), (2,)]
        errors = rush.sql("SELECT error FROM rush.archive WHERE state = 'Failed'")
        assert any("deadlock detected" in error for (error,) in errors)


CROSSING = """
import time
from pathlib import Path

from rush import Job


class Crossing(Job):
    def run(self):
        first, second = self.params["rows"]
        with self.transaction() as connection:
            connection.execute("UPDATE public.account SET balance = balance + 1 WHERE id = %s", (first,))
            Path(f"has-{first}").touch()
            until = time.monotonic() + 5
            while not Path(f"has-{second}").exists() and time.monotonic() < until:
                time.sleep(0.01)
            connection.execute("UPDATE public.account SET balance = balance + 1 WHERE id = %s", (second,))
"""


def test_a_deadlock_with_a_stranger_is_no_failure(server: Postgres, tmp_path: Path) -> None:
    """B10: a statement of Rush's own that is chosen as the victim of a deadlock is said again."""
    with working(tmp_path / "p", server, "worker1") as rush:
        run = rush.started("long")
        rush.running(run, "a")
        with psycopg.connect(server.url) as other:
            # The worker's report takes the worker's row, then the job's; this takes them the other way.
            other.execute("SET deadlock_timeout = '60s'")
            other.execute("SELECT FROM rush.run_state WHERE run_id = %s FOR UPDATE", [run])
            wait_for(
                lambda: rush.one(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND application_name = 'rush worker1 reports'"
                ),
                what="the report to wait",
            )
            other.execute("SELECT FROM rush.worker WHERE name = 'worker1' FOR UPDATE")
        rush.ended(run)
        assert rush.attempts(run) == [("a", 1, "Complete")]
        assert "deadlock detected" in log(rush)


def test_what_a_prepared_transaction_holds_is_passed_over(tmp_path: Path) -> None:
    """
    B18: somebody's prepared transaction was left behind and holds a Ready row. Others pass it by, `rush
    doctor` names it, and the row goes on when it is over.
    """
    with (
        postgres({"max_prepared_transactions": 5}) as server,
        working(tmp_path / "p", server) as rush,
    ):
        rush.sql("UPDATE rush.control SET paused = true")
        rush.start("worker1")
        held, free = rush.started("p"), rush.started("p")
        with psycopg.connect(server.url, autocommit=True) as other:
            other.execute("BEGIN")
            other.execute("SELECT FROM rush.run_state WHERE run_id = %s FOR UPDATE", [held])
            other.execute("PREPARE TRANSACTION 'left behind'")
        rush.sql("UPDATE rush.control SET paused = false")

        rush.ended(free)
        assert "left behind" in rush.rush("doctor").stdout
        assert rush.one("SELECT state FROM rush.run WHERE id = %s", held) == "Running"
        rush.sql("ROLLBACK PREPARED 'left behind'")
        rush.ended(held)


@pytest.mark.parametrize(
    ("take", "give_back"),
    [
        ("ALTER ROLE runner NOLOGIN", "ALTER ROLE runner LOGIN"),
        (
            "REVOKE ALL ON ALL TABLES IN SCHEMA rush FROM runner",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA rush TO runner",
        ),
    ],
    ids=["may not log in", "may not touch the tables"],
)
def test_a_role_that_lost_its_rights_is_told_and_not_hammered(
    server: Postgres, tmp_path: Path, take: str, give_back: str
) -> None:
    """
    B20: the workers' role is locked out in mid-run (28000), or loses its rights (42501): the log says so,
    tries come ever more slowly, and all goes on once it is mended.
    """
    server.sql("CREATE ROLE runner LOGIN")
    server.sql("GRANT USAGE ON SCHEMA rush TO runner")
    server.sql("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA rush TO runner")
    server.sql("GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA rush TO runner")
    with working(tmp_path / "p", server) as rush:
        rush.start("worker1", "--database-url", server.url.replace("rush@", "runner@"))
        rush.ended(rush.started("p"))
        before = log(rush)
        rush.sql(take)
        rush.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'runner'")
        said = ("not permitted to log in", "permission denied")
        wait_for(lambda: any(each in log(rush)[len(before) :] for each in said), what="the reason")
        marked = rush.one("SELECT clock_timestamp()")
        wait_for(
            lambda: (rush.one("SELECT clock_timestamp()") - marked).total_seconds() > 8,
            what="eight seconds of it",
        )
        tries = log(rush)[len(before) :].count(" WARN ") + log(rush)[len(before) :].count(" ERROR ")
        assert tries < 60
        rush.sql(give_back)
        rush.ended(rush.started("p"), timeout=40)
        assert all_live(rush)


def test_settings_that_lose_what_was_accepted_are_told_when_a_worker_starts(
    server: Postgres, tmp_path: Path
) -> None:
    """B19: fsync and synchronous_commit off, a table of Rush's UNLOGGED: in the log, and by `rush doctor`."""
    server.sql("ALTER ROLE rush SET synchronous_commit = off")
    server.sql("ALTER TABLE rush.run_request SET UNLOGGED")
    with working(tmp_path / "p", server, "worker1") as rush:
        said = rush.rush("doctor").stdout
        for text in (log(rush), said):
            assert "fsync, synchronous_commit" in text
            assert "run_request" in text
        rush.ended(rush.started("p"))


def test_a_time_zone_and_a_search_path_of_the_role_change_nothing(
    server: Postgres, tmp_path: Path
) -> None:
    """B19: whatever the role's time zone, date style, search path or transaction level: it works."""
    for setting in (
        "timezone = 'Asia/Kathmandu'",
        "datestyle = 'German, DMY'",
        "intervalstyle = 'iso_8601'",
        "search_path = pg_catalog, public",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_deferrable = on",
        "extra_float_digits = 0",
        "bytea_output = 'escape'",
        "standard_conforming_strings = off",
    ):
        server.sql(f"ALTER ROLE rush SET {setting}")
    with working(tmp_path / "p", server, "worker1", "worker2") as rush:
        runs = [rush.started("p") for _ in range(20)] + [rush.started("writes")]
        for run in runs:
            rush.ended(run)
        with pytest.raises(pg.UndefinedTable):
            rush.sql("SELECT FROM run_state")
