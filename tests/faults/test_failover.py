"""The server itself is replaced by its standby (B7, B8)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from rush import Client
from tests.support.postgres import Postgres, postgres, standby
from tests.support.project import Project, project
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

SETTINGS = {"poll_interval": 1.0, "worker_lease": 6.0, "master_expiry": 4.0}

WRITE = {"name": "a", "kind": "Insert", "retry_limit": 3, "retry_gap_minutes": 0}


class Pair:
    """A primary and its standby, behind one URL."""

    def __init__(self, primary: Postgres, follower: Postgres) -> None:
        self.primary = primary
        self.follower = follower
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in (primary, follower))
        self.url = f"postgresql://rush@{hosts}/rush?target_session_attrs=read-write"

    def synchronous(self) -> None:
        """What is committed is on both."""
        self.primary.set("synchronous_standby_names", "*")
        wait_for(
            lambda: self.primary.sql(
                "SELECT pid FROM pg_stat_replication WHERE sync_state = 'sync'"
            ),
            what="the standby to be synchronous",
        )

    def in_step(self) -> None:
        wait_for(
            lambda: self.primary.sql(
                "SELECT pid FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()"
            ),
            what="the standby to have all",
        )

    def cut(self) -> None:
        """The standby gets nothing any more, and nobody waits for it."""
        self.follower.set("primary_conninfo", "")
        wait_for(
            lambda: not self.primary.sql("SELECT pid FROM pg_stat_replication"),
            what="the replication to end",
        )

    def fail_over(self) -> None:
        self.primary.stop(signal.SIGQUIT)
        self.follower.sql("SELECT pg_promote()")


@pytest.fixture
def pair() -> Generator[Pair]:
    with postgres() as primary, standby(primary) as follower:
        yield Pair(primary, follower)


@contextmanager
def shop(folder: Path, pair: Pair) -> Generator[Project]:
    with project(folder, pair.url, **SETTINGS) as rush:
        rush.sql("CREATE TABLE public.effect (job text, attempt int)")
        yield rush


class Customers:
    """Somebody who goes on asking for runs, and remembers which were promised."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.promised: list[str] = []
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _ask(self) -> None:
        with Client(self._url) as client:
            while not self._stopping.wait(0.02):
                key = f"order {len(self.promised)}"
                client.submit("shop", idempotency_key=key)
                self.promised.append(key)


def back(rush: Project) -> None:
    """The test's own connection, to the new primary."""

    def connected() -> psycopg.Connection | None:
        try:
            return psycopg.connect(rush.database, autocommit=True)
        except psycopg.OperationalError:
            return None

    rush.connection.close()
    rush.connection = wait_for(connected, what="the new primary", timeout=30)


def at_rest(rush: Project) -> bool:
    return not rush.one("SELECT count(*) FROM rush.run_request WHERE status = 'Pending'") and not (
        rush.one("SELECT count(*) FROM rush.run WHERE state = 'Running'")
    )


def told(rush: Project, name: str) -> str:
    return (rush.folder / "logs" / f"{name}.log").read_text()


def test_a_synchronous_standby_takes_over_under_load_and_nothing_is_lost(
    pair: Pair, tmp_path: Path
) -> None:
    """
    B8: the primary dies under load and its synchronous standby is promoted: all that was promised is
    done once, what ran goes on as the same attempt, and nobody was started anew.
    """
    pair.synchronous()
    with shop(tmp_path / "shop", pair) as rush:
        rush.pipeline("shop", [WRITE, {"name": "b", "kind": "Noop"}])
        rush.pipeline("long", [{"name": "a", "kind": "Sleep", "params": {"seconds": 8}}])
        rush.start("worker1")
        rush.start("worker2")
        long = rush.started("long")
        rush.running(long, "a")
        customers = Customers(pair.url)
        wait_for(
            lambda: rush.one("SELECT count(*) FROM rush.run WHERE state = 'Complete'") > 20,
            what="some runs to be over",
        )

        pair.fail_over()
        before = len(customers.promised)
        wait_for(lambda: len(customers.promised) > before + 20, what="orders to go on", timeout=40)
        customers.stop()
        back(rush)
        wait_for(lambda: at_rest(rush), what="all to be over", timeout=60)

        keys = {key for (key,) in rush.sql("SELECT idempotency_key FROM rush.run_request")}
        assert set(customers.promised) - keys == set()
        assert rush.sql("SELECT DISTINCT state FROM rush.run") == [("Complete",)]
        orders = rush.one("SELECT count(*) FROM rush.run WHERE pipeline = 'shop'")
        assert rush.one("SELECT count(*) FROM public.effect") == orders
        assert rush.attempts(long) == [("a", 1, "Complete")]
        assert [each.poll() for each in rush.workers.values()] == [None, None]
        assert "failed over, from timeline 00000001 to 00000002" in told(rush, "worker1")


def test_what_an_asynchronous_standby_lacks_is_forgotten_and_the_rest_goes_on(
    pair: Pair, tmp_path: Path
) -> None:
    """
    B8: replication is cut, then the standby is promoted. What was committed in between is lost, and
    with it the runs that were promised then: no more and no less. Workers say so, what they did for the
    lost history matches nothing, and what had completed only there runs again under another token.
    """
    with shop(tmp_path / "shop", pair) as rush:
        rush.pipeline("shop", [WRITE])
        rush.pipeline(
            "known", [{"name": "a", "class_name": "jobs.wait.Wait", "params": {"for": "go"}}]
        )
        (rush.folder / "jobs" / "wait.py").write_text(WAIT)
        rush.start("worker1", slots=2)
        rush.start("worker2", slots=2)
        done = rush.started("shop")
        rush.ended(done)
        known = rush.started("known")
        holder = rush.running(known, "a")
        token = rush.one("SELECT token FROM rush.run_state WHERE run_id = %s", known)
        pair.in_step()
        pair.cut()

        # Completed in the history that is lost, ...
        (rush.folder / "go").touch()
        rush.ended(known)
        # ... and asked for and run in it.
        lost = [rush.started("shop") for _ in range(5)]
        for run in lost:
            rush.ended(run)
        pair.fail_over()
        back(rush)
        rush.ended(known, timeout=60)

        assert rush.sql("SELECT id FROM rush.run ORDER BY id") == [(done,), (known,)]
        assert rush.one("SELECT count(*) FROM public.effect") == 1
        again = rush.sql(
            "SELECT state, token <> %s FROM rush.archive WHERE run_id = %s", token, known
        )
        assert again == [("Complete", True)]
        assert "what was committed last may be lost" in told(rush, holder)
        assert rush.sql("SELECT state, count(*) FROM rush.run_state GROUP BY state") == []
        rush.ended(rush.started("shop"))


WAIT = '''
import time
from pathlib import Path

from rush import Job


class Wait(Job):
    """Until there is a file, in the project's folder."""

    def run(self):
        while not Path(self.params["for"]).exists():
            time.sleep(0.02)
'''


def test_a_worker_that_only_the_lost_history_knew_registers_anew(
    pair: Pair, tmp_path: Path
) -> None:
    """
    B8: a worker and a master's term of which the new primary has never heard: the worker enters the
    table again, and terms go on rising beyond the one that was lost.
    """
    with shop(tmp_path / "shop", pair) as rush:
        rush.pipeline("shop", [WRITE])
        pair.in_step()
        pair.cut()
        rush.start("worker1")
        rush.ended(rush.started("shop"))
        lost = rush.one("SELECT term FROM rush.master_token")

        pair.fail_over()
        back(rush)
        rush.ended(rush.started("shop"), timeout=40)

        assert rush.one("SELECT state FROM rush.worker WHERE name = 'worker1'") == "Alive"
        assert rush.one("SELECT min(term) FROM rush.master_term") > lost
        assert rush.workers["worker1"].poll() is None


def test_a_primary_that_became_read_only_is_left_for_the_one_that_is_not(
    pair: Pair, tmp_path: Path
) -> None:
    """
    B7: the old primary answers, but refuses to write (25006): workers leave it for the new one, and do
    not hammer either of them meanwhile.
    """
    pair.synchronous()
    with shop(tmp_path / "shop", pair) as rush:
        rush.pipeline("shop", [WRITE])
        rush.start("worker1")
        rush.ended(rush.started("shop"))
        pair.in_step()

        pair.primary.set("synchronous_standby_names", "")
        pair.primary.set("default_transaction_read_only", "on")
        wait_for(lambda: "read-only" in told(rush, "worker1"), what="a refusal", timeout=20)
        rush.connection.close()
        pair.follower.sql("SELECT pg_promote()")
        back(rush)
        rush.ended(rush.started("shop"), timeout=40)

        log = told(rush, "worker1")
        assert log.count("no heartbeat") + log.count("a round failed") < 60
        assert pair.follower.sql("SELECT count(*) FROM rush.run WHERE state = 'Complete'") == [(2,)]
