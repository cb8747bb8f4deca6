"""What is Ready is found wherever it stands, though looks that are slow leave something out."""

from __future__ import annotations

import pytest

from rush.domain.looks import Line
from rush.store import held, runs, workers
from tests.support.kernel import CHAIN, Kernel, outcome


def slow(*, turn: int, priority: int = 0) -> Line:
    """A line of which slow looks have taught that nobody lives before this place."""
    line = Line()
    for _ in range(2):
        line.bands()
        line.looked(1000, first=[priority, turn], newest=turn)
    return line


def claimed(kernel: Kernel, line: Line) -> list[int]:
    """Whose runs a worker takes jobs of."""
    worker = kernel.worker("worker9", slots=9)
    answer = held.report(
        kernel.session, worker, [], keep=9, want=9, idle=True, claim_id=9, line=line
    )()
    assert answer.overlooks == line.left_out
    return [claim.run_id for claim in answer.claims]


def assigned(kernel: Kernel, line: Line) -> list[int]:
    kernel.worker("worker9", slots=9)
    queues = runs.queue_sets(kernel.session)[0]
    return [each.claim.run_id for each in runs.assign(kernel.session, queues, line=line)()]


def turn(kernel: Kernel, run: int) -> int:
    return kernel.one("SELECT turn FROM rush.run WHERE id = %s", run)


@pytest.mark.parametrize("take", [claimed, assigned])
def test_what_lies_in_the_gap_waits_and_what_is_more_urgent_does_not(kernel: Kernel, take):
    kernel.define(CHAIN)
    kernel.define({"now": []}, "urgent", priority=5)
    early, late, urgent = kernel.start(), kernel.start(), kernel.start("urgent")
    assert turn(kernel, early) < turn(kernel, late)

    line = slow(turn=turn(kernel, late))
    assert sorted(take(kernel, line)) == [late, urgent]
    assert line.left_out

    assert take(kernel, Line()) == [early]


def test_a_look_that_leaves_something_out_says_so(kernel: Kernel):
    """Nothing is found in the gap, and the master looks again when everything is looked at."""
    kernel.define(CHAIN)
    kernel.start()
    kernel.worker()
    line = slow(turn=10**9)

    assert not runs.outlook(kernel.session, line=line).first
    assert line.wait() < float("inf")

    whole = Line()
    assert runs.outlook(kernel.session, line=whole).first
    assert whole.wait() == float("inf")


def test_what_is_ready_for_nobody_is_nothing_to_hand_out(kernel: Kernel, worker):
    kernel.define(CHAIN, queue="other")
    kernel.start()

    assert not runs.outlook(kernel.session).first

    kernel.worker("another", queues=("other",))
    assert runs.outlook(kernel.session).first


def test_a_report_tells_the_first_in_line(kernel: Kernel, worker):
    """Whether or not the worker may take it now."""
    kernel.define(CHAIN)
    done, waits = kernel.start(), kernel.start()
    (claim,) = kernel.claim(worker)
    workers.drain(kernel.session, worker.name)
    looks: list[tuple[object, int]] = []

    class Recording(Line):
        def looked(self, seconds: float, *, first, newest: int, now=None) -> None:
            assert 0 <= seconds < 10
            looks.append((first, newest))

    answer = held.report(
        kernel.session,
        worker,
        [outcome(claim)],
        keep=0,
        want=0,
        idle=True,
        claim_id=5,
        line=Recording(),
    )()

    assert (claim.run_id, answer.ready) == (done, False)
    assert looks == [([0, turn(kernel, waits)], kernel.one("SELECT last_value FROM rush.turn"))]


def test_the_outlook_tells_the_first_of_each(kernel: Kernel, worker):
    kernel.define(CHAIN)
    request = kernel.request()
    outlook = runs.outlook(kernel.session)
    assert (outlook.finished, outlook.first) == (None, None)
    assert outlook.requested == outlook.newest_request
    seconds = (outlook.looked_at_finished, outlook.looked_at_requests, outlook.looked_at_line)
    assert all(0 <= each < 10 for each in seconds)

    run = kernel.accepted(request)
    assert runs.outlook(kernel.session).first == [0, turn(kernel, run)]
