"""
The grid: runs by jobs, a letter a square.

Its rows and columns come first, and change seldom; the squares come apart, whole at first and
then only what has changed since. A cursor says until when the reader knows all, and of which
runs it knows that they were not over then: only in those, and in newer ones, can a square
change. When a run begins a new round many squares are emptied at once: then all is sent anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rush.errors import ConfigurationError, NotFoundError
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


class Depths:
    """How deep each job lies in the graph of a version. A version does not change: it is kept."""

    def __init__(self, versions: int = 50) -> None:
        self._versions = versions
        self._known: dict[int, dict[str, int]] = {}

    def of(self, session: Session, version_id: int) -> dict[str, int]:
        known = self._known.get(version_id)
        if known is None:
            known = depths(drawings.version_definition(session, version_id))
            if len(self._known) >= self._versions:
                del self._known[next(iter(self._known))]
            self._known[version_id] = known
        return known


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What a grid is made of: its runs, the newest first, and the jobs of their versions."""

    runs: list[Any]
    newest: int | None
    jobs: dict[int, Sequence[str]]

    @property
    def names(self) -> list[str]:
        """The jobs of the newest version first, then those that only older ones have."""
        names: dict[str, None] = {}
        for jobs in self.jobs.values():
            names |= dict.fromkeys(jobs)
        return list(names)


def structure(session: Session, window: Window, known: Depths, older: str) -> Grid:
    """The rows and columns. `older` is an address that lacks the number to look below."""
    columns = _columns(session, window)
    levels = {} if columns.newest is None else known.of(session, columns.newest)
    runs = columns.runs
    return Grid(
        pipeline=window.pipeline,
        now=_now(session),
        jobs=[GridJob(job=name, depth=levels.get(name, 0)) for name in columns.names],
        runs=[GridRun.model_validate(run) for run in reversed(runs)],
        older=f"{older}{runs[-1].jobinstance}" if len(runs) == window.limit else None,
    )


def states(session: Session, window: Window, after: str | None) -> GridStates:
    """Every square; with a cursor those that may have changed since."""
    now = _now(session)
    columns = _columns(session, window)
    runs = columns.runs
    cursor = str(_cursor(runs, now))
    if after is None:
        return GridStates(now=now, cursor=cursor, cells=_cells(session, columns))
    known = Cursor.parse(after)
    open_ = [run for run in runs if run.id in known.rounds or run.id > known.newest]
    if any(run.round != known.rounds.get(run.id, run.round) for run in open_) or any(
        run.state == "Running" and run not in open_ for run in runs
    ):
        return GridStates(now=now, cursor=cursor, reset=True)
    return GridStates(
        now=now,
        cursor=cursor,
        changes=_changes(session, open_, columns.names, since=known.until - LATE),
        runs=[GridRun.model_validate(run) for run in open_],
    )


def _columns(session: Session, window: Window) -> Columns:
    row = drawings.newest_compiled(session, window.pipeline)
    if row is None:
        raise NotFoundError(f"there is no pipeline {window.pipeline}")
    runs = drawings.grid_runs(session, window.pipeline, limit=window.limit, before=window.before)
    versions = {run.version_id for run in runs}
    if row.version_id is not None:
        versions.add(row.version_id)
    jobs = drawings.grid_jobs(session, sorted(versions))
    return Columns(runs=runs, newest=row.version_id, jobs=jobs)


def _cells(session: Session, columns: Columns) -> dict[str, str]:
    runs = columns.runs
    if not runs:
        return {}
    since = min(run.created_at for run in runs)
    known = drawings.grid_states(session, [run.id for run in runs], since=since)
    names = columns.names
    return {
        str(run.id): _letters(names, known[run.id], frozenset(columns.jobs[run.version_id]))
        for run in runs
    }


def _letters(names: Iterable[str], states: Mapping[str, str], jobs: frozenset[str]) -> str:
    return "".join(
        LETTERS[states[name]] if name in states else NOTHING_YET if name in jobs else NO_SUCH_JOB
        for name in names
    )


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


def _cursor(runs: Iterable[Any], now: datetime) -> Cursor:
    rounds = {run.id: run.round for run in runs if run.state == "Running"}
    return Cursor(until=now, newest=max((run.id for run in runs), default=0), rounds=rounds)


def _now(session: Session) -> datetime:
    return overview.standing(session).now
