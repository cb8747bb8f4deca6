"""What has failed: it is tried again while retries remain, then a person decides."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.kernel import CHAIN, DIAMOND, Kernel


def test_three_retries_are_four_attempts(kernel: Kernel, worker):
    """
    `retry_limit: 3` is three retries; the fourth failure makes the job Stuck, and the run.
    """
    kernel.define(CHAIN, retry_limit=3, retry_gap_minutes=0)
    run = kernel.start()

    for attempt in (1, 2, 3, 4):
        (claim,) = kernel.running(worker)
        assert claim.attempt == attempt - 1
        kernel.fail(worker, claim)
        kernel.retry()
        kernel.wake()

    assert kernel.live(run) == {"a": "Stuck"}
    assert kernel.state(run) == "Stuck"
    assert kernel.archive(run) == [("a", 1, attempt, "Failed") for attempt in (1, 2, 3, 4)]


def test_a_failed_job_stays_where_it_can_be_seen(kernel: Kernel, worker):
    """
    A failed attempt is in the archive at once; its job's row is Failed, then Waiting.
    """
    kernel.define(CHAIN, retry_limit=1, retry_gap_minutes=2)
    run = kernel.start()
    kernel.fail(worker, *kernel.running(worker))

    failed = kernel.job(run, "a")
    assert (failed.state, failed.worker, failed.attempt) == ("Failed", None, 1)
    assert kernel.archive(run) == [("a", 1, 1, "Failed")]

    kernel.retry()
    waiting = kernel.job(run, "a")
    assert (waiting.state, waiting.retries) == ("Waiting", 1)
    assert waiting.ready_at - failed.failed_at == timedelta(minutes=2)


def test_no_retries_means_stuck_at_once(kernel: Kernel, worker):
    """
    With `retry_limit: 0` the first failure is the last.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    kernel.fail(worker, *kernel.running(worker))

    kernel.retry()

    found = kernel.run(run)
    assert (found.state, found.open, found.stuck) == ("Stuck", 1, 1)


def test_a_run_goes_on_beside_a_stuck_job(kernel: Kernel, worker):
    """
    While anything else can go on the run is Running; an alert is due only when nothing can.
    """
    kernel.define(DIAMOND)
    run = kernel.start()
    kernel.work(worker, only=1)
    kernel.release()
    b, c = kernel.running(worker, 2)

    kernel.fail(worker, b)
    kernel.retry()
    assert (kernel.state(run), kernel.run(run).stuck) == ("Running", 1)
    assert kernel.one("SELECT count(*) FROM rush.alert") == 0

    kernel.fail(worker, c)
    kernel.retry()
    assert (kernel.state(run), kernel.run(run).stuck) == ("Stuck", 2)
    (alert,) = kernel.sql("SELECT * FROM rush.alert")
    assert alert.message == f"p/1 is Stuck at {c.key.job}"


def test_two_that_are_stuck_at_once_are_both_counted(kernel: Kernel, worker):
    """
    Several jobs of a run that are stuck in one batch make one run Stuck, and one alert.
    """
    kernel.define({"a": [], "b": [], "c": []})
    run = kernel.start()
    kernel.fail(worker, *kernel.running(worker, 3))

    kernel.retry()

    assert (kernel.state(run), kernel.run(run).stuck) == ("Stuck", 3)
    assert [row.message for row in kernel.sql("SELECT * FROM rush.alert")] == [
        "p/1 is Stuck at a, b, c"
    ]


def test_performed_twice_it_counts_once(kernel: Kernel, worker):
    """
    The task performed again, by another master perhaps, finds nothing that is Failed.
    """
    kernel.define(CHAIN, retry_limit=2, retry_gap_minutes=0)
    run = kernel.start()
    kernel.fail(worker, *kernel.running(worker))

    assert kernel.retry().more
    assert not kernel.retry().more
    assert kernel.job(run, "a").retries == 1


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "not begun"])
def test_a_job_that_workers_die_of_is_stuck_before_its_retries_are_used_up(
    kernel: Kernel, begun: bool
):
    """
    A job that was with as many workers when they died as the setting says is not handed out again.
    """
    kernel.define(CHAIN, retry_limit=50, retry_gap_minutes=0)
    run = kernel.start()

    for _ in range(3):
        worker = kernel.worker()
        (claim,) = kernel.claim(worker)
        if begun:
            kernel.begin(worker, claim)
        kernel.bury(worker)
        kernel.retry()
        kernel.wake()

    assert kernel.live(run) == {"a": "Stuck"}
    assert kernel.state(run) == "Stuck"
    assert kernel.one("SELECT error FROM rush.archive ORDER BY finished_at DESC") == (
        "worker1 died while it held this job; 3 workers have by now"
    )


def test_what_is_being_cancelled_is_not_tried_again(kernel: Kernel, worker):
    """
    A failure in a run that is being cancelled is swept away, not retried, and alerts nobody.
    """
    kernel.define(CHAIN, retry_limit=5)
    run = kernel.start()
    (claim,) = kernel.running(worker)
    kernel.cancel(run)
    kernel.fail(worker, claim)

    kernel.retry()
    assert kernel.live(run) == {"a": "Failed"}
    kernel.sweep()

    assert kernel.state(run) == "Cancelled"
    assert kernel.one("SELECT count(*) FROM rush.alert") == 0
