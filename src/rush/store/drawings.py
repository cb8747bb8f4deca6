"""What is drawn of runs (`drawings.sql`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rush.store.session import Session, array


def timeline(session: Session, run_id: int) -> list[Any]:
    """Every attempt of a run, and what is live of it, in the order of time."""
    return session.many("drawn_timeline", run_id=run_id)


def grid_runs(
    session: Session,
    pipeline: str,
    *,
    limit: int,
    before: int | None = None,
) -> list[Any]:
    """The newest runs of a pipeline, with a number below `before` where it is given."""
    return session.many("grid_runs", pipeline=pipeline, limit=limit, before=before)


def grid_jobs(session: Session, version_ids: Iterable[int]) -> dict[int, Sequence[str]]:
    """The jobs of versions, in their order: of the newest version first."""
    rows = session.many("grid_jobs", version_ids=array(version_ids))
    return {row.version_id: row.jobs for row in rows}


def newest_compiled(session: Session, pipeline: str) -> Any:
    """The pipeline's `version_id`, None where none was compiled. None: there is no such pipeline."""
    return session.one("newest_compiled", pipeline=pipeline)


def version_definition(session: Session, version_id: int) -> dict[str, Any]:
    return session.one("version_definition", version_id=version_id).definition


def grid_states(
    session: Session, run_ids: Sequence[int], *, since: datetime
) -> dict[int, dict[str, str]]:
    """
    How jobs stand, by run: all that is live, and what has ended since an instant and does
    not run again.
    """
    ids = array(run_ids)
    states: dict[int, dict[str, str]] = {run_id: {} for run_id in run_ids}
    again = {(row.run_id, row.job): row.round for row in session.many("grid_rounds", run_ids=ids)}
    for row in session.many("grid_ended", run_ids=ids, since=since):
        states[row.run_id] = {
            job: state
            for job, state, round in zip(row.jobs, row.states, row.rounds, strict=True)
            if round >= again.get((row.run_id, job), 1)
        }
    for row in session.many("grid_live", run_ids=ids):
        states[row.run_id].update(zip(row.jobs, row.states, strict=True))
    return states


def throughput(session: Session, *, since: datetime, seconds: int) -> list[Any]:
    """Runs that have ended since an instant: `bucket` (a stretch of so many seconds), state, runs."""
    first = session.one("first_run_since", since=since)
    if first is None:
        return []
    return session.many("throughput", first=first.id, since=since, seconds=seconds)
