"""Many who want the same at the same instant (F)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import psycopg
import pytest
from psycopg.errors import DeadlockDetected

from tests.support.kernel import CHAIN, DIAMOND, Kernel
from tests.support.waiting import wait_for

CROWD = 64


@pytest.fixture
def shared(connection: psycopg.Connection) -> Kernel:
    return Kernel(connection)


@pytest.fixture
def another(shared: Kernel, database: str) -> Iterator[Callable[..., Kernel]]:
    """The same master and workers, through a connection of its own; in a transaction unless told."""
    with ExitStack() as stack:

        def seen(*, autocommit: bool = False) -> Kernel:
            connection = stack.enter_context(psycopg.connect(database, autocommit=autocommit))
            return shared.seen_from(connection)

        yield seen


@pytest.mark.parametrize("ready", [1, 40])
def test_a_crowd_that_claims_at_once_gets_each_job_once(
    shared: Kernel, another: Callable[..., Kernel], ready: int
) -> None:
    """F1, F2: 64 claimers at the same moment: each job is one's alone, and nobody gets more than he wanted."""
    shared.define({"a": []})
    for _ in range(ready):
        shared.start()
    crowd = [another(autocommit=True) for _ in range(CROWD)]
    workers = [shared.worker(f"worker{number}") for number in range(CROWD)]
    together = threading.Barrier(CROWD)

    def claim(number: int) -> list[int]:
        together.wait(30)
        return [claim.token for claim in crowd[number].claim(workers[number], want=1)]

    with ThreadPoolExecutor(CROWD) as pool:
        taken = list(pool.map(claim, range(CROWD)))
    tokens = [token for each in taken for token in each]
    assert max(map(len, taken)) == 1
    assert len(tokens) == len(set(tokens)) == ready
    assert shared.one("SELECT count(*) FROM rush.run_state WHERE worker IS NOT NULL") == ready


def test_two_masters_by_force_decide_everything_once(
    shared: Kernel, another: Callable[..., Kernel]
) -> None:
    """
    F7: two that both act in the term that holds, at the same time: each request becomes one run, each job is
    handed out and released once, and the counts are right.
    """
    shared.define(DIAMOND)
    worker = shared.worker(slots=1000)
    asked = [shared.request() for _ in range(60)]
    masters = [another(autocommit=True), another(autocommit=True)]
    over = threading.Event()

    def act(master: Kernel) -> None:
        while not over.is_set():
            for task in (master.release, master.take, master.assign):
                # Who is chosen as a victim tries again, as the master's thread does.
                with suppress(DeadlockDetected):
                    task()

    def all_done() -> bool:
        with suppress(DeadlockDetected):
            shared.complete(worker, *shared.held(worker)[:7])
        return shared.one("SELECT count(*) FROM rush.run WHERE state = 'Complete'") == len(asked)

    with ThreadPoolExecutor(2) as pool:
        acting = [pool.submit(act, master) for master in masters]
        try:
            wait_for(all_done, what="all runs to be Complete", timeout=40)
        finally:
            over.set()
        for each in acting:
            each.result(timeout=10)
    assert shared.one("SELECT count(*) FROM rush.run") == len(asked)
    assert shared.one("SELECT count(*) FROM rush.archive") == 4 * len(asked)
    assert shared.one("SELECT count(DISTINCT (run_id, job)) FROM rush.archive") == 4 * len(asked)
    assert shared.one("SELECT count(*) FROM rush.run_state") == 0


@pytest.mark.parametrize("first", ["b", "c"])
def test_two_that_are_last_at_the_same_time_start_their_join_once(
    shared: Kernel, another: Callable[..., Kernel], first: str
) -> None:
    """F12: the last two predecessors report in transactions that are open at once, committed in either order."""
    shared.define(DIAMOND)
    worker = shared.worker()
    run = shared.start()
    shared.complete(worker, *shared.running(worker))
    shared.release()
    claims = {claim.job: claim for claim in shared.running(worker, 2)}
    second = "c" if first == "b" else "b"

    one, two = another(), another()
    one.complete(worker, claims[first])
    two.complete(worker, claims[second])
    shared.release()
    assert "d" not in shared.live(run)
    one.session.connection.commit()
    shared.release()
    assert "d" not in shared.live(run)
    two.session.connection.commit()
    shared.release()
    shared.release()

    assert shared.live(run) == {"d": "Ready"}
    shared.complete(worker, *shared.running(worker))
    shared.release()
    assert shared.state(run) == "Complete"
    assert shared.ended(run) == ["a", "b", "c", "d"]


def test_a_chain_that_is_reported_twice_at_once_goes_on_once(
    shared: Kernel, another: Callable[..., Kernel]
) -> None:
    """F4: the same outcome from two sessions at the same time: one is accepted, the successor is there once."""
    shared.define(CHAIN)
    worker = shared.worker()
    run = shared.start()
    (claim,) = shared.running(worker)
    reporters = [another(autocommit=True), another(autocommit=True)]
    together = threading.Barrier(2)

    def report(reporter: Kernel) -> list[int]:
        together.wait(30)
        return reporter.complete(worker, claim).refused

    with ThreadPoolExecutor(2) as pool:
        refused = sorted(pool.map(report, reporters))
    assert refused == [[], [claim.token]]
    assert shared.live(run) == {"b": "Ready"}
    assert shared.ended(run) == ["a"]
