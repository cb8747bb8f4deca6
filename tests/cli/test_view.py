"""How a run is shown, and how its changes are told."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest

from rush.cli.output import Output
from rush.cli.view import cells, fitting, look_at, picture, progress
from rush.cli.watching import Teller
from rush.client import Client
from rush.domain.phrases import listed, remark
from rush.errors import NotFoundError
from rush.store import run_reads
from tests.support.factories import Factories


@pytest.fixture
def factories(connection) -> Factories:
    return Factories(connection)


@pytest.fixture
def printed() -> tuple[Output, Callable[[], str]]:
    stream = io.StringIO()
    return Output(stdout=stream, stderr=stream), stream.getvalue


def test_a_picture_has_a_line_for_each_job(factories, database, printed):
    """
    The picture of a run says how each job stands, with shape, attempt, duration and what it waits for.
    """
    factories.pipeline("etl", {"a": [], "b": ["a"], "c": ["b"]})
    run = factories.run(started=-65)
    worker = factories.worker("worker1")
    factories.attempt(run, "a", attempt=2, started=-10, finished=-6)
    token = factories.job(run, "b", state="Running", worker=worker, started=-5)
    factories.progress(worker, token, 3, 12)
    out, text = printed

    with Client(database) as client:
        out.console.print(picture(look_at(client, run.id), out))

    heading, _, titles, _, *lines = text().splitlines()
    assert heading.startswith(f"◐ Running etl/1 (run {run.id}), version 1, 1 m 0")
    assert titles.split() == ["State", "Job", "Attempt", "Time", "Progress"]
    assert lines[0].split() == ["✓", "Complete", "a", "2", "4.0", "s", "on", "worker1"]
    assert lines[1].split()[:4] == ["◐", "Running", "b", "1"]
    assert "━━━───────── 3/12" in lines[1]
    assert lines[2].split() == ["·", "not", "yet", "c", "\u2013", "\u2013", "after", "b"]


def test_a_run_that_is_none_is_not_found(database):
    """
    There is no picture of a run that does not exist.
    """
    with Client(database) as client, pytest.raises(NotFoundError, match="there is no run 99"):
        look_at(client, 99)


def test_a_long_run_is_cut_to_what_matters(factories):
    """
    Where not all jobs fit, those that are over or not begun give way to those that are live.
    """
    factories.pipeline("etl", {f"j{n}": [] for n in range(10)})
    run = factories.run()
    factories.job(run, "j8", state="Ready")
    jobs = run_reads.jobs(factories.session, run.id)

    shown, left_out = fitting(jobs, 3)

    assert [job.name for job in shown] == ["j0", "j1", "j8"]
    assert len(left_out) == 7
    assert fitting(jobs, None) == (jobs, ())


def test_progress_and_remarks(factories, printed):
    """
    Progress without a total is a number, and what a job waits for is said in a few words.
    """
    factories.pipeline("etl")
    run = factories.run()
    factories.job(run, "extract", state="Waiting", ready=7200)
    job = run_reads.jobs(factories.session, run.id)[0]
    row = run_reads.run(factories.session, run.id)
    assert row is not None
    out, _ = printed

    assert progress(job, out) == ""
    assert progress(replace(job, done=2.5), out) == "2.5"
    assert str(progress(replace(job, done=20, total=10), out)).endswith("━ 20/10")
    assert remark(job, row).startswith("again in 2 h 00 m")
    assert remark(replace(job, error="no"), row).endswith(": no")
    assert remark(replace(job, paused=True), row) == "its pipeline is paused"


def test_what_an_ended_run_never_began(factories, printed):
    """
    In a run that is over, a job that was not begun waits for nothing.
    """
    factories.pipeline("etl")
    run = factories.run(state="Cancelled")
    row = run_reads.run(factories.session, run.id)
    assert row is not None
    load = run_reads.jobs(factories.session, run.id)[1]

    assert remark(load, row) == ""
    assert cells(load, row, printed[0])[0] is None


def test_lists_of_names():
    """
    Names are listed as one would say them, the first few of many.
    """
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed([str(n) for n in range(1007)]) == "0, 1, 2, 3, 4 and 1,002 more"


def test_each_change_is_told_once(factories, printed):
    """
    Every attempt is told when it runs and when it has ended, retries and Stuck jobs too, and nothing twice.
    """
    factories.pipeline("etl", retry_limit=1)
    run = factories.run()
    worker = factories.worker("worker1")
    session = factories.session
    teller = Teller(printed[0])

    def news() -> list[str]:
        attempts = run_reads.attempts(session, run.id)
        return [str(line) for line in teller.news(attempts, run_reads.jobs(session, run.id))]

    factories.job(run, "extract", state="Running", worker=worker)
    assert news() == ["◐ extract#1 Running on worker1"]
    assert news() == []

    session.connection.execute("DELETE FROM rush.run_state")
    factories.attempt(run, "extract", state="Failed", error="ValueError: \x1b[2Jno")
    factories.job(run, "extract", state="Waiting", attempt=1, ready=60)
    first, second = news()
    assert first == r"✗ extract#1 Failed after 5.0 s: ValueError: \x1b[2Jno"
    assert second.startswith("◷ extract waits for its retry at ")

    session.connection.execute("DELETE FROM rush.run_state")
    factories.attempt(run, "extract", state="Failed", attempt=2, error="no")
    factories.job(run, "extract", state="Stuck", attempt=2)
    assert news() == [
        "✗ extract#2 Failed after 5.0 s: no",
        "⬣ extract is Stuck: its retries are used up",
    ]
    assert news() == []
