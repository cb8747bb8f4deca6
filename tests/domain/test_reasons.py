"""Why is it not running? Each answer, from rows in just that state."""

from __future__ import annotations

import pytest

from rush.domain.reasons import Reason, why, why_request
from rush.store import overview, run_reads
from tests.support.factories import Factories, MadeRun

#: In seconds. Minutes would pass while a slow machine runs the test, hours do not.
HOUR = 3600.0
CHAIN = {"a": [], "b": ["a"], "c": ["b"]}


@pytest.fixture
def factories(connection) -> Factories:
    return Factories(connection)


def reasons(factories: Factories, run: MadeRun, job: str | None = None) -> list[Reason]:
    situation = run_reads.situation(factories.session, run.id)
    assert situation is not None
    return why(situation, job)


def reason(factories: Factories, run: MadeRun, job: str) -> Reason:
    (only,) = reasons(factories, run, job)
    return only


@pytest.fixture
def run(factories) -> MadeRun:
    """A run of a chain of three jobs, with a master and a worker that has room."""
    factories.pipeline("etl", CHAIN, retry_limit=3)
    factories.master(factories.worker("worker1", slots=2))
    return factories.run()


def test_it_waits_for_what_comes_before(factories, run):
    """
    A job whose turn is still to come names what it waits for, and what that is doing.
    """
    worker = factories.worker("worker2")
    factories.job(run, "a", state="Running", worker=worker, started=-3 * HOUR)

    b = reason(factories, run, "b")
    c = reason(factories, run, "c")

    assert (b.why, b.waits_for) == ("waits for a (Running for 3 h 00 m on worker2)", ("a",))
    assert (c.why, c.waits_for) == ("waits for b (not begun)", ("b",))


def test_it_waits_for_its_retry(factories, run):
    """
    A job between two attempts says when the next comes, and how the last one failed.
    """
    factories.attempt(run, "a", state="Failed", attempt=2, error="ValueError: no")
    factories.job(run, "a", state="Waiting", attempt=2, retries=2, ready=2 * HOUR)

    why = reason(factories, run, "a").why

    assert why.startswith("waits for its retry at ")
    assert " UTC (in 2 h 00 m), " in why
    assert why.endswith("after attempt 2 failed: ValueError: no")


def test_its_time_has_come(factories, run):
    """
    A job that has waited long enough waits for the master alone, and says so when there is none.
    """
    factories.job(run, "a", state="Waiting", ready=-1)
    assert reason(factories, run, "a").why == ("has waited long enough; the master sees to it now")

    factories.master(factories.worker("gone"), expires=-HOUR)
    assert reason(factories, run, "a").why == (
        "has waited long enough, but there is no master (gone for 1 h 00 m): "
        "start a worker: rush worker"
    )


def test_it_is_paused(factories, run):
    """
    A job that a pause holds names the command that ends it.
    """
    factories.job(run, "a", state="Waiting", paused=True)

    told = reason(factories, run, "a")

    assert told.why == "waits because its pipeline is paused"
    assert told.help == "let it go on: rush resume etl"


def test_everything_is_paused(factories, run):
    """
    While everything is paused, a job that is Ready says so.
    """
    factories.job(run, "a")
    factories.session.connection.execute("UPDATE rush.control SET paused = true")

    told = reason(factories, run, "a")

    assert (told.why, told.help) == (
        "is Ready, but everything is paused",
        "let it go on: rush resume --all",
    )


@pytest.mark.parametrize("change", ["state = 'Draining'", "lease_expires_at = now()"])
def test_no_worker_is_alive(factories, run, change):
    """
    A job that is Ready asks for a worker when none of those in the table takes jobs.
    """
    factories.job(run, "a")
    factories.session.connection.execute(f"UPDATE rush.worker SET {change}")

    told = reason(factories, run, "a")

    assert told.why == "is Ready, but no worker is alive (of 1 in the table, none takes jobs)"
    assert told.help == "start a worker: rush worker"


def test_no_worker_serves_its_queue(factories):
    """
    A job whose queue nobody serves names the queue.
    """
    factories.pipeline("etl", CHAIN, queue="big")
    factories.worker("worker1", queues=("default",))
    run = factories.run()
    factories.job(run, "a")

    told = reason(factories, run, "a")

    assert told.why == 'is Ready, but no worker serves queue "big"'
    assert told.help == "start one: rush worker NAME --queue big"


def test_all_slots_are_busy(factories, run):
    """
    A job that is Ready names what the slots are taken by, the longest first.
    """
    worker = factories.worker("small", slots=1)
    factories.session.connection.execute("DELETE FROM rush.worker WHERE name = 'worker1'")
    other = factories.run()
    factories.job(other, "b", state="Running", worker=worker, started=-2 * HOUR)
    factories.job(run, "a")

    told = reason(factories, run, "a")

    assert told.why == "is Ready, but the only slot of small is busy with etl/2 b (2 h 00 m)"
    assert told.waits_for == ("etl/2 b",)

    second = factories.worker("second", slots=1)
    factories.job(other, "c", state="Running", worker=second, started=-4 * HOUR)
    assert reason(factories, run, "a").why == (
        "is Ready, but all 2 slots of 2 workers are busy with "
        "etl/2 c (4 h 00 m) and etl/2 b (2 h 00 m)"
    )


def test_it_is_about_to_be_handed_out(factories, run):
    """
    With a worker that has room, a job that is Ready waits for the master's next look.
    """
    factories.job(run, "a")

    assert reason(factories, run, "a").why == (
        "is Ready, but it is about to be handed out; the master sees to it now"
    )


def test_it_was_handed_out(factories, run):
    """
    A job that was handed out and not begun names its holder, and says when that is silent.
    """
    factories.job(run, "a", worker=factories.worker("late", lease=-1))

    told = reason(factories, run, "a")

    assert told.why.startswith("was handed to late, which has not begun it yet; late has not been")
    assert told.waits_for == ("worker late",)


def test_it_runs(factories, run):
    """
    Asked for by name, a job that runs says where, for how long, and how far it is.
    """
    worker = factories.worker("worker2")
    token = factories.job(run, "a", state="Running", attempt=2, worker=worker, started=-1.5 * HOUR)
    factories.progress(worker, token, 30, 100)

    assert reason(factories, run, "a").why == (
        "runs on worker2 for 1 h 30 m, attempt 2, 30 of 100 done"
    )


def test_it_has_failed(factories, run):
    """
    A job that has just failed waits for the master to say what follows.
    """
    factories.attempt(run, "a", state="Failed", error="KeyError: 'x'")
    factories.job(run, "a", state="Failed")

    assert reason(factories, run, "a").why == (
        "attempt 1 failed: KeyError: 'x'; what follows is the master's to decide"
    )


def test_it_is_stuck(factories, run):
    """
    A Stuck job says after how many attempts, why, and how it is run again.
    """
    factories.attempt(run, "a", state="Failed", attempt=4, error="KeyError: 'x'")
    factories.job(run, "a", state="Stuck", attempt=4)

    told = reason(factories, run, "a")

    assert told.why == "is Stuck after 4 attempts: KeyError: 'x'"
    assert told.help is not None
    assert "rush retry etl/1 a" in told.help


def test_nobody_releases_it(factories, run):
    """
    A job whose predecessors are over and that is not released waits for a master.
    """
    factories.attempt(run, "a")
    assert reason(factories, run, "b").why == "waits to be released; the master sees to it now"


def test_a_complete_run(factories, run):
    """
    Of a Complete run nothing is left to explain but that, and each job says since when.
    """
    for job in "abc":
        factories.attempt(run, job, finished=-5)
    factories.end(run)

    assert [told.why for told in reasons(factories, run)] == [
        "is Complete: nothing of it is left to run"
    ]
    assert reason(factories, run, "a").why.startswith("is Complete since ")


def test_a_cancelled_run(factories, run):
    """
    Of a Cancelled run it is said once, and how it is run again.
    """
    factories.attempt(run, "a", state="Cancelled", started=None)
    factories.end(run, "Cancelled")

    (told,) = reasons(factories, run)
    assert (told.job, told.why) == (None, "was cancelled")
    assert told.help == "run it again: rush retry etl/1 --from-beginning"
    assert reason(factories, run, "b").why == "was not begun, and the run is Cancelled"


def test_a_run_that_is_being_cancelled(factories, run):
    """
    A run that is being cancelled waits for what still runs.
    """
    factories.job(run, "a", state="Running", worker=factories.worker("worker2"))
    factories.session.connection.execute("UPDATE rush.run SET cancelling = true")

    told = reasons(factories, run)[0]

    assert (told.why, told.waits_for) == ("is being cancelled: waits for a to stop", ("a",))


def test_a_request_about_the_run_is_told(factories, run):
    """
    What is asked for about a run and not decided is one of the reasons.
    """
    request = factories.request(jobinstance=1, action="cancel")

    assert reasons(factories, run)[0].why == (
        f"request {request} to cancel it is Pending: the master, worker1, has not decided yet"
    )


def test_requests(factories):
    """
    A request says whether it waits for a master, or why it was rejected.
    """
    factories.request()
    standing = overview.standing(factories.session)
    pending = run_reads.last_request(factories.session, "etl")
    factories.request(status="Rejected", reason="there is no pipeline etl")
    rejected = run_reads.last_request(factories.session, "etl")

    assert pending is not None
    assert rejected is not None
    told = why_request(pending, standing)
    assert told.why == f"request {pending.id} is still Pending because there is no master"
    assert told.help == "start a worker: rush worker"
    assert why_request(rejected, standing).why == (
        f"request {rejected.id} was rejected: there is no pipeline etl"
    )
