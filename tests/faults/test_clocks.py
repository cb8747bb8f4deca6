"""Clocks that are wrong, jump or drift: a worker's (D1), and the database's own (D2 to D4)."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.postgres import Postgres, postgres, scratch
from tests.support.project import Project, project
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

SETTINGS = {"worker_lease": 5.0, "master_expiry": 4.0, "poll_interval": 0.5}

RETRIED = {"kind": "Fail", "params": {"until": 2}, "retry_limit": 1, "retry_gap_minutes": 0.02}


def faketime() -> str:
    """The library that lies about the time."""
    program = shutil.which("faketime")
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if program is None or not libraries:
        pytest.skip("there is no libfaketime on this machine")
    return str(libraries[0])


class Clock:
    """The clock of a server: moved by writing a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.move("+0")

    def move(self, by: str) -> None:
        """`+3600`, `-3600`: so many seconds from the true time. `+0 x1.01`: it runs fast."""
        self.file.write_text(f"{by}\n")
        self.file.chmod(0o644)


@contextmanager
def server_with_a_clock() -> Generator[tuple[Postgres, Clock]]:
    library = faketime()
    with scratch() as folder:
        clock = Clock(folder / "time")
        environment = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(clock.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        with postgres(environment=environment) as server:
            yield server, clock


@contextmanager
def working(folder: Path, url: str) -> Generator[Project]:
    with project(folder, url, **SETTINGS) as rush:
        rush.pipeline("p", [{"name": "a", "kind": "Noop"}, {"name": "b", "kind": "Noop"}])
        rush.pipeline("retried", [{"name": "a"} | RETRIED])
        # Its time is not over either when the clock jumps by an hour.
        long = {"kind": "Sleep", "params": {"seconds": 10}, "timeout_minutes": 300}
        rush.pipeline("long", [{"name": "a"} | long])
        yield rush


def log(rush: Project, name: str) -> str:
    return (rush.folder / "logs" / f"{name}.log").read_text()


@pytest.mark.parametrize("offset", ["+1d", "-1d", "+1y", "-1y"])
def test_a_workers_clock_decides_nothing(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: str
) -> None:
    """
    D1: a worker whose clock is a day or a year wrong: leases, retries and terms are as ever, and every
    instant in the tables is the database's.
    """
    library = faketime()
    with working(tmp_path / "p", database) as rush:
        rush.start("worker1", slots=1)
        monkeypatch.setenv("LD_PRELOAD", library)
        monkeypatch.setenv("FAKETIME", offset)
        monkeypatch.setenv("DONT_FAKE_MONOTONIC", "1")
        rush.start("worker2", slots=1)
        monkeypatch.undo()
        runs = [rush.started("p") for _ in range(10)] + [rush.started("retried") for _ in range(4)]
        for run in runs:
            rush.ended(run)
        # The wrong one becomes master.
        assert rush.stop("worker1") == 0
        rush.ended(rush.started("retried"))

        assert rush.one("SELECT holder FROM rush.master_token") == "worker2"
        assert rush.one("SELECT count(DISTINCT worker) FROM rush.archive") == 2
        wrong = """
            SELECT count(*) FROM rush.archive
             WHERE finished_at NOT BETWEEN now() - interval '5 min' AND now() OR finished_at < started_at
        """
        assert rush.one(wrong) == 0
        assert "is dead" not in log(rush, "worker2")


def test_a_server_whose_clock_jumps_ahead_kills_nobody(tmp_path: Path) -> None:
    """
    D2: the database's clock jumps ahead by an hour, so that all leases seem to be over: nobody is declared
    dead, what runs goes on, and there is a master again within some seconds.
    """
    with (
        server_with_a_clock() as (server, clock),
        working(tmp_path / "p", server.url) as rush,
    ):
        rush.start("worker1", slots=1)
        rush.start("worker2", slots=1)
        # Beyond the time after its beginning in which a master judges no leases.
        calm(rush)
        runs = [rush.started("long"), rush.started("long")]
        for run in runs:
            rush.running(run, "a")
        before = rush.one("SELECT clock_timestamp()")

        clock.move("+3600")
        assert rush.one("SELECT clock_timestamp()") - before > timedelta(minutes=59)
        rush.ended(rush.started("p"))
        rush.ended(rush.started("retried"))
        for run in runs:
            rush.ended(run)

        assert [rush.attempts(run) for run in runs] == [[("a", 1, "Complete")]] * 2
        assert "is dead" not in log(rush, "worker1") + log(rush, "worker2")


def test_a_server_whose_clock_jumps_back_goes_on(tmp_path: Path) -> None:
    """
    D3: the database's clock jumps back by an hour: leases, retries and terms go on by the new time,
    nothing ends before it began, and a worker that is killed then is noticed all the same.
    """
    with (
        server_with_a_clock() as (server, clock),
        working(tmp_path / "p", server.url) as rush,
    ):
        rush.pipeline(
            "once", [{"name": "a", "kind": "SleepOnce", "retry_limit": 1, "retry_gap_minutes": 0}]
        )
        rush.start("worker1", slots=1)
        rush.start("worker2", slots=1)
        calm(rush)
        long = rush.started("long")
        rush.running(long, "a")
        before = rush.one("SELECT clock_timestamp()")

        clock.move("-3600")
        assert before - rush.one("SELECT clock_timestamp()") > timedelta(minutes=59)
        rush.ended(rush.started("p"))
        rush.ended(rush.started("retried"))
        rush.ended(long)
        assert rush.attempts(long) == [("a", 1, "Complete")]
        assert rush.one("SELECT count(*) FROM rush.archive WHERE finished_at < started_at") == 0
        assert "is dead" not in log(rush, "worker1") + log(rush, "worker2")

        run = rush.started("once")
        holder = rush.running(run, "a")
        rush.kill(holder, signal.SIGKILL)
        rush.ended(run, timeout=30)
        assert rush.attempts(run) == [("a", 1, "Failed"), ("a", 2, "Complete")]


@pytest.mark.parametrize("rate", ["+0 x1.01", "+0 x0.99"])
def test_a_clock_that_drifts_kills_nobody(tmp_path: Path, rate: str) -> None:
    """D4: the database's clock runs a hundredth fast or slow: no false deaths, one term, all completes."""
    with (
        server_with_a_clock() as (server, clock),
        working(tmp_path / "p", server.url) as rush,
    ):
        clock.move(rate)
        rush.start("worker1", slots=1)
        rush.start("worker2", slots=1)
        runs = [rush.started("long"), rush.started("p"), rush.started("retried")]
        for run in runs:
            rush.ended(run)
        assert "is dead" not in log(rush, "worker1") + log(rush, "worker2")
        assert rush.one("SELECT count(*) FROM rush.master_term") == 1


def calm(rush: Project) -> None:
    """Until the master is older than a lease: it judges others from then on."""
    age = "SELECT extract(epoch FROM clock_timestamp() - elected_at) FROM rush.master_token"
    wait_for(lambda: rush.one(age) > SETTINGS["worker_lease"] + 1, what="a master of some age")
