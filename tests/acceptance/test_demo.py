"""`rush demo`, as a newcomer has it: an empty folder, a command, a report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rush.demo import JANUARY
from rush.store.embedded import Embedded
from tests.demo import oracle
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]


class Demo:
    """A folder for the demo, and what has come of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.embedded = Embedded(folder / ".rush")

    def run(self, *flags: str) -> str:
        """What a demo that ends well has said."""
        with self.started(*flags) as process:
            said, complaints = process.communicate(timeout=60)
        assert process.returncode == 0, complaints
        return said

    @contextmanager
    def started(self, *flags: str) -> Iterator[subprocess.Popen[str]]:
        aside = ("RUSH_", "DATABASE_URL")
        with subprocess.Popen(
            [sys.executable, "-m", "rush.cli", "demo", *flags],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if not name.startswith(aside)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                # As a user would; it is over by now, unless a test has failed.
                process.send_signal(signal.SIGINT)

    def in_mid_run(self, process: subprocess.Popen[str]) -> None:
        """Wait until a job has failed: the retry is to come, and with it most of the run."""
        assert process.stdout is not None
        assert any("check_feed#1 Failed" in line for line in process.stdout)

    def is_over(self) -> bool:
        """Whether the server is down, and nothing runs in the folder, neither worker nor runner."""
        return not self.embedded.running() and self.folder not in folders_of_processes()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.embedded.url()) as connection:
            return connection.execute(query).fetchall()


def folders_of_processes() -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield (process / "cwd").readlink()
        except OSError:
            continue


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    folder = tmp_path / "new"
    folder.mkdir()
    made = Demo(folder)
    yield made
    made.embedded.remove()


def test_from_an_empty_folder_and_again(demo: Demo) -> None:
    """
    The demo shows a retry, ends with a report, and leaves nothing running. Another is
    another run; one that was interrupted is gone on with; every figure is right.
    """
    first = demo.run()
    page = demo.folder / "report" / "flights.html"
    assert "check_feed#1 Failed" in first
    assert "check_feed failed at its first attempt, on purpose, and was tried again" in first
    assert page.as_uri() in first
    assert "of planes left New York late in January 2013" in page.read_text().replace("\xa0", " ")
    assert demo.is_over()

    with demo.started() as process:
        demo.in_mid_run(process)
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
    assert process.returncode == 130, complaints
    assert "interrupted" in complaints
    assert demo.is_over()

    last = demo.run("--keep")
    assert "flights/2 is Complete" in last
    assert demo.embedded.running()
    assert demo.rows("SELECT jobinstance, state FROM run ORDER BY 1") == [
        (1, "Complete"),
        (2, "Complete"),
    ]
    assert demo.rows(
        "SELECT jobinstance, attempt, state FROM archive WHERE job = 'check_feed' ORDER BY 1, 2"
    ) == [(1, 1, "Failed"), (1, 2, "Complete"), (2, 1, "Failed"), (2, 2, "Complete")]
    results = demo.rows("SELECT value FROM result WHERE job = 'report' ORDER BY run_id")
    for [result], said in zip(results, (first, last), strict=True):
        assert_right(result, said)


def assert_right(result: dict[str, Any], said: str) -> None:
    """What `report` has returned is what a plain computation finds, and its findings were told."""
    flights = oracle.read_flights(JANUARY)
    comparable = oracle.comparable(flights)
    count, cancelled, late, share_late, mean_delay, _ = oracle.measures(flights)
    assert all(finding in said for finding in result.pop("findings"))
    assert result == {
        "report": "report/flights.html",
        "flights": count,
        "cancelled": cancelled,
        "late": late,
        "share_late": pytest.approx(share_late),
        "mean_delay": pytest.approx(mean_delay),
        "mean_delay_if_fine": pytest.approx(oracle.mean_if_fine(comparable)),
        "explained_by_weather": pytest.approx(oracle.explained(comparable)["weather"]),
    }


def test_worker_is_killed(demo: Demo) -> None:
    """A demo whose worker is gone does not wait for ever: it says so, and stops the server."""
    with demo.started() as process:
        demo.in_mid_run(process)
        [(pid,)] = demo.rows("SELECT pid FROM worker")
        os.kill(pid, signal.SIGKILL)
        _, complaints = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the worker has ended" in complaints
    wait_for(demo.is_over, what="the runners to end with their worker")
