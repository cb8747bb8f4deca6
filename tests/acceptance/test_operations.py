"""What people do to runs: cancel, pause, re-run; and what must not disturb anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.test_attempts import alive
from tests.support.project import Project
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process


def test_a_cancelled_run_ends_and_its_process_too(rush: Project, tmp_path: Path) -> None:
    """Cancel kills what runs, also what is deaf, and releases nothing after it."""
    pids = tmp_path / "pids"
    rush.pipeline(
        "p",
        [
            {"name": "a", "kind": "Deaf", "params": {"pids": str(pids)}},
            {"name": "b", "kind": "Noop"},
        ],
    )
    rush.start()
    run = rush.started("p")
    rush.running(run, "a")
    wait_for(pids.exists, what="the job to have begun")

    rush.started("p", jobinstance=1, action="cancel")
    rush.ended(run, "Cancelled")

    assert rush.attempts(run) == [("a", 1, "Cancelled")]
    assert rush.sql("SELECT * FROM rush.run_state") == []
    for pid in map(int, pids.read_text().split()):
        wait_for(lambda pid=pid: not alive(pid), what=f"process {pid} to be gone")


def test_a_job_that_asks_can_stop_in_good_order(rush: Project) -> None:
    """A job that looks at `self.cancelled` ends by itself; the run is Cancelled all the same."""
    rush.pipeline("p", [{"name": "a", "kind": "Cancelled"}, {"name": "b", "kind": "Noop"}])
    rush.start()
    run = rush.started("p")
    rush.running(run, "a")

    rush.started("p", jobinstance=1, action="cancel")
    rush.ended(run, "Cancelled")

    assert "stopping in good order" in rush.log(run)
    assert rush.attempts(run) == [("a", 1, "Complete"), ("b", 0, "Cancelled")]


def test_a_cancelled_run_can_be_run_again(rush: Project) -> None:
    """A request for a Cancelled run runs it again, what was cancelled included."""
    rush.pipeline("p", [{"name": "a", "kind": "SleepOnce"}, {"name": "b", "kind": "Noop"}])
    rush.start()
    run = rush.started("p")
    rush.running(run, "a")
    rush.started("p", jobinstance=1, action="cancel")
    rush.ended(run, "Cancelled")

    assert rush.started("p", jobinstance=1) == run
    rush.ended(run)

    assert rush.attempts(run) == [("a", 1, "Cancelled"), ("a", 2, "Complete"), ("b", 1, "Complete")]


def test_a_paused_pipeline_hands_out_nothing_until_it_is_resumed(rush: Project) -> None:
    """Paused: what runs goes on, nothing new starts. Resumed: all goes on. Other pipelines do not notice."""
    rush.pipeline(
        "p",
        [{"name": "a", "kind": "Sleep", "params": {"seconds": 1}}, {"name": "b", "kind": "Noop"}],
    )
    rush.pipeline("q", [{"name": "a", "kind": "Noop"}])
    rush.start()
    run = rush.started("p")
    rush.running(run, "a")

    rush.sql("UPDATE rush.pipeline SET paused = true WHERE name = 'p'")
    wait_for(lambda: rush.attempts(run), what="the running job to end")
    rush.ended(rush.started("q"))
    later = rush.started("p")
    rush.ended(rush.started("q"))
    states = "SELECT run_id, job, state FROM rush.run_state ORDER BY run_id"
    assert rush.sql(states) == [(run, "b", "Waiting"), (later, "a", "Waiting")]

    rush.sql("UPDATE rush.pipeline SET paused = false WHERE name = 'p'")
    rush.ended(run)
    rush.ended(later)


def test_everything_can_be_paused(rush: Project) -> None:
    """One switch holds everything; what was asked for meanwhile runs when it is released."""
    rush.pipeline("p", [{"name": "a", "kind": "Noop"}])
    rush.start()
    rush.ended(rush.started("p"))

    rush.sql("UPDATE rush.control SET paused = true")
    run = rush.started("p")
    assert rush.sql("SELECT state, worker FROM rush.run_state") == [("Ready", None)]
    rush.sql("UPDATE rush.control SET paused = false")
    rush.ended(run)


def test_without_bells_all_goes_on_by_polling(rush: Project) -> None:
    """With every trigger that rings gone, a request is found within the poll interval."""
    rush.pipeline("p", [{"name": "a", "kind": "Noop"}, {"name": "b", "kind": "Noop"}])
    rush.start("worker1")
    rush.start("worker2")
    rush.sql("DROP TRIGGER ring_master ON rush.run_request")

    run = rush.started("p")
    rush.ended(run, timeout=15)

    assert rush.attempts(run) == [("a", 1, "Complete"), ("b", 1, "Complete")]


def test_a_worker_serves_its_queues_only(rush: Project) -> None:
    """A job of another queue waits for a worker that serves it."""
    rush.pipeline(
        "p", [{"name": "a", "kind": "Noop"}, {"name": "b", "kind": "Noop", "queue": "big"}]
    )
    rush.start("worker1")
    run = rush.started("p")
    wait_for(lambda: rush.attempts(run), what="the first job to end")

    rush.start("worker2", "--queue", "big")
    rush.ended(run)

    assert rush.sql("SELECT job, worker FROM rush.archive ORDER BY job") == [
        ("a", "worker1"),
        ("b", "worker2"),
    ]


def test_changed_code_is_loaded_after_a_reload(rush: Project) -> None:
    """A warm runner is replaced by `rush workers reload`; each attempt records the code it ran."""
    rush.pipeline("p", [{"name": "a", "kind": "Params"}])
    rush.start()
    rush.ended(rush.started("p"))
    source = rush.folder / "jobs" / "kinds.py"
    source.write_text(source.read_text().replace("return self.params", "return 'changed'"))

    rush.sql("UPDATE rush.worker SET reload = true")
    wait_for(
        lambda: rush.one("SELECT reload FROM rush.worker") is False, what="the worker to hear of it"
    )
    wait_for(
        lambda: "replacing the runners" in (rush.folder / "logs" / "worker1.log").read_text(),
        what="the runners to be replaced",
    )
    run = rush.started("p")
    rush.ended(run)

    assert rush.one("SELECT value FROM rush.result WHERE run_id = %s", run) == "changed"
    assert rush.one("SELECT count(DISTINCT code) FROM rush.archive") == 2


BAD = """
import time
from rush import Job

{top}


class NotAJob:
    pass


class Good(Job):
    def run(self):
        return {value}
"""


@pytest.mark.parametrize(
    ("class_name", "top", "value", "reason", "error"),
    [
        ("os.system", "", "1", "not loaded", "os.system may not be loaded: there is no os.py"),
        (
            "jobs.bad.NotAJob",
            "",
            "1",
            "not loaded",
            "jobs.bad.NotAJob is not a subclass of rush.Job",
        ),
        ("jobs.bad.Nothing", "", "1", "not loaded", "the module jobs.bad has no Nothing"),
        (
            "jobs.absent.Job",
            "",
            "1",
            "not loaded",
            "jobs.absent.Job: there is no module jobs.absent",
        ),
        ("jobs.bad.Good", "raise OSError('at import')", "1", "raised", "OSError: at import"),
        ("jobs.bad.Good", "time.sleep(600)", "1", "timeout", "killed at its timeout of 0.9 s"),
        ("jobs.bad.Good", "import sys; sys.exit(0)", "1", "exited", "SystemExit: 0"),
        ("jobs.bad.Good", "", "{1, 2}", "raised", "the result cannot be kept as JSON"),
        ("jobs.bad.Good", "", "'\\x00'", "raised", "the result cannot be kept as JSON"),
        ("jobs.bad.Good", "", "'x' * 300_000", "too large", "the result has 300002 bytes"),
    ],
)
def test_what_cannot_be_run_fails_its_own_attempt_only(
    rush: Project, class_name: str, top: str, value: str, reason: str, error: str
) -> None:
    """A class that may not be loaded, is not there, is no job, or hangs when imported: one clear error, nothing else."""
    (rush.folder / "jobs" / "bad.py").write_text(BAD.format(top=top, value=value))
    rush.sql(
        "INSERT INTO rush.pipeline (name, definition) VALUES ('bad', jsonb_build_object('jobs',"
        " jsonb_build_array(jsonb_build_object('name', 'a', 'class_name', %s::text, 'timeout_minutes', 0.015))))",
        class_name,
    )
    rush.pipeline("good", [{"name": "a", "kind": "Noop"}])
    rush.start(slots=1)

    bad, good = rush.started("bad"), rush.started("good")
    rush.ended(bad, "Stuck")
    rush.ended(good)

    rows = rush.sql("SELECT reason, error FROM rush.archive WHERE run_id = %s", bad)
    assert rows[0][0] == reason
    assert error in rows[0][1]


def test_a_flood_of_output_is_cut_with_a_note(rush: Project) -> None:
    """Endless lines, binary output and lines without end are cut; the worker does not notice."""
    (rush.folder / "rush.toml").write_text("max_log_line = 256\nmax_log_bytes = 20000\n")
    (rush.folder / "jobs" / "loud.py").write_text(
        "import os, sys\nfrom rush import Job\n\n\nclass Loud(Job):\n    def run(self):\n"
        "        print('x' * 1000)\n"
        "        os.write(1, b'\\xff\\xfe raw \\x00 bytes\\n' + b'y' * 3_000_000)\n"
        "        for number in range(100_000):\n            print(number)\n"
    )
    rush.sql(
        "INSERT INTO rush.pipeline (name, definition) VALUES ('p',"
        """ '{"jobs": [{"name": "a", "class_name": "jobs.loud.Loud"}]}')"""
    )
    rush.start()

    run = rush.started("p")
    rush.ended(run, timeout=60)

    log = rush.log(run)
    assert "x" * 256 + " … (744 more characters cut)" in log
    assert "the log of this attempt is full" in log
    assert len(log) < 100_000
