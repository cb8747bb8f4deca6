"""
A definition's jobs as a graph, and what a worker may do in it without asking the master.

Jobs are spoken of by position: from 0, in the order of the definition.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from rush.domain.definition import Definition
from rush.domain.names import Guesses, quoted
from rush.domain.structure import first_positions, predecessors
from rush.errors import NotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphJob:
    """A job and those around it."""

    position: int
    name: str
    predecessors: tuple[int, ...]
    successors: tuple[int, ...]
    #: The longest distance from a root.
    level: int
    #: The only successor, where that waits for nothing else.
    hand_off_to: int | None
    #: The pipeline is a plain chain, and this is its last job.
    ends_run: bool


@dataclass(frozen=True, kw_only=True)
class CompiledGraph:
    """Every job of a definition, and an order in which each comes after its predecessors."""

    jobs: tuple[GraphJob, ...]
    order: tuple[int, ...]

    @cached_property
    def roots(self) -> tuple[int, ...]:
        """Those that wait for nothing."""
        return tuple(job.position for job in self.jobs if not job.predecessors)

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Each predecessor with each of its successors."""
        return tuple((job.position, after) for job in self.jobs for after in job.successors)

    def position(self, name: str) -> int:
        """Raises NotFoundError where no job has the name."""
        if name not in self._positions:
            ending = Guesses(self._positions).ending(name)
            raise NotFoundError(f"no job is named {quoted(name)}{ending}")
        return self._positions[name]

    def descendants(self, names: Iterable[str]) -> frozenset[int]:
        """
        All that come after the named jobs, directly or not. The named are not among them,
        unless they come after each other. Raises NotFoundError where no job has a name.
        """
        found: set[int] = set()
        open_ = [self.position(name) for name in names]
        while open_:
            fresh = set(self.jobs[open_.pop()].successors) - found
            found |= fresh
            open_.extend(fresh)
        return frozenset(found)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {job.name: job.position for job in self.jobs}


def compile_graph(definition: Definition) -> CompiledGraph:
    """The graph of a definition, which has been found to be without cycles."""
    positions = first_positions(job.name for job in definition.jobs)
    before = [predecessors(at, job.depends_on, positions) for at, job in enumerate(definition.jobs)]
    after = _reversed(before)
    order = _topological(before, after)
    levels = _levels(before, order)
    chain = _is_chain(before, after)
    return CompiledGraph(
        jobs=tuple(
            GraphJob(
                position=at,
                name=job.name,
                predecessors=before[at],
                successors=after[at],
                level=levels[at],
                hand_off_to=_hand_off(after[at], before),
                ends_run=chain and not after[at],
            )
            for at, job in enumerate(definition.jobs)
        ),
        order=order,
    )


_Edges = list[tuple[int, ...]]


def _reversed(before: _Edges) -> _Edges:
    after: list[list[int]] = [[] for _ in before]
    for position, each in enumerate(before):
        for predecessor in each:
            after[predecessor].append(position)
    return [tuple(each) for each in after]


def _topological(before: _Edges, after: _Edges) -> tuple[int, ...]:
    missing = [len(each) for each in before]
    order = [position for position, count in enumerate(missing) if not count]
    for position in order:
        for successor in after[position]:
            missing[successor] -= 1
            if not missing[successor]:
                order.append(successor)
    return tuple(order)


def _levels(before: _Edges, order: Iterable[int]) -> list[int]:
    levels = [0] * len(before)
    for position in order:
        levels[position] = max((levels[each] + 1 for each in before[position]), default=0)
    return levels


def _hand_off(successors: tuple[int, ...], before: _Edges) -> int | None:
    alone = len(successors) == 1 and len(before[successors[0]]) == 1
    return successors[0] if alone else None


def _is_chain(before: _Edges, after: _Edges) -> bool:
    """Without cycles, one root and no branch make a chain."""
    branches = any(len(each) > 1 for each in (*before, *after))
    return not branches and sum(not each for each in before) == 1
