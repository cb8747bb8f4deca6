"""Attempts: logs, results, parameters, failure, retry, timeout, the ends of processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.project import Project
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process


def test_jobs_run_in_order_with_logs_and_archive(rush: Project) -> None:
    """A chain runs in order; what it logs and prints is in the database and in the worker's file."""
    rush.pipeline("etl", [{"name": "a", "kind": "Log"}, {"name": "b", "kind": "Log"}])
    rush.start()

    run = rush.started("etl")
    rush.ended(run)

    assert rush.attempts(run) == [("a", 1, "Complete"), ("b", 1, "Complete")]
    assert rush.sql("SELECT count(*) FROM rush.run_state") == [(0,)]
    times = rush.sql(
        "SELECT started_at, finished_at FROM rush.archive WHERE run_id = %s ORDER BY job", run
    )
    assert times[0][0] <= times[0][1] <= times[1][0] <= times[1][1]
    log = rush.log(run)
    assert "INFO hello from a" in log
    assert "INFO printed by b" in log
    assert "etl/1 a#1: hello from a" in (rush.folder / "logs" / "worker1.log").read_text()


def test_a_failed_job_is_retried_after_its_gap(rush: Project) -> None:
    """A job that raises is Failed, waits for its gap, and runs again; its traceback is kept."""
    rush.pipeline(
        "p",
        [
            {
                "name": "a",
                "kind": "Fail",
                "params": {"until": 3},
                "retry_limit": 3,
                "retry_gap_minutes": 0.005,
            }
        ],
    )
    rush.start()

    run = rush.started("p")
    rush.ended(run)

    assert rush.attempts(run) == [("a", 1, "Failed"), ("a", 2, "Failed"), ("a", 3, "Complete")]
    rows = rush.sql(
        "SELECT reason, error, traceback, started_at, finished_at FROM rush.archive WHERE run_id = %s"
        " ORDER BY attempt",
        run,
    )
    assert rows[0][:2] == ("raised", "ValueError: no luck in attempt 1")
    assert "in run\n" in rows[0][2]
    assert (rows[1][3] - rows[0][4]).total_seconds() >= 0.3
    assert "ValueError: no luck in attempt 2" in rush.log(run)


def test_a_job_without_retries_left_is_stuck_and_so_is_its_run(
    rush: Project, tmp_path: Path
) -> None:
    """When retries are used up the job is Stuck, its run too, and the alert hook is called once."""
    alerts = tmp_path / "alerts"
    (rush.folder / "rush.toml").write_text(
        f'poll_interval = 1.0\nalert_command = ["sh", "-c", "cat >> {alerts}; echo >> {alerts}"]\n'
    )
    rush.pipeline(
        "p",
        [
            {"name": "a", "kind": "Fail", "retry_limit": 1, "retry_gap_minutes": 0.001},
            {"name": "b", "kind": "Noop"},
        ],
    )
    rush.start()

    run = rush.started("p")
    rush.ended(run, "Stuck")

    assert rush.attempts(run) == [("a", 1, "Failed"), ("a", 2, "Failed")]
    assert rush.sql("SELECT job, state FROM rush.run_state") == [("a", "Stuck")]
    wait_for(
        lambda: alerts.exists() and rush.one("SELECT count(*) FROM rush.alert") == 0,
        what="the alert to be called",
    )
    assert alerts.read_text().count('"message": "p/1 is Stuck at a"') == 1


@pytest.mark.parametrize(
    ("kind", "reason", "error"),
    [
        ("Exit", "exited", "the process ended (code 0) before the job had returned"),
        ("Missing", "not loaded", "jobs.kinds.Missing: the module jobs.kinds has no Missing"),
    ],
)
def test_ends_that_are_no_returns_are_failures(
    rush: Project, kind: str, reason: str, error: str
) -> None:
    """A process that ends under its job, and a class that is not there, fail the attempt only."""
    rush.pipeline("p", [{"name": "a", "kind": kind}])
    rush.pipeline("q", [{"name": "a", "kind": "Noop"}])
    rush.start(slots=1)

    stuck, fine = rush.started("p"), rush.started("q")
    rush.ended(stuck, "Stuck")
    rush.ended(fine)

    assert rush.sql("SELECT reason, error FROM rush.archive WHERE run_id = %s", stuck) == [
        (reason, error)
    ]


def test_a_timeout_kills_the_process_that_runs_the_job(rush: Project, tmp_path: Path) -> None:
    """A job deaf to SIGTERM in C code is Failed soon after its timeout, its processes gone, and retried."""
    pids = tmp_path / "pids"
    rush.pipeline(
        "p",
        [
            {
                "name": "a",
                "kind": "Deaf",
                "params": {"pids": str(pids)},
                "timeout_minutes": 0.02,
                "retry_limit": 1,
                "retry_gap_minutes": 0,
            }
        ],
    )
    rush.start()

    run = rush.started("p")
    wait_for(lambda: rush.attempts(run), what="the first attempt to fail", timeout=15)
    first = [int(pid) for pid in pids.read_text().split()]
    rush.ended(run, "Stuck")

    assert rush.sql(
        "SELECT attempt, reason FROM rush.archive WHERE run_id = %s ORDER BY 1", run
    ) == [
        (1, "timeout"),
        (2, "timeout"),
    ]
    for pid in first:
        wait_for(lambda pid=pid: not alive(pid), what=f"process {pid} to be gone")


def test_parameters_come_from_definition_table_and_request(rush: Project) -> None:
    """Later wins: the definition, then job_parameter (text as people type it), then the request."""
    rush.pipeline("p", [{"name": "a", "kind": "Params", "params": {"x": 1, "y": 1, "z": 1}}])
    rush.sql(
        "INSERT INTO rush.job_parameter VALUES ('p', '*', 'w', 'plain text'), ('p', '*', 'y', '7')"
    )
    rush.sql("INSERT INTO rush.job_parameter VALUES ('p', 'a', 'y', '[2]'), ('p', 'b', 'z', '9')")
    rush.start()

    run = rush.started("p", params='{"z": 3}')
    rush.ended(run)

    assert rush.one("SELECT value FROM rush.result WHERE run_id = %s", run) == {
        "x": 1, "w": "plain text", "y": [2], "z": 3
    }  # fmt: skip


def test_results_reach_the_jobs_after_them(rush: Project) -> None:
    """A job reads what the jobs before it have returned."""
    rush.pipeline(
        "p", [{"name": "a", "kind": "Params", "params": {"n": 4}}, {"name": "b", "kind": "Results"}]
    )
    rush.start()

    run = rush.started("p")
    rush.ended(run)

    assert rush.one("SELECT value FROM rush.result WHERE run_id = %s AND job = 'b'", run) == {
        "a": {"n": 4}
    }


def test_writes_in_a_transaction_commit_with_completion(rush: Project) -> None:
    """What an attempt wrote is there once: with the attempt that completed, not with the one that failed."""
    rush.sql("CREATE TABLE effect (job text, attempt int)")
    rush.pipeline(
        "p",
        [
            {
                "name": "a",
                "kind": "Insert",
                "params": {"until": 2},
                "retry_limit": 2,
                "retry_gap_minutes": 0,
            },
            {"name": "b", "kind": "Results"},
        ],
    )
    rush.start()

    run = rush.started("p")
    rush.ended(run)

    assert rush.sql("SELECT * FROM effect") == [("a", 2)]
    assert rush.attempts(run) == [("a", 1, "Failed"), ("a", 2, "Complete"), ("b", 1, "Complete")]
    assert rush.one("SELECT value FROM rush.result WHERE run_id = %s AND job = 'b'", run) == {
        "a": f"{run}:a:0:1"
    }


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie is gone but for its entry, which waits for its parent.
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
