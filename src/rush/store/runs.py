"""How runs go on: the master's statements (`runs.sql`)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from rush.domain.looks import Line
from rush.domain.records import Claim, Handed
from rush.store.session import Session


def outlook(
    session: Session,
    *,
    requested_after: int = 0,
    finished_after: int = 0,
    line: Line | None = None,
) -> Any:
    """What there is to do now, and when the next thing is due."""
    return session.one(
        "outlook",
        requested_after=requested_after,
        finished_after=finished_after,
        **(line or Line()).bands(),
    )


def release_finished(
    session: Session, *, limit: int, after: int = 0, line: Line | None = None
) -> list[Any]:
    """
    Consume finished jobs, `after` an id, and release what waited for them. Returns the runs that have
    come to rest.
    """
    bands = (line or Line()).bands()
    return session.many("release_finished", limit=limit, after=after, **bands)


def fail_overdue(
    session: Session, *, grace: float, limit: int, now: datetime | None = None
) -> list[Any]:
    """Fail what has run beyond its deadline and so many seconds of grace."""
    return session.many("fail_overdue", grace=grace, limit=limit, now=now)


def inherit(
    session: Session, *, poison_limit: int, limit: int, now: datetime | None = None
) -> list[Any]:
    """Take back what nobody alive holds."""
    return session.many("inherit", poison_limit=poison_limit, limit=limit, now=now)


def retry_failed(
    session: Session, *, poison_limit: int, limit: int, now: datetime | None = None
) -> list[Any]:
    """Let failed jobs wait for their retry, or call them Stuck."""
    return session.many("retry_failed", poison_limit=poison_limit, limit=limit, now=now)


def wake_waiting(session: Session, *, limit: int, now: datetime | None = None) -> int:
    """Move Waiting jobs whose time has come to Ready. Returns how many."""
    return session.one("wake_waiting", limit=limit, now=now).count


def hold_paused(session: Session, *, limit: int) -> int:
    """Hold what is Ready or Waiting in paused pipelines. Returns how many."""
    return session.one("hold_paused", limit=limit).count


def lift_paused(session: Session, *, limit: int) -> int:
    """Let go what a pause that is over was holding. Returns how many."""
    return session.one("lift_paused", limit=limit).count


def sweep_cancelled(session: Session, *, limit: int) -> tuple[int, list[int]]:
    """Remove what is cancelled and not held. Returns how many, and the ids of workers that hold the rest."""
    row = session.one("sweep_cancelled", limit=limit)
    return row.swept, row.holders


def end_cancelled(session: Session) -> list[Any]:
    """End cancelled runs of which nothing is alive."""
    return session.many("end_cancelled")


def queue_sets(session: Session) -> list[str]:
    """The different sets of queues that workers serve, each as the text of an array."""
    return session.one("queue_sets").sets


def assign(
    session: Session, queue_set: str, *, line: Line | None = None
) -> Callable[[], list[Handed]]:
    """
    Hand Ready jobs to workers of these queues that have free slots. What is returned waits
    for the answer.
    """
    since = time.monotonic()
    bands = (line or Line()).bands()
    rows = session.send("assign", queues=queue_set, claim_id=secrets.randbits(62), **bands)
    return lambda: [Handed(row.worker_id, row.generation, Claim.of(row), since) for row in rows()]
