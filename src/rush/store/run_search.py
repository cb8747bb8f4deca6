"""Runs that are like something (`run_search.sql`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rush.domain.rows import RunRow
from rush.domain.states import RunState
from rush.store import attention
from rush.store.session import Session, array

#: How many of the newest runs are looked at to count them.
COUNTED = 10_000


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
    ids: Sequence[int] | None = None,
) -> list[RunRow]:
    """Runs, the newest first; those with an id below `before`."""
    if filter.unresolved:
        ids = _unresolved_of(session, ids)
    rows = session.many(
        "find_runs",
        pipeline=filter.pipeline,
        states=array(filter.states) if filter.states else None,
        since=filter.since,
        text=filter.text or None,
        before=before,
        ids=None if ids is None else array(ids),
        limit=limit,
    )
    return [RunRow(**row._asdict() | {"state": RunState(row.state)}) for row in rows]


def count_runs(session: Session, filter: RunFilter) -> dict[str, int]:
    """How many of the newest runs are in each state, whatever states the filter asks for."""
    rows = session.many(
        "count_runs",
        pipeline=filter.pipeline,
        since=filter.since,
        text=filter.text or None,
        ids=array(_unresolved_of(session, None)) if filter.unresolved else None,
        limit=COUNTED,
    )
    return {row.state: row.runs for row in rows}


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
    return [row.id for row in find_runs(session, replace(found, states=wanted), limit=limit)]


def _unresolved_of(session: Session, ids: Sequence[int] | None) -> list[int]:
    unresolved = attention.unresolved_runs(session, limit=COUNTED)
    return unresolved if ids is None else sorted(set(unresolved) & set(ids))
