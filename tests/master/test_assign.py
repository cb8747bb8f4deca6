"""Handing out: to whom, in which order, and how much."""

from __future__ import annotations

from rush.master.tasks import Round
from rush.store import pipelines, workers
from tests.support.kernel import Kernel


def holds(kernel: Kernel, *who) -> list[int]:
    """How many jobs each worker holds."""
    return [len(kernel.held(each)) for each in who]


def to_whom(round: Round) -> set[int]:
    """The ids of the workers that were handed something."""
    return {each.worker_id for each in round.handed}


def wide(kernel: Kernel, jobs: int, name: str = "p", **options) -> int:
    """A run of so many jobs, all of them Ready."""
    kernel.define({f"{name}{n}": [] for n in range(jobs)}, name, **options)
    return kernel.start(name)


def test_the_least_loaded_comes_first(kernel: Kernel, worker):
    """
    Jobs go to whoever holds least, a seat at a time.
    """
    wide(kernel, 3)
    kernel.claim(worker, 3)
    idle = kernel.worker("worker2")
    wide(kernel, 3, "q")

    assert to_whom(kernel.assign()) == {idle.id}
    assert holds(kernel, worker, idle) == [3, 3]

    wide(kernel, 2, "r")
    assert to_whom(kernel.assign()) == {worker.id, idle.id}
    assert holds(kernel, worker, idle) == [4, 4]


def test_nobody_gets_more_than_there_are_slots(kernel: Kernel):
    """
    What is held counts, begun or not; the rest stays Ready.
    """
    small, large = kernel.worker("small", slots=1), kernel.worker("large", slots=3)
    run = wide(kernel, 10)

    kernel.assign()
    kernel.assign()

    assert holds(kernel, small, large) == [1, 3]
    assert (
        kernel.one("SELECT count(*) FROM rush.run_state WHERE run_id = %s AND worker IS NULL", run)
        == 6
    )


def test_what_is_assigned_is_ready_with_its_holder_named(kernel: Kernel, worker):
    """
    An assigned job has not begun; its worker finds it among what it holds, and may begin it.
    """
    run = wide(kernel, 1)

    kernel.assign()

    row = kernel.job(run, "p0")
    assert (row.state, row.worker, row.generation) == ("Ready", worker.name, worker.generation)
    assert (row.attempt, row.started_at) == (0, None)
    (claim,) = kernel.held(worker)
    kernel.begin(worker, claim)
    assert kernel.complete(worker, claim).refused == []


def test_a_worker_gets_jobs_of_its_queues_only(kernel: Kernel):
    """
    A queue that nobody serves waits; one that several serve goes to all of them.
    """
    fast = kernel.worker("fast", queues=("fast",))
    both = kernel.worker("both", queues=("default", "fast"))
    wide(kernel, 3, "fast", queue="fast")
    wide(kernel, 2, "slow", queue="default")
    unserved = wide(kernel, 1, "other", queue="other")

    kernel.assign()

    assert {claim.pipeline for claim in kernel.held(fast)} <= {"fast"}
    assert sum(holds(kernel, fast, both)) == 5
    assert kernel.job(unserved, "other0").worker is None


def test_the_more_urgent_come_first_then_the_older(kernel: Kernel):
    """
    By priority, then by age.
    """
    worker = kernel.worker(slots=3)
    old = wide(kernel, 1, "old")
    wide(kernel, 1, "young")
    urgent = wide(kernel, 1, "urgent", priority=5)
    wide(kernel, 1, "minor", priority=-5)

    kernel.assign()

    assert [claim.pipeline for claim in kernel.held(worker)].count("minor") == 0
    smaller = kernel.worker("worker2", slots=2)
    kernel.give_back(worker, *kernel.held(worker))
    workers.drain(kernel.session, worker.name)
    kernel.assign()
    assert {claim.key.run_id for claim in kernel.held(smaller)} == {old, urgent}


def test_a_draining_or_dead_worker_gets_nothing(kernel: Kernel, worker):
    """
    Only who is alive and takes jobs is given any.
    """
    dead = kernel.worker("worker2")
    workers.drain(kernel.session, worker.name)
    kernel.bury(dead)
    wide(kernel, 2)

    assert kernel.assign().handed == []
    assert kernel.claim(worker) == []
    assert kernel.claim(dead) == []


def test_nothing_is_assigned_while_everything_is_paused(kernel: Kernel, worker):
    """
    The switch for all stops the master too.
    """
    wide(kernel, 2)
    pipelines.set_all_paused(kernel.session, True)

    assert kernel.assign().handed == []


def test_every_hand_out_has_a_token_of_its_own(kernel: Kernel, worker):
    """
    Tokens rise with every hand-out, whoever makes it.
    """
    wide(kernel, 4)
    (first,) = kernel.claim(worker)
    kernel.assign()
    tokens = [claim.token for claim in kernel.held(worker)]

    assert len(set(tokens)) == 4
    assert min(tokens) == first.token
    kernel.give_back(worker, first)
    assert kernel.claim(worker)[0].token > max(tokens)
