"""What is Ready is found wherever it stands, though looks that are slow leave something out."""

from __future__ import annotations

import pytest

from rush.domain.looks import Line
from rush.store import held, runs
from tests.support.kernel import CHAIN, Kernel, outcome


def slow(*, turn: int, priority: int = 0) -> Line:
    """A line of which a slow look has taught that nobody lives before this place."""
    line = Line()
    line.bands()
    line.looked(1000, priority=priority, turn=turn)
    return line


def claimed(kernel: Kernel, line: Line) -> list[int]:
    """Whose runs a worker takes jobs of."""
    worker = kernel.worker("worker9", slots=9)
    answer = held.report(
        kernel.session, worker, [], keep=9, want=9, idle=True, claim_id=9, line=line
    )()
    return [claim.run_id for claim in answer.claims]


def assigned(kernel: Kernel, line: Line) -> list[int]:
    kernel.worker("worker9", slots=9)
    return [
        each.claim.run_id
        for each in runs.assign(kernel.session, runs.queue_sets(kernel.session)[0], line=line)()
    ]


@pytest.mark.parametrize("take", [claimed, assigned])
def test_what_lies_in_the_gap_waits_and_what_is_more_urgent_does_not(kernel: Kernel, take):
    kernel.define(CHAIN)
    kernel.define({"now": []}, "urgent", priority=5)
    early, late, urgent = kernel.start(), kernel.start(), kernel.start("urgent")
    first, second = (
        kernel.one("SELECT turn FROM rush.run WHERE id = %s", run) for run in (early, late)
    )
    assert first < second

    line = slow(turn=second)
    assert sorted(take(kernel, line)) == [late, urgent]
    assert line.left_out

    assert take(kernel, Line()) == [early]


def test_a_look_that_leaves_something_out_says_so(kernel: Kernel):
    """Nothing is found in the gap, and the master looks again when everything is looked at."""
    kernel.define(CHAIN)
    kernel.start()
    kernel.worker()
    line = slow(turn=10**9)

    assert not runs.outlook(kernel.session, line=line).ready
    assert line.wait() < float("inf")

    whole = Line()
    assert runs.outlook(kernel.session, line=whole).ready
    assert whole.wait() == float("inf")


def test_what_is_ready_for_nobody_is_nothing_to_hand_out(kernel: Kernel, worker):
    kernel.define(CHAIN, queue="other")
    kernel.start()

    assert not runs.outlook(kernel.session).ready

    kernel.worker("another", queues=("other",))
    assert runs.outlook(kernel.session).ready


def test_looks_tell_how_long_they_took_and_where_they_ended(kernel: Kernel, worker):
    """In the statement's own time: nobody else's load makes a look slow."""
    kernel.define(CHAIN)
    run = kernel.start()
    turn = kernel.one("SELECT turn FROM rush.run WHERE id = %s", run)

    looks: list[tuple[float, int, int]] = []

    class Recording(Line):
        def looked(self, seconds: float, *, priority: int, turn: int, now=None) -> None:
            looks.append((seconds, priority, turn))

    line = Recording()
    line._gaps[7] = 1  # so that it wants to know
    (claim,) = held.report(
        kernel.session, worker, [], keep=1, want=1, idle=True, claim_id=1, line=line
    )().claims
    done = [outcome(claim)]
    held.report(kernel.session, worker, done, keep=0, want=0, idle=True, claim_id=2, line=line)()
    kernel.sql("DELETE FROM rush.run_state")
    runs.outlook(kernel.session, line=line)

    found, nothing = looks
    assert found[1:] == (0, turn)
    assert nothing[1:] == (0, kernel.one("SELECT last_value FROM rush.turn"))
    assert 0 <= found[0] < 5 and 0 <= nothing[0] < 5
