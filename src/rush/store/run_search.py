"""
Runs that are like something (`run_search.sql`).

A list is a walk: over all runs from the newest on, over those of a pipeline, or over those that
are live. It goes on until there are enough that the filter lets pass, or until it has looked at
some thousands: then the page is shorter, and where it ends the next one goes on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rush.domain.names import NAME_PATTERN
from rush.domain.rows import RunRow
from rush.domain.states import RunState
from rush.store import attention, run_reads
from rush.store.session import Session, array, numbers

#: How many runs are looked at for a page: many that lie side by side cost no more than some that
#: are looked up one by one.
LOOKED = {
    "walk_runs": 15_000,
    "walk_pipeline": 5000,
    "walk_live": 5000,
    "walk_stuck": 5000,
    "walk_unresolved": 1000,
}
#: At once, at the most.
STRIDE = 5000
#: Of so many jobs that are Stuck the errors are looked at for a page.
STUCK = 1000
#: How many of the newest runs are counted.
COUNTED = 10_000

_RUN_NAME = re.compile(rf"(?P<pipeline>{NAME_PATTERN})/(?P<jobinstance>\d{{1,9}})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """What runs are to be like. What is None, or empty, lets everything pass."""

    pipeline: str | None = None
    states: tuple[RunState, ...] = ()
    #: Asked for within so many seconds.
    since: float | None = None
    #: A part of the run's name, of its parameters, or of what a job of it is Stuck with.
    text: str | None = None
    #: Only those with something Stuck that nobody has looked at.
    unresolved: bool = False

    def said(self) -> dict[str, Any]:
        """What it asks for, and nothing else."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """Some runs, and the id to go on below; None where there are no more."""

    runs: list[RunRow]
    next: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How many runs something was asked of, by which requests; whether there are more of them."""

    runs: int
    cut: bool
    requests: Sequence[int] = ()


def find_runs(
    session: Session,
    filter: RunFilter,
    *,
    limit: int,
    before: int | None = None,
    patience: int = 1,
) -> RunPage:
    """
    Runs, the newest first, or those of one pipeline by their numbers: those behind the run
    `before`. About `patience` times as many are looked at as a page may take. A text that is the
    whole name of a run finds that alone.
    """
    walk = _walk_of(filter)
    most = patience * LOOKED[walk]
    stuck_with = _stuck_with(session, filter, STUCK)
    found: list[RunRow] = []
    looked = 0
    # Few runs are like a text: so it begins with a long stride.
    stride = STRIDE // 4 if filter.text else limit + 1
    for ids in _walk(session, filter, walk, before, max(stride, limit + 1)):
        wanted = limit + 1 - len(found)
        first = wanted if walk == "walk_runs" else None
        found += _like(session, filter, ids, stuck_with, first)
        looked += len(ids)
        if len(found) > limit:
            return RunPage(runs=found[:limit], next=found[limit - 1].id)
        if looked >= most:
            return RunPage(runs=found, next=ids[-1])
    return RunPage(runs=found, next=None)


def count_runs(session: Session, filter: RunFilter) -> dict[str, int]:
    """How many of the newest runs are in each state, whatever states the filter asks for."""
    some = attention.unresolved_runs(session, limit=COUNTED) if filter.unresolved else None
    if (named := _named(session, filter)) is not None:
        some = [named]
    if some is not None:
        return dict(Counter(row.state for row in _like(session, replace(filter, states=()), some)))
    rows = session.many(
        "count_runs",
        pipeline=filter.pipeline,
        since=filter.since,
        text=filter.text or None,
        limit=COUNTED,
    )
    return {row.state: row.runs for row in rows}


def _walk(
    session: Session, filter: RunFilter, walk: str, before: int | None, size: int
) -> Iterator[list[int]]:
    """Ids of runs in the order of the list, ever more at once."""
    if (named := _named(session, filter)) is not None:
        if before is None:
            yield [named]
        return
    while True:
        ids = session.one(
            walk, before=before, pipeline=filter.pipeline, since=filter.since, limit=size
        ).ids
        if ids:
            yield ids
        if len(ids) < size:
            return
        before = ids[-1]
        size = min(4 * size, STRIDE)


def _walk_of(filter: RunFilter) -> str:
    """The shortest way past all runs that the filter may let pass."""
    states = set(filter.states)
    if filter.unresolved:
        return "walk_unresolved"
    if states == {RunState.Stuck}:
        return "walk_stuck"
    if states and states <= {RunState.Running, RunState.Stuck}:
        return "walk_live"
    return "walk_runs" if filter.pipeline is None else "walk_pipeline"


def _like(
    session: Session,
    filter: RunFilter,
    ids: Sequence[int],
    stuck_with: Sequence[int] = (),
    first: int | None = None,
) -> list[RunRow]:
    """
    Those of some runs that the filter lets pass, in the same order. The `first` so many are only
    asked for of ids that fall and leave no run out: then all between them is read in one go.
    Those that are `stuck_with` the text have it.
    """
    if not ids:
        return []
    rows = session.many(
        "runs_like",
        low=min(ids),
        high=max(ids),
        ids=numbers(ids) if first is None else None,
        limit=len(ids) if first is None else first,
        pipeline=filter.pipeline,
        states=array(filter.states) if filter.states else None,
        since=filter.since,
        text=filter.text or None,
        stuck_with=numbers(stuck_with),
    )
    like = {row.id: RunRow(**row._asdict() | {"state": RunState(row.state)}) for row in rows}
    return [like[id] for id in ids if id in like]


def _stuck_with(session: Session, filter: RunFilter, most: int) -> list[int]:
    """Runs of which a job is Stuck with an error that has the text in it, of the newest so many jobs."""
    if not filter.text:
        return []
    return session.one(
        "runs_stuck_with", pipeline=filter.pipeline, text=filter.text, limit=most
    ).ids


def _named(session: Session, filter: RunFilter) -> int | None:
    """The run whose whole name the text is, if there is one, and it is not about what is unresolved."""
    if filter.unresolved:
        return None
    name = _RUN_NAME.fullmatch(filter.text or "")
    return name and run_reads.run_id_of(session, name["pipeline"], int(name["jobinstance"]))


def acknowledge(
    session: Session, found: RunFilter | Sequence[int], *, most: int, who: str, why: str
) -> Found:
    """Say that somebody has looked at what is Stuck of runs."""
    if isinstance(found, RunFilter):
        found = replace(found, unresolved=True)
    ids = _ids(session, found, (RunState.Running, RunState.Stuck), most + 1)
    done = attention.acknowledge(session, ids[:most], who=who, why=why)
    return Found(runs=len(done), cut=len(ids) > most)


def cancel(session: Session, found: RunFilter | Sequence[int], *, most: int) -> Found:
    """Ask for the end of those runs that are not over."""
    return _ask(session, "ask_to_cancel", found, (RunState.Running, RunState.Stuck), most)


def retry_stuck(session: Session, found: RunFilter | Sequence[int], *, most: int) -> Found:
    """Ask for those jobs of runs to run again that are Stuck."""
    return _ask(session, "ask_to_retry", found, (RunState.Running, RunState.Stuck), most)


def _ask(
    session: Session,
    query: str,
    found: RunFilter | Sequence[int],
    states: tuple[RunState, ...],
    most: int,
) -> Found:
    ids = _ids(session, found, states, most + 1)
    asked = session.one(query, ids=array(ids[:most]))
    return Found(runs=asked.runs, cut=len(ids) > most, requests=asked.requests)


def _ids(
    session: Session,
    found: RunFilter | Sequence[int],
    states: tuple[RunState, ...],
    limit: int,
) -> list[int]:
    if not isinstance(found, RunFilter):
        return list(found)[:limit]
    wanted = tuple(state for state in found.states or states if state in states)
    if not wanted:
        return []
    like = replace(found, states=wanted)
    stuck_with = _stuck_with(session, like, COUNTED)
    ids: list[int] = []
    for some in _walk(session, like, _walk_of(like), None, limit):
        ids += [row.id for row in _like(session, like, some, stuck_with)]
        if len(ids) >= limit:
            break
    return ids[:limit]
