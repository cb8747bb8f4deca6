from __future__ import annotations

from time import process_time

from hypothesis import given, settings
from hypothesis import strategies as st

from rush.domain.structure import cycles

QUICK = settings(deadline=None, database=None, max_examples=100)

GRAPHS = st.integers(1, 12).flatmap(
    lambda size: st.lists(
        st.lists(st.integers(0, size - 1), max_size=4), min_size=size, max_size=size
    )
)


def has_cycle(predecessors: list[list[int]], left: set[int]) -> bool:
    """The naive way: take away what has no predecessor left, until nothing is taken away."""
    while free := {node for node in left if not left & set(predecessors[node])}:
        left = left - free
    return bool(left)


@QUICK
@given(GRAPHS)
def test_cycles(predecessors):
    """Those found are cycles, have no node in common, and the rest is without."""
    found = list(cycles(predecessors))

    for cycle in found:
        for before, after in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert before in predecessors[after]
    nodes = [node for cycle in found for node in cycle]
    assert len(nodes) == len(set(nodes))
    assert not has_cycle(predecessors, set(range(len(predecessors))) - set(nodes))


def test_cycles_in_large_graphs():
    """Ten thousand nodes in one long tail with a thousand small cycles are a matter of moments."""
    tail = [[node + 1] for node in range(8000)]
    tail[-1] = list(range(8000, 10_000))
    pairs = [[node ^ 1] for node in range(8000, 10_000)]

    begun = process_time()
    found = list(cycles([*tail, *pairs]))

    assert len(found) == 1000
    assert process_time() - begun < 0.5
