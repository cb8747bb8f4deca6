"""What is wrong with the order between the jobs of a definition, right or wrong otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rush.domain.located import Fault
from rush.domain.names import Guesses, fault_of_name, quoted

MAX_EDGES = 100_000
_MAX_SHOWN = 12


def faults_of_structure(jobs: Sequence[object]) -> Iterator[Fault]:
    """Names that are taken, predecessors that are not there, and jobs that wait for each other."""
    members: list[dict[str, Any]] = [job if isinstance(job, dict) else {} for job in jobs]
    named = [_listed(job.get("depends_on")) for job in members]
    edges = sum(len(names or ()) for names in named)
    if edges > MAX_EDGES:
        yield Fault(("jobs",), f"must name at most {MAX_EDGES} predecessors in all, not {edges}")
        return
    first = first_positions(job.get("name") for job in members)
    guesses = Guesses(first)
    for position, job in enumerate(members):
        yield from _faults_of_name(position, job.get("name"), first)
        yield from _faults_of_edges(position, named[position] or (), first, guesses)
    for cycle in cycles([predecessors(at, names, first) for at, names in enumerate(named)]):
        yield _fault_of_cycle(cycle, members)


def first_positions(names: Iterable[object]) -> dict[str, int]:
    """Where each name stands first."""
    first: dict[str, int] = {}
    for position, name in enumerate(names):
        if isinstance(name, str):
            first.setdefault(name, position)
    return first


def predecessors(
    position: int, depends_on: Sequence[object] | None, positions: Mapping[str, int]
) -> tuple[int, ...]:
    """
    The positions of what a job waits for: those that it names, as far as they are there.

    None: it follows the job before it.
    """
    if depends_on is None:
        return (position - 1,) if position else ()
    known = (positions.get(name, position) for name in depends_on if isinstance(name, str))
    return tuple(each for each in known if each != position)


def cycles(predecessors: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """
    Cycles without a node in common, in the direction of the edges, until none is left.

    Walks against the edges. A node is done with when none of its predecessors is left,
    and what is on a cycle that was found is left out from there on.
    """
    left = set(range(len(predecessors)))
    unread = [iter(each) for each in predecessors]
    for start in range(len(predecessors)):
        path = [start] if start in left else []
        depth = {start: 0}
        while path:
            before = next((each for each in unread[path[-1]] if each in left), None)
            if before is None:
                left.remove(path.pop())
            elif before in depth:
                cycle = path[depth[before] :]
                del path[depth[before] :]
                left.difference_update(cycle)
                yield cycle[::-1]
            else:
                depth[before] = len(path)
                path.append(before)


def _listed(depends_on: object) -> list[object] | None:
    """The names in a `depends_on`; what is no list names nothing."""
    if isinstance(depends_on, list | tuple):
        return list(depends_on)
    return None if depends_on is None else []


def _faults_of_name(position: int, name: object, first: Mapping[str, int]) -> Iterator[Fault]:
    if isinstance(name, str) and first[name] != position:
        yield Fault(("jobs", position, "name"), f"is the name of jobs[{first[name]}] already")


def _faults_of_edges(
    position: int, names: Iterable[object], first: Mapping[str, int], guesses: Guesses
) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if not isinstance(name, str):
            continue
        path = ("jobs", position, "depends_on", index)
        if name in seen:
            yield Fault(path, f"{quoted(name)} is here twice")
        elif name not in first:
            yield Fault(path, f"no job is named {quoted(name)}{guesses.ending(name)}")
        elif first[name] == position:
            yield Fault(path, "a job cannot wait for itself")
        seen.add(name)


def _fault_of_cycle(cycle: Sequence[int], members: Sequence[Mapping[str, Any]]) -> Fault:
    """At the first of its jobs that says what it waits for; there is one, or it were no cycle."""
    start = min(at for at in cycle if members[at].get("depends_on") is not None)
    turn = cycle.index(start)
    around = [_shown(members[at].get("name"), at) for at in (*cycle[turn:], *cycle[:turn], start)]
    if len(around) > _MAX_SHOWN:
        around[_MAX_SHOWN - 1 : -1] = [f"… {len(around) - _MAX_SHOWN} more"]
    return Fault(("jobs", start, "depends_on"), f"goes round in a circle: {' → '.join(around)}")


def _shown(name: object, position: int) -> str:
    if not isinstance(name, str):
        return f"jobs[{position}]"
    return quoted(name) if fault_of_name(name) else name
