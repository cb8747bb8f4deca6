"""What is over: partitions, retention, alerts (`history.sql`)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql

from rush.store.session import Session

#: Partitions are made this long ahead.
AHEAD = timedelta(weeks=5)


def make_partitions(session: Session, *, now: datetime) -> list[str]:
    """Make the weekly partitions that are missing up to some weeks from now. Returns their names."""
    there = {row.name for row in session.many("partitions")}
    made: list[str] = []
    monday = _monday(now)
    while monday < now + AHEAD:
        for parent in ("archive", "log"):
            name = f"{parent}_{monday:%G}w{monday:%V}"
            if name not in there:
                _make(session, parent, name, monday)
                made.append(name)
        monday += timedelta(weeks=1)
    return made


def drop_partitions(session: Session, *, before: datetime) -> list[str]:
    """Drop the partitions that hold nothing from `before` on. Returns their names."""
    dropped: list[str] = []
    for row in session.many("partitions"):
        if row.until is not None and row.until <= before:
            _drop(session, row.parent, row.name)
            dropped.append(row.name)
    session.run("forget_rest", before=before)
    session.run("forget_log_rest", before=before)
    return dropped


def rest_used(session: Session) -> Any:
    """How many rows lie outside all weekly partitions: archive, log. There should be none."""
    return session.one("rest_used")


def forget_runs(session: Session, *, before: datetime, limit: int) -> int:
    """Delete runs that ended before, with their results and requests. Returns how many."""
    return session.one("forget_runs", before=before, limit=limit).count


def forget_requests(session: Session, *, before: datetime, limit: int) -> int:
    """Delete rejected requests from before. Returns how many."""
    return session.one("forget_requests", before=before, limit=limit).count


def prune(
    session: Session, *, before: datetime, tell: Callable[[int], None] = lambda runs: None
) -> dict[str, Any]:
    """
    Remove all that ended before, some at a time, so that nobody waits for it. `tell` hears
    how many runs are gone so far. Returns how many `runs` and `requests`, and which
    `partitions`.
    """
    runs = requests = 0
    while some := forget_runs(session, before=before, limit=1000):
        runs += some
        tell(runs)
    while some := forget_requests(session, before=before, limit=1000):
        requests += some
    partitions = drop_partitions(session, before=before)
    return {"runs": runs, "requests": requests, "partitions": partitions}


def due_alerts(session: Session) -> list[Any]:
    """Alerts to call now; each is put off in the same breath, in case the call fails."""
    return session.many("due_alerts")


def alert_called(session: Session, alert_id: int) -> None:
    session.run("alert_called", id=alert_id)


def _monday(now: datetime) -> datetime:
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def _make(session: Session, parent: str, name: str, monday: datetime) -> None:
    # Made apart and attached: that needs no lock that readers and writers would wait for.
    names = {
        "child": sql.Identifier(session.schema, name),
        "parent": sql.Identifier(session.schema, parent),
        "start": sql.Literal(monday),
        "end": sql.Literal(monday + timedelta(weeks=1)),
    }
    with session.transaction():
        _with_short_locks(session)
        for statement in (
            "CREATE TABLE {child} (LIKE {parent} INCLUDING ALL)",
            "ALTER TABLE {parent} ATTACH PARTITION {child} FOR VALUES FROM ({start}) TO ({end})",
        ):
            session.execute(sql.SQL(statement).format(**names))


def _drop(session: Session, parent: str, name: str) -> None:
    with session.transaction():
        _with_short_locks(session)
        session.execute(
            sql.SQL("DROP TABLE {child}").format(child=sql.Identifier(session.schema, name))
        )


def _with_short_locks(session: Session) -> None:
    """Whoever waits for a lock on a table makes all others wait behind: so not for long."""
    session.execute(sql.SQL("SET LOCAL lock_timeout = '2s'"))
