"""Processes that freeze at the worst moment, die in a loop, or leave others behind (A)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.test_attempts import alive
from tests.acceptance.test_deaths import children
from tests.chaos.proxy import Fault, Message, Network
from tests.support.postgres import postgres
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
    deposit = rush.add_class(
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
    refused = "SELECT stale_writes FROM rush.worker WHERE name = 'worker1'"
    wait_for(lambda: rush.one(refused), what="it to say that it was refused", timeout=20)


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
    # One that is no plain "next run": what is plain is said together with its commit.
    request = rush.request("p", jobinstance=7)
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


def test_a_frozen_runner_is_killed_at_its_jobs_deadline(rush: Project) -> None:
    """A5: SIGSTOP of the runner alone: heartbeats go on, the timeout comes, SIGKILL ends it."""
    rush.pipeline("p", [{"name": "a", "kind": "Sleep", "timeout_minutes": 0.05}])
    rush.pipeline("q", [{"name": "a", "kind": "Noop"}])
    rush.start("worker1", slots=1)
    run = rush.started("p")
    rush.running(run, "a")
    runner = rush.one("SELECT pid FROM rush.worker")
    _, *below = family_of(rush, "worker1")
    assert runner == rush.workers["worker1"].pid

    for pid in below[1:]:
        os.kill(pid, signal.SIGSTOP)
    rush.ended(run, "Stuck")

    assert rush.sql("SELECT reason FROM rush.archive WHERE run_id = %s", run) == [("timeout",)]
    rush.ended(rush.started("q"))
    assert rush.one("SELECT count(*) FROM rush.worker WHERE state = 'Alive'") == 1


def test_all_are_killed_and_started_again(rush: Project) -> None:
    """A14: `kill -9` of all workers with runs in flight; started again they drain what there is, once."""
    rush.sql("CREATE TABLE public.effect (job text, attempt int)")
    rush.pipeline(
        "p",
        [
            {"name": "a", "kind": "Insert"} | RETRIED,
            {"name": "b", "kind": "Sleep", "params": {"seconds": 0.2}} | RETRIED,
            {"name": "c", "kind": "Insert"} | RETRIED,
        ],
    )
    rush.start("worker1")
    rush.start("worker2")
    requests = [rush.request("p") for _ in range(30)]
    wait_for(lambda: rush.one("SELECT count(*) FROM rush.archive") > 10, what="some to be done")

    for name in ("worker1", "worker2"):
        rush.kill(name)
        rush.workers[name].wait(5)
    rush.start("worker1")
    rush.start("worker2")

    for request in requests:
        _, _, run = rush.decided(request)
        assert run is not None
        rush.ended(run)
    assert rush.one("SELECT count(*) FROM public.effect") == 60


def test_a_machine_that_was_suspended_goes_on_where_it_was(rush: Project) -> None:
    """
    D6: all workers, the master among them, are frozen for twice a lease and go on together: nobody is
    declared dead, since nobody could renew, and what ran goes on as the same attempt.
    """
    rush.pipeline("long", [{"name": "a", "kind": "Sleep", "params": {"seconds": 3}}])
    rush.start("worker1", slots=1)
    rush.start("worker2", slots=1)
    runs = [rush.started("long"), rush.started("long")]
    for run in runs:
        rush.running(run, "a")

    families = family_of(rush, "worker1") + family_of(rush, "worker2")
    freeze(families)
    frozen_at = rush.one("SELECT clock_timestamp()")
    wait_for(
        lambda: (rush.one("SELECT clock_timestamp()") - frozen_at).total_seconds() > 7,
        what="twice a lease",
    )
    thaw(families)
    for run in runs:
        rush.ended(run)

    assert [rush.attempts(run) for run in runs] == [[("a", 1, "Complete")]] * 2
    assert "is dead" not in rush.said("worker1") + rush.said("worker2")


def test_a_worker_that_cannot_begin_takes_nothing(rush: Project) -> None:
    """A13: settings that cannot be right, however often it is started: exit code 2, no job touched."""
    rush.pipeline("p", [{"name": "a", "kind": "Noop"}])
    rush.request("p")
    settings = rush.folder / "rush.toml"
    good = settings.read_text()
    settings.write_text("slots = 0\n")
    for _ in range(2):
        assert rush.rush("worker", "worker1").returncode == 2
    assert rush.sql("SELECT name FROM rush.worker") == []
    settings.write_text(good)

    rush.start("worker1")
    rush.ended(rush.one("SELECT id FROM rush.run") or rush.started("p"))
    assert rush.one("SELECT max(attempt) FROM rush.archive") == 1


def test_a_job_that_holds_the_interpreter_holds_up_nobody(rush: Project) -> None:
    """A12: C code keeps the GIL for longer than a lease: its worker lives on, and its timeout ends it."""
    held = rush.add_class("Held", "import re\nre.match(r'(a+)+$', 'a' * 40 + 'b')")
    rush.pipeline("p", [{"name": "a", "class_name": held, "timeout_minutes": 0.08}])
    rush.start("worker1", slots=1)
    rush.start("worker2", slots=1)
    run = rush.started("p")
    rush.ended(run, "Stuck")
    assert rush.sql("SELECT reason FROM rush.archive") == [("timeout",)]
    assert "is dead" not in rush.said("worker1") + rush.said("worker2")


def test_what_a_job_has_left_behind_goes_with_its_timeout(rush: Project, tmp_path: Path) -> None:
    """A11: a job's grandchildren, whose parent has gone, are killed with the job's process group."""
    pids = tmp_path / "pids"
    forks = rush.add_class(
        "Forks",
        f"""
for _ in range(5):
    if os.fork() == 0:
        if os.fork() == 0:
            with open({str(pids)!r}, "a") as file:
                file.write(f"{{os.getpid()}}\\n")
            time.sleep(600)
        os._exit(0)
time.sleep(600)
""",
    )
    rush.pipeline("p", [{"name": "a", "class_name": forks, "timeout_minutes": 0.03}])
    rush.start("worker1", slots=1)
    run = rush.started("p")
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 5, what="all to be there")
    rush.ended(run, "Stuck")
    for pid in map(int, pids.read_text().split()):
        wait_for(lambda pid=pid: not alive(pid), what=f"process {pid} to be gone")


def test_an_outage_of_many_leases_is_nobodys_death(tmp_path: Path) -> None:
    """B6: the server is away for five leases: what runs goes on as the same attempt, nobody is dead."""
    with postgres() as server, project(tmp_path / "p", server.url, **SETTINGS) as rush:
        rush.pipeline("long", [{"name": "a", "kind": "Sleep", "params": {"seconds": 20}}])
        rush.start("worker1", slots=1)
        rush.start("worker2", slots=1)
        runs = [rush.started("long"), rush.started("long")]
        for run in runs:
            rush.running(run, "a")
        rush.connection.close()

        server.stop()
        began = time.monotonic()
        wait_for(lambda: time.monotonic() - began > 15, what="five leases", timeout=20)
        server.start()
        rush.connection = psycopg.connect(server.url, autocommit=True)
        for run in runs:
            rush.ended(run, timeout=40)

        assert [rush.attempts(run) for run in runs] == [[("a", 1, "Complete")]] * 2
        assert "is dead" not in rush.said("worker1") + rush.said("worker2")


def test_a_worker_without_a_turn_on_the_processor_keeps_its_lease(rush: Project) -> None:
    """E7: at the lowest priority beside busy loops on every core a worker renews its lease in time."""
    rush.pipeline("p", [{"name": "a", "kind": "Sleep", "params": {"seconds": 8}}])
    rush.start("worker1", slots=1)
    rush.start("worker2", slots=1)
    runs = [rush.started("p"), rush.started("p")]
    for run in runs:
        rush.running(run, "a")
    busy: list[subprocess.Popen[bytes]] = []
    try:
        for name in ("worker1", "worker2"):
            for pid in family_of(rush, name):
                os.setpriority(os.PRIO_PROCESS, pid, 19)
        for _ in range(2 * (os.cpu_count() or 1)):
            busy.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
        for run in runs:
            rush.ended(run, timeout=40)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert [rush.attempts(run) for run in runs] == [[("a", 1, "Complete")]] * 2
    assert "is dead" not in rush.said("worker1") + rush.said("worker2")
