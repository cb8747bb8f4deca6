"""What dies on the way: workers, masters, the database. Nothing is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.test_attempts import alive
from tests.support.project import Project, project
from tests.support.server import Server
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]


def test_a_killed_workers_job_runs_again_elsewhere(rush: Project) -> None:
    """`kill -9` of the worker that runs a job: it is declared dead, and the job runs again elsewhere."""
    rush.pipeline(
        "p",
        [
            {"name": "a", "kind": "SleepOnce", "retry_limit": 1, "retry_gap_minutes": 0},
            {"name": "b", "kind": "Noop"},
        ],
    )
    rush.start("worker1", slots=1)
    rush.start("worker2", slots=1)
    run = rush.started("p")
    holder = rush.running(run, "a")
    runners = children(rush.workers[holder].pid)

    rush.kill(holder)
    rush.ended(run)

    assert rush.attempts(run) == [("a", 1, "Failed"), ("a", 2, "Complete"), ("b", 1, "Complete")]
    lost = rush.sql(
        "SELECT reason, worker FROM rush.archive WHERE run_id = %s AND attempt = 1", run
    )
    assert lost[0] == ("lost", holder)
    assert rush.one("SELECT state FROM rush.worker WHERE name = %s", holder) == "Dead"
    for pid in runners:
        wait_for(lambda pid=pid: not alive(pid), what=f"runner {pid} to die with its supervisor")


def test_another_leads_when_the_master_is_killed(rush: Project) -> None:
    """`kill -9` of the master: another takes a later term, and what was asked for meanwhile runs."""
    rush.pipeline("p", [{"name": "a", "kind": "Noop"}, {"name": "b", "kind": "Noop"}])
    rush.start("worker1")
    rush.start("worker2")
    wait_for(lambda: rush.one("SELECT holder FROM rush.master_token"), what="a master")
    holder, term = rush.sql("SELECT holder, term FROM rush.master_token")[0]

    rush.kill(holder)
    run = rush.started("p")
    rush.ended(run)

    later_holder, later_term = rush.sql("SELECT holder, term FROM rush.master_token")[0]
    assert later_holder != holder
    assert later_term > term


def test_a_master_that_leaves_in_good_order_is_followed_at_once(rush: Project) -> None:
    """SIGTERM to the master: it resigns, leaves the table, ends with 0; another leads without waiting for the lease."""
    rush.start("worker1")
    wait_for(lambda: rush.one("SELECT term FROM rush.master_token") == 1, what="the first term")
    rush.start("worker2")

    assert rush.stop("worker1") == 0

    wait_for(
        lambda: rush.one("SELECT holder FROM rush.master_token") == "worker2",
        what="worker2 to lead",
        timeout=5,
    )
    assert rush.sql("SELECT name FROM rush.worker") == [("worker2",)]


def test_a_job_that_kills_every_worker_is_stopped(rush: Project) -> None:
    """A poison job costs no more workers than the setting says, then it is Stuck."""
    (rush.folder / "rush.toml").write_text(
        "poison_limit = 2\npoll_interval = 0.5\nworker_lease = 2\n"
    )
    rush.pipeline(
        "p", [{"name": "a", "kind": "KillWorker", "retry_limit": 10, "retry_gap_minutes": 0}]
    )
    rush.start("watcher", "--queue", "none")
    run = rush.started("p")

    for number in range(3):
        process = rush.start(f"victim{number}", slots=1)
        wait_for(
            lambda process=process: (
                process.poll() is not None or rush.told(run)[0][0][0] == "Stuck"
            ),
            what="the victim to die, or the job to be stopped",
            timeout=20,
        )
    rush.ended(run, "Stuck")

    assert [rush.workers[f"victim{n}"].poll() is None for n in range(3)] == [False, False, True]


def test_restart_of_the_database_in_mid_run(tmp_path: Path) -> None:
    """The server restarts while jobs run: everything reconnects, the long job is not run again, all completes."""
    own = Server(tmp_path / "server", None)
    try:
        with own.database() as url, project(tmp_path / "project", url) as rush:
            rush.pipeline(
                "p",
                [
                    {"name": "a", "kind": "Sleep", "params": {"seconds": 6}},
                    {"name": "b", "kind": "Noop"},
                ],
            )
            rush.start("worker1")
            rush.start("worker2")
            run = rush.started("p")
            rush.running(run, "a")

            rush.connection.close()
            own.embedded.stop()
            own.embedded.start()
            rush.connection = wait_for(lambda: connected(url), what="the database to be back")
            rush.ended(run, timeout=40)

            assert rush.attempts(run) == [("a", 1, "Complete"), ("b", 1, "Complete")]
            assert rush.one("SELECT count(*) FROM rush.worker WHERE state = 'Alive'") == 2
    finally:
        own.remove()


def test_a_stopping_worker_finishes_what_runs_and_gives_back_the_rest(rush: Project) -> None:
    """SIGTERM: what runs may finish, what has not begun goes to others without an attempt; exit code 0."""
    rush.pipeline("p", [{"name": "a", "kind": "Sleep", "params": {"seconds": 2}}])
    rush.start("worker1", slots=1)
    first, second = rush.started("p"), rush.started("p")
    rush.running(first, "a")

    assert rush.stop("worker1") == 0

    assert rush.one("SELECT state FROM rush.run WHERE id = %s", first) == "Complete"
    assert rush.sql(
        "SELECT state, attempt, worker FROM rush.run_state WHERE run_id = %s", second
    ) == [("Ready", 0, None)]
    assert rush.sql("SELECT name FROM rush.worker") == []


def test_a_second_signal_means_now(rush: Project) -> None:
    """A second SIGTERM: what runs is killed and given back, its attempt not counted; exit code 0."""
    rush.pipeline("p", [{"name": "a", "kind": "Sleep"}])
    rush.start("worker1", slots=1)
    run = rush.started("p")
    rush.running(run, "a")

    rush.kill("worker1", signal.SIGTERM)
    wait_for(
        lambda: rush.one("SELECT state FROM rush.worker") != "Alive" or stopping(rush),
        what="stopping",
    )
    rush.kill("worker1", signal.SIGTERM)

    assert rush.workers["worker1"].wait(10) == 0
    assert rush.attempts(run) == []
    assert rush.sql("SELECT state, attempt, worker FROM rush.run_state") == [("Ready", 0, None)]


def test_a_live_workers_name_is_refused(rush: Project) -> None:
    """A second worker of a live name is refused with the reason, exit code 2; the first is untouched."""
    rush.start("worker1")

    second = rush.rush("worker", "worker1")

    assert second.returncode == 2
    assert "there is a worker named worker1 already (pid" in second.stderr
    assert rush.workers["worker1"].poll() is None


def test_a_restarted_worker_takes_its_dead_names_place_at_once(rush: Project) -> None:
    """The same host with a dead pid takes over: what the dead one held is orphaned at once."""
    rush.pipeline(
        "p", [{"name": "a", "kind": "SleepOnce", "retry_limit": 1, "retry_gap_minutes": 0}]
    )
    rush.start("worker1", slots=1)
    run = rush.started("p")
    rush.running(run, "a")

    rush.kill("worker1")
    rush.workers["worker1"].wait(5)
    rush.start("worker1", slots=1)
    rush.ended(run)

    assert rush.attempts(run) == [("a", 1, "Failed"), ("a", 2, "Complete")]


def test_a_frozen_worker_comes_back_and_changes_nothing(rush: Project) -> None:
    """Frozen past its lease and resumed: its job has run elsewhere, its report is refused, it registers anew."""
    (rush.folder / "rush.toml").write_text(
        "poll_interval = 0.5\nworker_lease = 2\nmaster_expiry = 2\n"
    )
    rush.pipeline(
        "p",
        [
            {
                "name": "a",
                "kind": "Sleep",
                "params": {"seconds": 4},
                "retry_limit": 1,
                "retry_gap_minutes": 0,
            }
        ],
    )
    rush.start("worker1", slots=1)
    rush.start("worker2", slots=1)
    run = rush.started("p")
    holder = rush.running(run, "a")
    generation = rush.one("SELECT generation FROM rush.worker WHERE name = %s", holder)
    family = [rush.workers[holder].pid, *children(rush.workers[holder].pid)]

    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    rush.ended(run, timeout=40)
    for pid in reversed(family):
        os.kill(pid, signal.SIGCONT)
    wait_for(
        lambda: (
            rush.one(
                "SELECT generation FROM rush.worker WHERE name = %s AND state = 'Alive'", holder
            )
            not in (None, generation)
        ),
        what="the frozen worker to register anew",
        timeout=20,
    )

    assert rush.attempts(run) == [("a", 1, "Failed"), ("a", 2, "Complete")]
    again = rush.started("p", jobinstance=2)
    rush.ended(again)


def stopping(rush: Project) -> bool:
    return "stopping" in (rush.folder / "logs" / "worker1.log").read_text()


def children(pid: int) -> list[int]:
    """What a process has started, and what these have."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for task in tasks for child in task.read_text().split()]
    return found + [further for child in found for further in children(child)]


def connected(url: str) -> psycopg.Connection | None:
    try:
        return psycopg.connect(url, autocommit=True)
    except psycopg.OperationalError:
        return None
