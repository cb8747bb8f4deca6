"""What the command line shows while the database is out of reach."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from rush.client import Run
from tests.support.factories import Factories, MadeRun
from tests.support.meanwhile import Meanwhile, doing_meanwhile, pending
from tests.support.outages import out_of_reach, resting
from tests.support.server import Server
from tests.support.waiting import wait_for

CLI = "rush cli"


@pytest.fixture
def factories(connection) -> Factories:
    return Factories(connection)


@pytest.fixture
def rush(rush, database, monkeypatch):
    """The command line, on the test's database."""
    monkeypatch.setenv("RUSH_DATABASE_URL", database)
    return rush


@pytest.fixture
def meanwhile(database) -> Iterator[Meanwhile]:
    with doing_meanwhile(database) as start:
        yield start


@pytest.fixture
def told(monkeypatch) -> list[str]:
    """What was said of outages so far, in whatever way."""
    from rush.cli import engine, watching

    said: list[str] = []

    def of_outage(outage) -> str:
        said.append(original(outage))
        return said[-1]

    original = engine.of_outage
    monkeypatch.setattr(engine, "of_outage", of_outage)
    monkeypatch.setattr(watching, "of_outage", of_outage)
    return said


def outage_in_mid_run(told: list[str]):
    """A run begins, the database goes away until that is told, and meanwhile the run has ended."""

    def work(others: Factories) -> None:
        request = pending(others)
        run = others.run("etl", jobinstance=7)
        others.decide(request, run=run)
        resting(others.session.connection, after="list_workers", name=CLI)
        with out_of_reach(others.session.connection, CLI):
            others.attempt(run, "extract")
            others.end(run)
            wait_for(lambda: len(told), what="the outage to be told")

    return work


def test_an_outage_while_waiting_is_two_lines(rush, factories, meanwhile, told):
    """
    An outage is told when it begins and when it ends, and the run is told to its end.
    """
    factories.pipeline("etl")
    factories.master(factories.worker("worker1"))
    meanwhile(outage_in_mid_run(told))

    ended = rush("run", "etl", "--wait")

    assert ended.code == 0
    assert ended.out.splitlines()[0] == "✓ extract#1 Complete after 5.0 s"
    assert "✓ etl/7 is Complete" in ended.out
    began, back = ended.err.splitlines()
    assert began.startswith("the database is out of reach since ")
    assert "cannot connect to postgresql://" in began
    assert back == "the database is back"


def test_an_outage_in_the_picture(rush, factories, meanwhile, told, monkeypatch):
    """
    On a terminal the outage is a line below what was seen last, and gone when it is over.
    """
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    factories.pipeline("etl")
    factories.master(factories.worker("worker1"))
    meanwhile(outage_in_mid_run(told))

    ended = rush("run", "etl", "--wait", "--color", "never")

    assert ended.code == 0
    assert "the database is out of reach since " in ended.out
    *_, last_picture = ended.out.split("Attempt")
    assert "out of reach" not in last_picture
    assert "✓ Complete" in last_picture


def test_an_outage_while_following_a_log(rush, factories, meanwhile, told):
    """
    Who follows a log is told of the outage beside the lines, each of which comes once.
    """
    factories.pipeline("etl")
    made = factories.run()
    factories.log(made, "extract", "2026-11-25T08:00:01.000Z INFO first", token=1)

    def work(others: Factories) -> None:
        resting(others.session.connection, after="run_log", name=CLI)
        with out_of_reach(others.session.connection, CLI):
            others.log(made, "load", "2026-11-25T08:00:02.000Z INFO last", token=2)
            others.end(made)
            wait_for(lambda: len(told), what="the outage to be told")

    meanwhile(work)

    ended = rush("logs", "etl/1", "-f")

    assert ended.code == 0
    assert [line.split()[-1] for line in ended.out.splitlines()] == ["first", "last"]
    assert "the database is out of reach since" in ended.err
    assert ended.err.endswith("the database is back\n")


def test_giving_up_within_an_outage(rush, factories, connection, monkeypatch):
    """
    A database that does not come back within the time for waiting is exit code 4.
    """
    factories.pipeline("etl")
    factories.run()
    original = Run.is_over

    def out_of_reach_from_now_on(run: Run) -> bool:
        stack.enter_context(out_of_reach(connection, CLI))
        monkeypatch.setattr(Run, "is_over", original)
        return original(run)

    with ExitStack() as stack:
        monkeypatch.setattr(Run, "is_over", out_of_reach_from_now_on)
        ended = rush("run", "etl", "--wait", "--timeout", "0.5s")

    assert ended.code == 4
    *_, error = ended.err.splitlines()
    assert error.startswith("error: cannot connect to ")
    assert error.endswith("s now)")


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that nobody else uses."""
    own = Server(tmp_path / "server", None)
    yield own
    own.remove()


@pytest.mark.process
def test_a_restart_and_an_interrupt(own_server, tmp_path):
    """
    Watching goes through a restart of the server, and can be interrupted while there is none.
    """
    with own_server.database() as url:
        made = begun(url)
        watching = spawn("logs", "etl/1", "-f", url=url, folder=tmp_path)
        assert watching.stdout and watching.stderr
        assert watching.stdout.readline().endswith("first\n")

        own_server.embedded.stop()
        assert "the database is out of reach since" in watching.stderr.readline()
        own_server.embedded.start()
        assert watching.stderr.readline() == "the database is back\n"
        with psycopg.connect(url, autocommit=True) as connection:
            Factories(connection).log(made, "extract", "second", token=1, part=1)
        assert watching.stdout.readline().endswith("second\n")

        own_server.embedded.stop()
        assert "the database is out of reach since" in watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        _, said = watching.communicate(timeout=20)
        own_server.embedded.start()

    assert (watching.returncode, said) == (130, "")


@pytest.mark.process
def test_interrupting_a_watch_in_an_outage(own_server, tmp_path):
    """
    Ctrl-C within an outage ends the watching with 130, and says that the run stays.
    """
    with own_server.database() as url:
        begun(url)
        watching = spawn("run", "etl", "--wait", url=url, folder=tmp_path)
        assert watching.stderr
        assert "no worker is alive" in watching.stderr.readline()
        own_server.embedded.stop()
        assert "the database is out of reach since" in watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        _, said = watching.communicate(timeout=20)
        own_server.embedded.start()

    assert watching.returncode == 130
    assert said == "the database is out of reach; what was asked for stays, and goes on by itself\n"


def begun(url: str) -> MadeRun:
    """A run that has logged a line."""
    with psycopg.connect(url, autocommit=True) as connection:
        factories = Factories(connection)
        factories.pipeline("etl")
        made = factories.run()
        factories.log(made, "extract", "first", token=1)
        return made


def spawn(*arguments: str, url: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rush.cli", *arguments, "--database-url", url],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
