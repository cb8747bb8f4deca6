"""The statements of the contract, typed into psql as they stand, in a project made by `rush init`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.project import Project
from tests.support.server import Server
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

DEFINE = """
INSERT INTO pipeline (name, definition) VALUES ('example_pipeline', '{"jobs": [
  {"name": "extract_data",   "class_name": "jobs.dummy_job.DummyJob", "timeout_minutes": 30, "retry_gap_minutes": 5,  "retry_limit": 3},
  {"name": "transform_data", "class_name": "jobs.move_to_db.MoveToDb", "timeout_minutes": 60, "retry_gap_minutes": 10, "retry_limit": 2}]}');
"""
REQUEST = """
INSERT INTO run_request (pipeline, job, jobinstance, status) VALUES ('example_pipeline', 'extract_data', 1, 'Pending');
"""
SHORTEST = "INSERT INTO run_request (pipeline) VALUES ('example_pipeline')"


def test_the_statements_of_the_contract(either_server: Server, tmp_path: Path) -> None:
    """Define, request, three workers: both jobs Complete, in order, archived, with logs; one master."""
    psql = shutil.which("psql")
    if psql is None:
        pytest.skip("there is no psql on this machine")
    with either_server.database() as url:
        rush = Project(tmp_path / "scratch", url)
        made = rush.rush("init", "project")
        assert made.returncode == 0, made.stderr
        rush.folder = rush.folder / "project"
        try:
            first_hour(rush, psql)
        finally:
            rush.close()


def first_hour(rush: Project, psql: str) -> None:
    type_in(psql, rush, DEFINE)
    type_in(psql, rush, REQUEST)
    for name in ("worker1", "worker2", "worker3"):
        rush.start(name)
    run = wait_for(lambda: rush.one("SELECT id FROM run"), what="the run to be there")
    rush.ended(run)

    assert rush.attempts(run) == [
        ("extract_data", 1, "Complete"),
        ("transform_data", 1, "Complete"),
    ]
    first, second = rush.sql("SELECT started_at, finished_at FROM archive ORDER BY started_at")
    assert first[1] <= second[0]
    assert "parameters" in rush.log(run)
    assert rush.one("SELECT count(*) FROM moved_rows") == 100
    assert rush.sql("SELECT count(*), min(term) FROM master_token WHERE expires_at > now()") == [
        (1, 1)
    ]
    assert {name for (name,) in rush.sql("SELECT name FROM worker WHERE state = 'Alive'")} == {
        "worker1", "worker2", "worker3"
    }  # fmt: skip
    wait_for((rush.folder / "logs" / "worker3.log").exists, what="the third worker's log file")

    type_in(psql, rush, SHORTEST)
    wait_for(
        lambda: (
            rush.sql("SELECT jobinstance, state FROM run ORDER BY id DESC LIMIT 1")
            == [(2, "Complete")]
        ),
        what="the shortest form to make the next run",
        timeout=30,
    )
    type_in(psql, rush, REQUEST)
    wait_for(
        lambda: rush.sql("SELECT state, round FROM run WHERE id = %s", run) == [("Complete", 2)],
        what="the first run to run again",
        timeout=30,
    )


def type_in(psql: str, rush: Project, statement: str) -> None:
    """Type a statement into plain psql: nothing set but where the database is."""
    typed = subprocess.run(
        [psql, "--no-psqlrc", "--set=ON_ERROR_STOP=1", rush.database],
        input=statement,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert typed.stdout == "INSERT 0 1\n", typed.stderr
