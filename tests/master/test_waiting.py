"""What waits for its time, and what waits because somebody has paused it."""

from __future__ import annotations

from rush.master.waiting import Pauses
from rush.store import pipelines
from tests.support.kernel import CHAIN, DIAMOND, Kernel


def test_a_retry_waits_for_its_gap(kernel: Kernel, worker):
    """
    A failed job is Ready again when its retry gap is over, and not before.
    """
    kernel.define(CHAIN, retry_limit=1, retry_gap_minutes=5)
    run = kernel.start()
    kernel.fail(worker, *kernel.running(worker))
    kernel.retry()

    assert kernel.wake(after=299) == 0
    assert kernel.claim(worker) == []
    assert kernel.wake(after=301) == 1
    assert kernel.live(run) == {"a": "Ready"}
    assert kernel.job(run, "a").failed_at is None
    assert kernel.wake(after=301) == 0


def test_what_is_ready_in_a_paused_pipeline_is_not_handed_out(kernel: Kernel, worker):
    """
    A pause takes effect on what is Ready and not held; other pipelines go on.
    """
    kernel.define(CHAIN)
    kernel.define(CHAIN, "q")
    run = kernel.start()
    other = kernel.start("q")

    kernel.pause("p")

    assert kernel.live(run) == {"a": "Waiting"}
    assert kernel.wake(after=1e6) == 0
    assert [claim.key.run_id for claim in kernel.claim(worker, 9)] == [other]


def test_a_resumed_pipeline_goes_on(kernel: Kernel, worker):
    """
    What a pause was holding is Ready once it is lifted, in the order of its age.
    """
    kernel.define(CHAIN)
    runs = [kernel.start(), kernel.start()]
    kernel.pause("p")
    kernel.pause("p", False)
    kernel.start()

    assert kernel.wake() == 2
    assert [claim.key.run_id for claim in kernel.claim(worker, 2)] == runs


def test_what_runs_in_a_paused_pipeline_goes_on(kernel: Kernel, worker):
    """
    A pause leaves alone what a worker holds; what that hands on waits.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    (a,) = kernel.running(worker)
    kernel.pause("p")

    assert kernel.live(run) == {"a": "Running"}
    answer = kernel.complete(worker, a, want=1)
    assert (answer.refused, answer.claims) == ([], [])
    assert kernel.live(run) == {"b": "Waiting"}

    kernel.pause("p", False)
    kernel.work(worker)
    assert kernel.state(run) == "Complete"


def test_whatever_is_released_in_a_paused_pipeline_waits(kernel: Kernel, worker):
    """
    A new run, a fan-out, a retry, a re-run and what is given back: each waits for the end of the pause.
    """
    kernel.define({**DIAMOND, "e": []}, retry_limit=1, retry_gap_minutes=0)
    run, done = kernel.start(), kernel.start()
    kernel.cancel(done)
    kernel.sweep()
    claims = {claim.key.job: claim for claim in kernel.running(worker, 2)}
    given = kernel.start("p")
    back = kernel.claim(worker, 2)
    kernel.pause("p")
    new = kernel.start()
    kernel.start(jobinstance=2)
    kernel.complete(worker, claims["a"])
    kernel.fail(worker, claims["e"])
    kernel.give_back(worker, *back)

    kernel.release()
    kernel.retry()

    assert kernel.live(run) == {"b": "Waiting", "c": "Waiting", "e": "Waiting"}
    assert [kernel.live(each) for each in (given, new, done)] == [
        {"a": "Waiting", "e": "Waiting"}
    ] * 3
    assert kernel.wake(after=1e6) == 0
    assert kernel.claim(worker, 9) == []

    kernel.pause("p", False)
    kernel.work(worker)
    assert [kernel.state(each) for each in (run, given, new, done)] == ["Complete"] * 4


def test_a_start_at_a_later_job_waits_too(kernel: Kernel):
    """
    A run of a paused pipeline is accepted, from whichever job, and begins when that goes on.
    """
    kernel.define(DIAMOND)
    kernel.pause("p")

    run = kernel.start(job="b")

    assert kernel.live(run) == {"b": "Waiting"}
    kernel.pause("p", False)
    kernel.wake()
    assert kernel.live(run) == {"b": "Ready"}


def test_while_everything_is_paused_nothing_is_handed_out(kernel: Kernel, worker):
    """
    The switch for all stops claims, hand-offs and assignments; what runs goes on.
    """
    kernel.define(CHAIN)
    first = kernel.start()
    kernel.start()
    (claim,) = kernel.running(worker)
    pipelines.set_all_paused(kernel.session, True)

    answer = kernel.complete(worker, claim, want=5)
    assert (answer.refused, answer.claims) == ([], [])
    kernel.assign()
    assert kernel.held(worker) == []
    assert kernel.live(first) == {"b": "Ready"}

    pipelines.set_all_paused(kernel.session, False)
    assert len(kernel.claim(worker, 5)) == 2


def test_pauses_are_looked_after_when_they_change_and_for_a_while(kernel: Kernel):
    """
    A master that begins looks once; a change is looked after while somebody may not have seen it.
    """
    pauses = Pauses(lag=3600)
    assert pauses.due(None)
    assert not pauses.due(None)

    assert pauses.due("p")
    assert pauses.due("p")
    assert pauses.due(None)


def test_a_pause_of_many_jobs_takes_several_rounds(kernel: Kernel):
    """
    As long as there was something to hold, also for a master that has just begun, there may be more.
    """
    kernel.define(CHAIN)
    kernel.start()
    assert pipelines.set_paused(kernel.session, "p", True)
    pauses = Pauses(lag=3600)
    assert pauses.due("p")

    round = kernel.round()
    pauses.apply(round)

    assert round.more
    assert pauses.due("p")
