"""`rush dev`: a person works on a project, and sees in the browser what it does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rush.client import Client
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

JOB = """
from rush import Job

class Say(Job):
    def run(self):
        return {word!r}
"""
PIPELINE = "name: hello\njobs: [{name: say, class_name: jobs.say.Say}]\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("jobs", "pipelines"):
        (tmp_path / name).mkdir()
    (tmp_path / "jobs" / "__init__.py").touch()
    (tmp_path / "jobs" / "say.py").write_text(JOB.format(word="one"))
    (tmp_path / "pipelines" / "hello.yaml").write_text(PIPELINE)
    return tmp_path


@pytest.fixture
def dev(project: Path, database: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`rush dev` in the project, and the address that it has printed."""
    with (project / "err").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "rush.cli", "dev", "--port", "0", "--slots", "1"],
            cwd=project,
            env=os.environ | {"RUSH_DATABASE_URL": database},
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    match = re.match(r"http://127\.0\.0\.1:\d+", line)
    assert match, (project / "err").read_text()
    yield process, match[0]
    if process.poll() is None:
        process.kill()
    process.wait(10)
    process.stdout.close()


def test_a_project_is_served_run_and_followed(
    dev: tuple[subprocess.Popen[str], str], project: Path, database: str
) -> None:
    """
    The definitions are there without being applied, a run that a page asks for runs, changed
    code is what runs next, a changed definition is a new version, and Ctrl-C ends all of it.
    """
    process, address = dev
    with httpx.Client(base_url=address, timeout=30) as browser, Client(database) as client:
        assert "hello" in browser.get("/pipelines", headers={"Accept": "text/html"}).text
        assert result_of_a_run(browser, client) == "one"

        (project / "jobs" / "say.py").write_text(JOB.format(word="another"))
        wait_for(
            lambda: "the runners load the code anew" in (project / "err").read_text(),
            what="the change to be seen",
        )
        wait_for(lambda: result_of_a_run(browser, client) == "another", what="the new code to run")

        (project / "pipelines" / "hello.yaml").write_text(PIPELINE + "description: new\n")
        wait_for(lambda: client.pipeline("hello").version == 2, what="the new version")

        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, (project / "err").read_text()
        assert client.workers() == []


def result_of_a_run(browser: httpx.Client, client: Client) -> str:
    asked = browser.post("/api/v1/runs", json={"pipeline": "hello"})
    assert asked.status_code in (201, 202), asked.text
    request = asked.json()
    run_id = request["run_id"] or wait_for(
        lambda: client.last_request("hello").run_id,  # type: ignore[union-attr]
        what="the master to take it",
    )
    return client.run(run_id).wait(timeout=30).result("say")
