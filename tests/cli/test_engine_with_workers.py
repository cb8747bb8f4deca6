"""The engine's commands with a real worker, as people use them one after the other."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import Project, project
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

DIAMOND = """\
jobs:
  - {name: extract, class_name: jobs.kinds.Log}
  - {name: clean, class_name: jobs.kinds.Fail, depends_on: [extract], params: {until: 2},
     retry_limit: 2, retry_gap_minutes: 0.001}
  - {name: check, class_name: jobs.kinds.Params, depends_on: [extract]}
  - {name: load, class_name: jobs.kinds.Log, depends_on: [clean, check]}
"""


@pytest.fixture
def made(tmp_path: Path, database: str) -> Iterator[Project]:
    with project(tmp_path, database) as made:
        (tmp_path / "pipelines").mkdir()
        (tmp_path / "pipelines" / "etl.yaml").write_text(DIAMOND)
        made.start("worker1")
        yield made


def test_from_a_file_to_a_complete_run(made):
    """
    One command applies the file, runs the pipeline, and tells each attempt until the end.
    """
    ended = made.rush("run", "etl", "--wait", "--timeout", "60s", "-p", "day=3")

    assert ended.returncode == 0, ended.stderr
    assert "applied pipelines/etl.yaml: etl version 1" in ended.stderr
    assert "✗ clean#1 Failed after" in ended.stdout
    assert "✓ clean#2 Complete after" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("✓ etl/1 is Complete after ")

    shown = json.loads(made.rush("runs", "show", "etl/1", "--json").stdout)
    assert [(job["name"], job["state"], job["attempt"]) for job in shown["jobs"]] == [
        ("extract", "Complete", 1),
        ("clean", "Complete", 2),
        ("check", "Complete", 1),
        ("load", "Complete", 1),
    ]
    assert made.sql("SELECT value -> 'day' FROM rush.result WHERE job = 'check'") == [(3,)]
    log = made.rush("logs", "etl/1").stdout
    assert log.index("extract#1 hello from extract") < log.index("load#1 hello from load")


def test_what_is_stuck_is_explained_mended_and_run_again(made):
    """
    A Stuck run says what to do, and goes on to its end when it is retried after the mending.
    """
    made.pipeline(
        "etl",
        [{"name": "first", "kind": "Fail"}, {"name": "second", "kind": "Noop"}],
    )
    ended = made.rush("run", "etl", "--wait", "--timeout", "60s")
    assert ended.returncode == 1
    assert "etl/1 first is Stuck after attempt 1: ValueError: no luck in attempt 1" in ended.stderr
    assert "second waits for first (Stuck)" in made.rush("explain", "etl/1").stdout

    made.sql("INSERT INTO rush.job_parameter (pipeline, name, value) VALUES ('etl', 'until', '2')")
    retry = made.rush("retry", "etl/1")

    assert (retry.returncode, retry.stdout) == (0, "etl/1 runs again from first\n")
    made.ended(1)
    states = [
        job["state"] for job in json.loads(made.rush("runs", "show", "1", "--json").stdout)["jobs"]
    ]
    assert states == ["Complete", "Complete"]


def test_interrupting_a_watch_and_cancelling_the_run(made):
    """
    Ctrl-C ends the watching with 130 and leaves the run, which is then followed and cancelled.
    """
    made.pipeline("etl", [{"name": "slow", "kind": "Sleep"}])
    watching = subprocess.Popen(
        [sys.executable, "-m", "rush.cli", "run", "etl", "--wait"],
        cwd=made.folder,
        env=made.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    assert "slow#1 Running on worker1" in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=20)
    assert watching.returncode == 130
    assert "etl/1 goes on" in said
    assert made.running(1, "slow") == "worker1"

    assert made.rush("cancel", "etl/1").stdout == "etl/1 is being cancelled\n"
    made.ended(1, "Cancelled")


def test_following_a_log_to_its_end(made):
    """
    `logs -f` begins before there is a line and ends with the run, each line told once.
    """
    made.pipeline(
        "etl",
        [
            {"name": "slow", "kind": "Sleep", "params": {"seconds": 1}},
            {"name": "say", "kind": "Log"},
        ],
    )
    made.started("etl")

    ended = made.rush("logs", "etl/1", "-f")

    assert ended.returncode == 0
    assert ended.stdout.count("say#1 hello from say") == 1
    assert ended.stdout.count("say#1 printed by say") == 1


def test_a_drained_worker_takes_nothing_more(made):
    """
    A drained worker says so in the list, and what is asked for waits until another one is there.
    """
    made.pipeline("etl", [{"name": "only", "kind": "Noop"}])
    assert made.rush("workers", "drain", "worker1").returncode == 0
    wait_for(
        lambda: "Draining" in made.rush("workers").stdout, what="worker1 to be listed as draining"
    )

    assert made.rush("run", "etl").returncode == 0
    wait_for(
        lambda: made.sql("SELECT 1 FROM rush.run_state WHERE state = 'Ready' AND worker IS NULL"),
        what="the job to be Ready",
    )
    assert "no worker is alive" in made.rush("explain", "etl/1").stdout

    made.start("worker2")
    made.ended(1)
