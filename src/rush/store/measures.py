"""What is measured from outside, again and again (`measures.sql`)."""

from __future__ import annotations

from typing import Any

from rush.store.session import Session


def jobs(session: Session) -> list[Any]:
    """What is live: queue, state, jobs, and for how many seconds the oldest has been there."""
    return session.many("measure_jobs")


def runs(session: Session) -> list[Any]:
    """Runs that are not through: pipeline, state, runs."""
    return session.many("measure_runs")


def rest(session: Session) -> Any:
    """Requests that nobody has taken, and numbers that only rise."""
    return session.one("measure_rest")
