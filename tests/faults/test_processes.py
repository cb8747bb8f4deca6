"""Processes that freeze at the worst moment, die in a loop, or leave others behind (A)."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.test_deaths import children
from tests.chaos.proxy import Fault, Message, Network
from tests.support.project import Project, project
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

SETTINGS = {"worker_lease": 3.0, "master_expiry": 3.0, "poll_interval": 0.5, "kill_grace": 1.0}

RETRIED = {"retry_limit": 2, "retry_gap_minutes": 0}


@pytest.fixture
def rush(tmp_path: Path, database: str) -> Iterator[Project]:
    with project(tmp_path / "project", database, **SETTINGS) as made:
        yield made


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


def add_class(rush: Project, name: str, body: str, imports: str = "import os, time") -> str:
    """A job class of the test's own. Returns its dotted path."""
    lines = "".join(f"        {line}\n" for line in body.strip().splitlines())
    (rush.folder / "jobs" / f"{name.lower()}.py").write_text(
        f"{imports}\nfrom rush import Job\n\n\nclass {name}(Job):\n    def run(self):\n{lines}"
    )
    return f"jobs.{name.lower()}.{name}"


def freeze(family: list[int]) -> None:
    for pid in family:
        os.kill(pid, signal.SIGSTOP)


def thaw(family: list[int]) -> None:
    for pid in reversed(family):
        os.kill(pid, signal.SIGCONT)


def family_of(rush: Project, name: str) -> list[int]:
    pid = rush.workers[name].pid
    return [pid, *children(pid)]


def test_locks_of_a_job_that_is_frozen_in_its_transaction_are_freed(rush: Project) -> None:
    """
    A4: a worker is frozen with a job that has a row locked in its open transaction. When the worker is
    dead that session is ended, so that the next attempt gets the lock; the frozen one, thawed, writes nothing.
    """
    rush.sql("CREATE TABLE public.account (balance int)")
    rush.sql("INSERT INTO public.account VALUES (0)")
    deposit = add_class(
        rush,
        "Deposit",
        """
with self.transaction() as connection:
    connection.execute("UPDATE account SET balance = balance + 1")
if self.attempt == 1:
    time.sleep(600)
""",
    )
    rush.pipeline("p", [{"name": "a", "class_name": deposit} | RETRIED])
    rush.start("worker1", slots=1)
    run = rush.started("p")
    rush.running(run, "a")
    rush.start("worker2", slots=1)
    wait_for(
        lambda: rush.one(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            " AND application_name LIKE 'rush job%'"
        ),
        what="the row to be locked",
    )

    family = family_of(rush, "worker1")
    freeze(family)
    rush.ended(run, timeout=40)
    thaw(family)
    generations = "SELECT generation FROM rush.worker WHERE name = 'worker1' AND state = 'Alive'"
    wait_for(lambda: rush.one(generations), what="the frozen one to be back", timeout=20)

    assert rush.attempts(run) == [("a", 1, "Failed"), ("a", 2, "Complete")]
    assert rush.one("SELECT balance FROM public.account") == 1


def test_a_master_that_is_frozen_in_its_transaction_is_followed(
    rush: Project, network: Network
) -> None:
    """
    A8: a master is frozen between a write and its commit, so that its fence holds up the next term. The
    server ends that transaction, another leads, and nothing of what was not committed is there.
    """
    rush.pipeline("p", [{"name": "a", "kind": "Noop"}])
    proxy = network.proxy(rush.database)
    armed = threading.Event()
    frozen = threading.Event()
    family: list[int] = []

    def freeze_before_commit(message: Message) -> Fault | None:
        commit = message.session == "rush worker1 master" and message.query == "COMMIT"
        if armed.is_set() and commit and message.toward == "server":
            if not frozen.is_set():
                freeze(family)
                frozen.set()
            return Fault(kind="stall", seconds=3600)
        return None

    proxy.rule = freeze_before_commit
    rush.start("worker1", "--database-url", proxy.url)
    rush.ended(rush.started("p"))
    rush.start("worker2")
    family += family_of(rush, "worker1")
    armed.set()
    request = rush.request("p")
    assert frozen.wait(20)

    _, _, run = rush.decided(request, timeout=30)
    assert rush.one("SELECT holder FROM rush.master_token") == "worker2"
    assert run is not None
    rush.ended(run)
    thaw(family)
    proxy.cut()
    armed.clear()
    proxy.heal()
    wait_for(
        lambda: rush.one("SELECT lease_expires_at > now() FROM rush.worker WHERE name = 'worker1'"),
        what="the frozen one to be back",
        timeout=20,
    )
    rush.ended(rush.started("p"))
    assert rush.one("SELECT count(*) FROM rush.run") == 3
