"""What is measured from outside, again and again (`measures.sql`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rush.store.session import Session, array


def jobs(session: Session, *, most: int) -> list[Any]:
    """
    What is live: queue, state, jobs, and for how many seconds the oldest has been there. Up to so
    many are counted: of those that are Ready in each queue, of those of each other state in all.
    """
    return session.many("measure_jobs", most=most)


def runs(session: Session, *, most: int) -> list[Any]:
    """Runs that are not through: pipeline, state, runs; those of so many live jobs of each state."""
    return session.many("measure_runs", most=most)


def rest(session: Session, *, most: int) -> Any:
    """Requests that nobody has taken, counted so far, and numbers that only rise."""
    return session.one("measure_rest", most=most)


def newest_run(session: Session) -> int:
    return session.one("newest_run").id


def runs_not_over(session: Session, *, until: int) -> list[Any]:
    """Runs with something live, up to an id: id, state."""
    return session.many("runs_not_over", until=until)


def runs_after(session: Session, after: int, *, limit: int) -> list[Any]:
    """The next runs after an id: their ids."""
    return session.many("runs_after", after=after, limit=limit)


def runs_by_id(session: Session, ids: Iterable[int]) -> list[Any]:
    """Runs: id, pipeline, state, seconds. Those that were forgotten are missing."""
    return session.many("runs_by_id", ids=array(ids))


def attempts_of(session: Session, ids: Iterable[int]) -> list[Any]:
    """The attempts of runs, by pipeline, state and reason: how many, and their seconds."""
    return session.many("attempts_of", ids=array(ids))
