"""Cancelling: a flag first, then whatever is alive ends, then the run is Cancelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from rush.store import requests
from tests.support.kernel import CHAIN, DIAMOND, Kernel, outcome
from tests.support.waiting import wait_for


def test_the_flag_comes_first(kernel: Kernel, worker):
    """
    An accepted cancel changes nothing but the flag: the run is not Cancelled yet.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    kernel.running(worker)

    kernel.cancel(run)

    assert kernel.run(run).cancelling
    assert kernel.state(run) == "Running"
    assert kernel.live(run) == {"a": "Running"}


def test_what_nobody_holds_is_swept_away(kernel: Kernel, worker):
    """
    Ready, Waiting, Failed and Stuck jobs are Cancelled at once, and with them their run.
    """
    kernel.define(
        {"ready": [], "waiting": [], "failed": [], "stuck": []},
        retry_limit=1,
        retry_gap_minutes=43200,
        of={"stuck": {"retry_limit": 0}},
    )
    run = kernel.start()
    claims = {claim.key.job: claim for claim in kernel.running(worker, 4)}
    kernel.fail(worker, claims["waiting"], claims["stuck"])
    kernel.retry()
    kernel.fail(worker, claims["failed"])
    kernel.give_back(worker, claims["ready"])
    assert kernel.live(run) == {
        "failed": "Failed",
        "ready": "Ready",
        "stuck": "Stuck",
        "waiting": "Waiting",
    }

    kernel.cancel(run)
    kernel.sweep()

    assert kernel.state(run) == "Cancelled"
    assert kernel.ended(run, "Cancelled") == ["failed", "ready", "stuck", "waiting"]
    found = kernel.run(run)
    assert (found.open, found.stuck, found.cancelling) == (0, 0, False)
    assert kernel.one("SELECT max(finished_at) <= clock_timestamp() FROM rush.archive")


def test_whoever_holds_a_job_is_told(kernel: Kernel, worker):
    """
    What is held is left to its worker, which is rung and sees the flag; its report ends the run.
    """
    kernel.define({"a": [], "b": []})
    run = kernel.start()
    a, b = kernel.claim(worker, 2)
    kernel.begin(worker, a)
    kernel.cancel(run)

    assert kernel.sweep().workers == {worker.id}
    assert kernel.state(run) == "Running"
    assert [claim.cancelling for claim in kernel.held(worker)] == [True, True]

    answer = kernel.report(worker, outcome(a, "Cancelled"), outcome(b, "Cancelled", began=None))
    assert answer.left == 2
    kernel.sweep()
    assert kernel.state(run) == "Cancelled"
    assert kernel.archive(run) == sorted(
        [(a.key.job, 1, 1, "Cancelled"), (b.key.job, 1, 0, "Cancelled")]
    )
    begun = kernel.sql("SELECT job FROM rush.archive WHERE started_at IS NOT NULL")
    assert [row.job for row in begun] == [a.key.job]


@pytest.mark.parametrize("within", [False, True], ids=["reported", "in a transaction"])
def test_what_completes_after_the_flag_hands_nothing_on(kernel: Kernel, worker, within: bool):
    """
    A job may still complete; its successor is not run.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    (a,) = kernel.running(worker)
    kernel.cancel(run)

    if within:
        assert kernel.complete_within(worker, a)
    else:
        assert kernel.complete(worker, a, want=1).claims == []
    kernel.release()
    kernel.sweep()

    assert kernel.state(run) == "Cancelled"
    assert kernel.ended(run) == ["a"]
    assert kernel.live(run) == {}


def test_the_last_job_does_not_complete_a_run_that_is_being_cancelled(kernel: Kernel, worker):
    """
    Once the flag is up the run ends Cancelled, also when all of it has completed.
    """
    kernel.define({"a": []})
    run = kernel.start()
    (a,) = kernel.running(worker)
    kernel.cancel(run)

    assert kernel.complete(worker, a).ended == 0
    kernel.release()
    kernel.sweep()

    assert kernel.state(run) == "Cancelled"
    assert kernel.ended(run) == ["a"]


def test_a_job_whose_worker_died_is_swept_too(kernel: Kernel, worker):
    """
    A cancel does not wait for a worker that is no more.
    """
    kernel.define({"a": [], "b": []})
    run = kernel.start()
    a, _ = kernel.claim(worker, 2)
    kernel.begin(worker, a)
    kernel.cancel(run)
    kernel.sweep()

    kernel.bury(worker)
    kernel.sweep()

    assert kernel.state(run) == "Cancelled"
    assert kernel.run(run).open == 0


def test_a_stuck_run_can_be_cancelled(kernel: Kernel, worker):
    """
    A person may give up a run that is Stuck.
    """
    kernel.define(DIAMOND)
    run = kernel.start()
    kernel.work(worker, failing="b")

    kernel.cancel(run)
    kernel.sweep()

    assert kernel.state(run) == "Cancelled"
    assert kernel.ended(run, "Cancelled") == ["b"]


def test_other_runs_are_left_alone(kernel: Kernel, worker):
    """
    A cancel is about one run.
    """
    kernel.define(DIAMOND)
    run, other = kernel.start(), kernel.start()
    kernel.cancel(run)
    kernel.sweep()

    kernel.work(worker)

    assert (kernel.state(run), kernel.state(other)) == ("Cancelled", "Complete")


# Two transactions, each open while the other acts --------------------------------------


@pytest.fixture
def other(shared: Kernel, database: str) -> Iterator[Kernel]:
    """The same kernel through another connection, whose transactions the story commits."""
    with psycopg.connect(database) as connection:
        yield shared.seen_from(connection)


@pytest.fixture
def meanwhile() -> Iterator[Callable[..., Future[Any]]]:
    """Runs a call in a thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


@pytest.fixture
def until_it_waits(shared: Kernel, database: str) -> Iterator[Callable[[], None]]:
    """Returns once a statement of `shared` waits for a lock."""
    pid = shared.session.connection.info.backend_pid
    with psycopg.connect(database, autocommit=True) as onlooker:

        def waits() -> bool:
            return (
                onlooker.execute(
                    "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'",
                    [pid],
                ).rowcount
                == 1
            )

        yield lambda: wait_for(waits, what="a statement to wait for a lock")


def test_a_hand_off_that_did_not_see_the_flag_is_swept(shared: Kernel, other: Kernel):
    """
    A report that is open while the flag goes up keeps its run alive, and what it hands on is swept.
    """
    shared.define(CHAIN)
    worker = shared.worker()
    run = shared.start()
    (a,) = shared.running(worker)

    (b,) = other.complete(worker, a, want=1).claims
    shared.cancel(run)
    shared.sweep()
    assert shared.state(run) == "Running"
    other.session.connection.commit()
    shared.sweep()
    assert (shared.state(run), shared.live(run)) == ("Running", {"b": "Ready"})
    shared.report(worker, outcome(b, "Cancelled", began=None))
    shared.sweep()

    assert shared.state(run) == "Cancelled"
    assert shared.archive(run) == [("a", 1, 1, "Complete"), ("b", 1, 0, "Cancelled")]


def test_a_hand_off_beside_a_flag_that_is_not_committed_is_swept(shared: Kernel, other: Kernel):
    """
    A report that is over before the flag is committed hands on; the sweep comes after the flag.
    """
    shared.define(CHAIN)
    worker = shared.worker()
    run = shared.start()
    (a,) = shared.running(worker)

    other.cancel(run)
    shared.complete(worker, a)
    assert shared.live(run) == {"b": "Ready"}
    other.session.connection.commit()
    shared.sweep()

    assert shared.state(run) == "Cancelled"
    assert shared.archive(run) == [("a", 1, 1, "Complete"), ("b", 1, 0, "Cancelled")]


def test_a_run_that_ends_before_its_flag_is_complete(
    shared: Kernel, other: Kernel, meanwhile, until_it_waits
):
    """
    The flag waits for a report that ends the run, and is refused then.
    """
    shared.define({"a": []})
    worker = shared.worker()
    run = shared.start()
    (a,) = shared.running(worker)
    cancel = shared.request(action="cancel", jobinstance=1)

    assert other.complete(worker, a).ended == 1
    taken = meanwhile(shared.take)
    until_it_waits()
    other.session.connection.commit()
    taken.result(timeout=10)

    assert shared.state(run) == "Complete"
    assert shared.refused(cancel) == "p/1 has ended: it is Complete"


def test_a_run_that_is_flagged_before_its_end_is_cancelled(
    shared: Kernel, other: Kernel, meanwhile, until_it_waits
):
    """
    A report that would end the run waits for the flag, and ends it no more.
    """
    shared.define({"a": []})
    worker = shared.worker()
    run = shared.start()
    (a,) = shared.running(worker)

    with other.round().transaction() as session:
        request = other.request(action="cancel", jobinstance=1)
        assert requests.flag_cancelled(session, [(request, run)]) == {request}
        reported = meanwhile(shared.complete, worker, a)
        until_it_waits()
    other.session.connection.commit()
    assert reported.result(timeout=10).refused == []
    shared.release()
    shared.sweep()

    assert shared.state(run) == "Cancelled"
    assert shared.ended(run) == ["a"]


def test_a_completion_in_an_open_transaction_holds_up_nobody(shared: Kernel, other: Kernel):
    """
    A job's own transaction that is not over yet keeps its run alive, and the sweep passes it by.
    """
    shared.define({"a": [], "b": []})
    worker = shared.worker()
    run = shared.start()
    a, _ = shared.running(worker, 2)
    assert other.complete_within(worker, a)

    shared.cancel(run)
    shared.bury(worker)
    shared.sweep()
    assert shared.state(run) == "Running"
    other.session.connection.commit()
    shared.release()
    shared.sweep()

    assert shared.state(run) == "Cancelled"
    assert shared.ended(run) == [a.key.job]
