"""
The grid: runs by jobs, a letter a square.

Its rows and columns come first, and change seldom; the squares come apart, whole at first and
then only what has changed since. A cursor says until when the reader knows all, and of which
runs it knows that they were not over then: only in those, and in newer ones, can a square
change. When a run begins a new round many squares are emptied at once: then all is sent anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rush.errors import ConfigurationError, DefinitionError, NotFoundError
from rush.store import drawings, overview
from rush.store.session import Session
from rush.web.api.models import Grid, GridJob, GridRun, GridStates
from rush.web.drawing import LETTERS, NO_SUCH_JOB, NOTHING_YET, depths

#: How late something may become visible, after the time that it says.
LATE = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which columns: so many runs, below a number where one is given."""

    pipeline: str
    limit: int
    before: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Until when a reader knows all; and the runs that were not over, each with its round."""

    until: datetime
    newest: int
    rounds: dict[int, int]

    def __str__(self) -> str:
        runs = "".join(f"_{run}-{round}" for run, round in self.rounds.items())
        return f"{self.until.timestamp():.6f}_{self.newest}{runs}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Raises ConfigurationError for what was never a cursor."""
        try:
            until, newest, *runs = text.split("_")
            rounds = {int(run): int(round) for run, round in (each.split("-") for each in runs)}
            return cls(
                until=datetime.fromtimestamp(float(until), UTC), newest=int(newest), rounds=rounds
            )
        except (ValueError, OverflowError):
            raise ConfigurationError("this is no cursor of a grid: begin without one") from None


def structure(session: Session, window: Window, older: str) -> Grid:
    """The rows and columns. `older` is an address that lacks the number to look below."""
    row = overview.pipeline(session, window.pipeline)
    if row is None:
        raise NotFoundError(f"there is no pipeline {window.pipeline}")
    runs = _runs(session, window)
    try:
        levels = depths(row.definition)
    except DefinitionError:
        levels = {}
    names = _names(session, runs, newest=levels)
    return Grid(
        pipeline=window.pipeline,
        now=_now(session),
        jobs=[GridJob(job=name, depth=levels.get(name, 0)) for name in names],
        runs=[GridRun.model_validate(run) for run in reversed(runs)],
        older=f"{older}{runs[-1].jobinstance}" if len(runs) == window.limit else None,
    )


def states(session: Session, window: Window, after: str | None) -> GridStates:
    """Every square; with a cursor those that may have changed since."""
    row = overview.pipeline(session, window.pipeline)
    if row is None:
        raise NotFoundError(f"there is no pipeline {window.pipeline}")
    now = _now(session)
    runs = _runs(session, window)
    try:
        names = _names(session, runs, newest=depths(row.definition))
    except DefinitionError:
        names = _names(session, runs, newest=())
    cursor = str(_cursor(runs, now))
    if after is None:
        return GridStates(now=now, cursor=cursor, cells=_cells(session, runs, names))
    known = Cursor.parse(after)
    open_ = [run for run in runs if run.id in known.rounds or run.id > known.newest]
    if any(run.round != known.rounds.get(run.id, run.round) for run in open_) or any(
        run.state == "Running" and run not in open_ for run in runs
    ):
        return GridStates(now=now, cursor=cursor, reset=True)
    return GridStates(
        now=now,
        cursor=cursor,
        changes=_changes(session, open_, names, since=known.until - LATE),
        runs=[GridRun.model_validate(run) for run in open_],
    )


def _runs(session: Session, window: Window) -> list[Any]:
    return drawings.grid_runs(session, window.pipeline, limit=window.limit, before=window.before)


def _names(session: Session, runs: Iterable[Any], newest: Iterable[str]) -> list[str]:
    """The jobs of the newest version first, then those that only older ones have."""
    names = dict.fromkeys(newest)
    for jobs in drawings.grid_jobs(session, sorted({run.version_id for run in runs})):
        names |= dict.fromkeys(jobs)
    return list(names)


def _cells(session: Session, runs: Sequence[Any], names: Sequence[str]) -> dict[str, str]:
    if not runs:
        return {}
    since = min(run.created_at for run in runs)
    known = drawings.grid_states(session, [run.id for run in runs], since=since)
    versions = _jobs_by_version(session, runs)
    return {
        str(run.id): "".join(
            LETTERS[known[run.id][name]]
            if name in known[run.id]
            else NOTHING_YET
            if name in versions.get(run.version_id, ())
            else NO_SUCH_JOB
            for name in names
        )
        for run in runs
    }


def _changes(
    session: Session, runs: Sequence[Any], names: Sequence[str], *, since: datetime
) -> list[tuple[str, int, str]]:
    places = {name: place for place, name in enumerate(names)}
    known = drawings.grid_states(session, [run.id for run in runs], since=since)
    return [
        (str(run_id), places[job], LETTERS[state])
        for run_id, states in known.items()
        for job, state in states.items()
        if job in places
    ]


def _jobs_by_version(session: Session, runs: Iterable[Any]) -> dict[int, frozenset[str]]:
    versions = {run.version_id for run in runs}
    return {
        version: frozenset(name for jobs in drawings.grid_jobs(session, [version]) for name in jobs)
        for version in versions
    }


def _cursor(runs: Iterable[Any], now: datetime) -> Cursor:
    rounds = {run.id: run.round for run in runs if run.state == "Running"}
    return Cursor(until=now, newest=max((run.id for run in runs), default=0), rounds=rounds)


def _now(session: Session) -> datetime:
    return overview.standing(session).now
