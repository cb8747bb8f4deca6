"""What there is to see: runs, their jobs, attempts and logs, pipelines, workers, the master."""

from __future__ import annotations

import psycopg
import pytest

from rush.domain.rows import JobRow
from rush.domain.states import JobState, RequestState, RunState
from rush.store import overview, run_reads
from tests.support.factories import Factories

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


@pytest.fixture
def factories(connection) -> Factories:
    return Factories(connection)


@pytest.fixture
def session(factories):
    return factories.session


def jobs_by_name(session, run) -> dict[str, JobRow]:
    return {job.name: job for job in run_reads.jobs(session, run.id)}


def test_runs_are_listed_newest_first_and_filtered(factories, session):
    """
    The list of runs starts with the newest, and holds what its filters let through.
    """
    factories.pipeline("etl")
    factories.pipeline("other")
    first = factories.run("etl", state="Complete", started=-60, finished=-50)
    second = factories.run("other", state="Stuck")
    third = factories.run("etl")

    def listed(**filters):
        return [run.id for run in run_reads.list_runs(session, **filters)]

    assert listed() == [third.id, second.id, first.id]
    assert listed(pipeline="etl") == [third.id, first.id]
    assert listed(state=RunState.Stuck) == [second.id]
    assert listed(limit=1) == [third.id]
    assert listed(before=second.id) == [first.id]


def test_a_run_is_found_by_id_and_by_its_number(factories, session):
    """
    A run has an id, a number within its pipeline, a version, and a duration; no other is found.
    """
    factories.pipeline("etl")
    made = factories.run("etl", jobinstance=7, state="Complete", started=-60, finished=-50)

    assert run_reads.run_id_of(session, "etl", 7) == made.id
    run = run_reads.run(session, made.id)
    assert run is not None
    assert (run.name, run.version, run.state) == ("etl/7", 1, RunState.Complete)
    assert run.seconds == pytest.approx(10)
    assert run_reads.run(session, made.id + 1) is None
    assert run_reads.run_id_of(session, "etl", 8) is None


def test_every_job_of_the_graph_is_told_as_it_stands(factories, session):
    """
    A job that is over is told by its archive row, one that is live by its own, and one
    whose turn is still to come by what it waits for.
    """
    factories.pipeline("etl", DIAMOND, retry_limit=3)
    run = factories.run()
    worker = factories.worker("worker1")
    factories.attempt(run, "a", started=-10, finished=-6)
    token = factories.job(run, "b", state="Running", worker=worker, started=-5)
    factories.progress(worker, token, 3, 10)
    factories.job(run, "c", state="Waiting", attempt=1, retries=1, ready=60)
    factories.attempt(run, "c", state="Failed", error="ValueError: no rows")

    jobs = jobs_by_name(session, run)

    assert list(jobs) == ["a", "b", "c", "d"]
    assert (jobs["a"].state, jobs["a"].attempt) == (JobState.Complete, 1)
    assert jobs["a"].seconds == pytest.approx(4)
    assert (jobs["b"].state, jobs["b"].worker) == (JobState.Running, "worker1")
    assert (jobs["b"].done, jobs["b"].total) == (3, 10)
    assert jobs["b"].seconds == pytest.approx(5, abs=2)
    assert (jobs["c"].state, jobs["c"].attempt, jobs["c"].retries) == (JobState.Waiting, 1, 1)
    assert (jobs["c"].error, jobs["c"].retry_limit) == ("ValueError: no rows", 3)
    assert (jobs["d"].state, jobs["d"].attempt) == (None, 0)
    assert jobs["d"].waits_for == ("b", "c")


def test_a_job_that_runs_again_is_not_what_it_was(factories, session):
    """
    After a re-run, a job whose turn is still to come has no state, whatever it was in the
    round before; what the re-run does not touch stays as it was.
    """
    factories.pipeline("etl", {"a": [], "b": ["a"], "c": ["b"]})
    run = factories.run(round=2)
    for job in "abc":
        factories.attempt(run, job, round=1)
    factories.job(run, "b", state="Ready", attempt=1)
    factories.counted(run, "b", pending=0)
    factories.counted(run, "c", pending=1)

    jobs = jobs_by_name(session, run)

    assert [job.state for job in jobs.values()] == [JobState.Complete, JobState.Ready, None]
    assert jobs["c"].waits_for == ("b",)


def test_a_job_that_has_run_again_is_over(factories, session):
    """
    An attempt of the present round settles a job, though its count was never taken down: a
    worker that goes on by itself does not touch it.
    """
    factories.pipeline("etl")
    run = factories.run(round=2, state="Complete")
    for round, state in ((1, "Cancelled"), (2, "Complete")):
        factories.attempt(run, "load", round=round, attempt=round, state=state)
    factories.counted(run, "load", pending=1)

    job = jobs_by_name(session, run)["load"]

    assert (job.state, job.attempt) == (JobState.Complete, 2)


def test_skipped_and_cancelled_jobs_are_told(factories, session):
    """
    What was skipped or cancelled is told so, and a skipped job holds nothing back.
    """
    factories.pipeline("etl", DIAMOND)
    run = factories.run(state="Cancelled")
    factories.attempt(run, "a", state="Skipped", attempt=0, worker=None, started=None)
    factories.attempt(run, "b", state="Failed", attempt=1, finished=-8)
    factories.attempt(run, "b", state="Cancelled", attempt=1, started=None, worker=None)

    jobs = jobs_by_name(session, run)

    assert [job.state for job in jobs.values()] == ["Skipped", "Cancelled", None, None]
    assert jobs["c"].waits_for == ()
    assert jobs["d"].waits_for == ("b", "c")


def test_a_stuck_job_says_why(factories, session):
    """
    A Stuck job has the error, the times and the worker of its last attempt.
    """
    factories.pipeline("etl", retry_limit=1)
    run = factories.run(state="Stuck", stuck=1)
    factories.attempt(run, "extract", state="Failed", attempt=1, finished=-20, started=-30)
    factories.attempt(run, "extract", state="Failed", attempt=2, error="KeyError: 'x'", worker="w2")
    factories.job(run, "extract", state="Stuck", attempt=2, retries=1)

    job = jobs_by_name(session, run)["extract"]

    assert (job.state, job.error, job.worker) == (JobState.Stuck, "KeyError: 'x'", "w2")
    assert job.seconds == pytest.approx(5)


def test_jobs_come_in_an_order_in_which_they_can_run(factories, session):
    """
    A job that the definition has before those that it waits for is listed after them.
    """
    factories.pipeline("etl", {"last": ["first", "second"], "second": ["first"], "first": []})
    run = factories.run()

    assert [job.name for job in run_reads.jobs(session, run.id)] == ["first", "second", "last"]


def test_attempts_come_in_the_order_of_time(factories, session):
    """
    What was tried is listed with what is being tried now, and can be narrowed to a job.
    """
    factories.pipeline("etl")
    run = factories.run()
    factories.attempt(run, "extract", state="Failed", attempt=1, started=-50, finished=-40)
    factories.attempt(run, "extract", state="Complete", attempt=2, started=-30, finished=-20)
    factories.job(run, "load", state="Running", worker=factories.worker())

    attempts = run_reads.attempts(session, run.id)
    assert [(one.job, one.attempt, one.state) for one in attempts] == [
        ("extract", 1, JobState.Failed),
        ("extract", 2, JobState.Complete),
        ("load", 1, JobState.Running),
    ]
    assert len(run_reads.attempts(session, run.id, job="extract")) == 2


def test_parts_of_logs_go_on_where_the_reader_was(factories, session):
    """
    What was read is not read again, per attempt, though a later attempt has a lower token.
    """
    factories.pipeline("etl")
    run = factories.run()
    factories.log(run, "extract", "one", token=20, part=0, kept=-9)
    factories.log(run, "load", "two", token=10, part=0, kept=-8)
    factories.log(run, "extract", "three", token=20, part=1, kept=-7)

    def read(**options):
        return [part.lines for part in run_reads.log(session, run.id, **options)]

    assert read(after={}) == ["one", "two", "three"]
    assert read(after={20: 0}) == ["two", "three"]
    assert read(after={20: 1, 10: 0}) == []
    assert read(after={}, job="load") == ["two"]
    assert read(after={}, attempt=2) == []


def test_a_cut_never_skips_a_part(factories, session):
    """
    Where a clock went back between two parts, a limited read still takes the earlier part first.
    """
    factories.pipeline("etl")
    run = factories.run()
    factories.log(run, "extract", "first", token=1, part=0, kept=-5)
    factories.log(run, "extract", "second", token=1, part=1, kept=-9)

    assert [part.part for part in run_reads.log(session, run.id, after={}, limit=1)] == [0]
    assert [part.part for part in run_reads.log(session, run.id, after={1: 0}, limit=1)] == [1]


def test_a_result_is_that_of_the_newest_round(factories, session):
    """
    A re-run's result hides the one before it; null is a result, and none is none.
    """
    factories.pipeline("etl")
    run = factories.run()
    factories.result(run, "extract", {"rows": 1}, round=1)
    factories.result(run, "extract", {"rows": 2}, round=2)
    factories.result(run, "load", None)

    assert run_reads.result(session, run.id, "extract") == ({"rows": 2},)
    assert run_reads.result(session, run.id, "load") == (None,)
    assert run_reads.result(session, run.id, "other") is None


def test_requests_about_a_run(factories, session):
    """
    What is asked for and not decided is found by the run it is about, and the last of all by pipeline.
    """
    factories.pipeline("etl")
    about_seven = factories.request(jobinstance=7)
    about_next = factories.request()
    refused = factories.request(jobinstance=7, status="Rejected", reason="no")

    def ids(jobinstance):
        return [one.id for one in run_reads.pending_requests_for(session, "etl", jobinstance)]

    assert ids(7) == [about_seven]
    assert ids(None) == [about_next]
    last = run_reads.last_request(session, "etl")
    assert last is not None
    assert (last.id, last.status, last.reason) == (refused, RequestState.Rejected, "no")
    assert run_reads.last_request(session, "etl", 8) is None


def test_a_snapshot_is_of_one_instant(factories, session, database):
    """
    What others commit while a snapshot is being read is not seen in it.
    """
    factories.pipeline("etl")
    with run_reads.snapshot(session):
        before = run_reads.list_runs(session)
        with psycopg.connect(database, autocommit=True) as other:
            Factories(other).run()
        assert run_reads.list_runs(session) == before

    assert len(run_reads.list_runs(session)) == 1


def test_pipelines_with_their_last_runs(factories, session):
    """
    A pipeline is listed with its newest version, what is wrong with that, and how it went lately.
    """
    factories.pipeline("etl")
    factories.pipeline("etl", {"only": []})
    factories.pipeline("broken", paused=True)
    session.connection.execute(
        "UPDATE rush.pipeline_version SET error = 'no' WHERE pipeline = 'broken'"
    )
    factories.run(state="Complete")
    factories.job(factories.run(), "only")

    broken, etl = overview.pipelines(session, runs=1)

    assert (broken.name, broken.paused, broken.error, broken.last_runs) == (
        "broken",
        True,
        "no",
        (),
    )
    assert (etl.name, etl.version, etl.jobs, etl.paused, etl.error) == ("etl", 2, 1, False, None)
    assert etl.live == {"Ready": 1}
    assert [(run.jobinstance, run.state) for run in etl.last_runs] == [(2, RunState.Running)]
    assert [version.version for version in overview.versions(session, "etl")] == [2, 1]


def test_a_definition_that_nobody_has_checked_is_listed(factories, session):
    """
    Whatever JSON somebody inserts, the list of pipelines shows it.
    """
    session.connection.execute(
        """INSERT INTO rush.pipeline (name, definition) VALUES ('odd', '{"jobs": "none"}')"""
    )

    (odd,) = overview.pipelines(session)

    assert (odd.jobs, odd.compiled) == (0, False)


def test_workers_with_what_they_hold(factories, session):
    """
    A worker is listed with the jobs that it runs and how far they are; one whose lease is over takes none.
    """
    factories.pipeline("etl")
    run = factories.run()
    busy = factories.worker("busy", queues=("big", "default"))
    late = factories.worker("late", lease=-1)
    factories.master(busy)
    token = factories.job(run, "extract", state="Running", worker=busy)
    factories.job(run, "load", state="Ready", worker=busy)
    factories.progress(busy, token, 5, None)

    first, second = overview.workers(session)

    assert (first.name, first.is_master, first.takes_jobs, first.running) == ("busy", True, True, 1)
    assert {(job.name, job.state, job.done, job.total) for job in first.jobs} == {
        ("etl/1 extract", JobState.Running, 5, None),
        ("etl/1 load", JobState.Ready, None, None),
    }
    assert (second.name, second.is_master, second.takes_jobs) == (late.name, False, False)


def test_who_stands_where(factories, session):
    """
    There is a master while its lease lasts, and a worker counts while its own does.
    """
    nobody = overview.standing(session)
    assert (nobody.master, nobody.expires_at, nobody.workers, nobody.paused) == (
        None,
        None,
        0,
        False,
    )

    worker = factories.worker("worker1")
    factories.worker("late", lease=-1)
    factories.master(worker)
    standing = overview.standing(session)
    assert (standing.master, standing.workers) == ("worker1", 1)

    factories.master(worker, expires=-1)
    assert overview.standing(session).master is None
