"""What there is to see of pipelines, workers and the master (`overview.sql`)."""

from __future__ import annotations

from typing import Any

from rush.domain.rows import (
    DefinitionRow,
    HeldJob,
    LastRun,
    PipelineRow,
    Standing,
    VersionRow,
    WorkerRow,
)
from rush.domain.states import JobState, RunState, WorkerState
from rush.store.session import Session

#: What is live is counted up to so many, of each kind.
MOST = 10_000

_RUN_STATES = {str(state): state for state in RunState}


def pipelines(session: Session, *, runs: int = 10, name: str | None = None) -> list[PipelineRow]:
    """Every pipeline, or the one of that name, each with so many of its last runs."""
    rows = session.many("list_pipelines", runs=runs, name=name, most=MOST)
    return [_pipeline(row) for row in rows]


def outcomes(session: Session, *, runs: int) -> dict[str, Any]:
    """
    How the last so many runs of each pipeline that has any have ended: `runs` that are over,
    `complete`, `judged` (those and the Stuck ones), and seconds, `p50` and `p95`.
    """
    return {row.name: row for row in session.many("pipeline_outcomes", runs=runs)}


def pipeline(session: Session, name: str) -> DefinitionRow | None:
    row = session.one("pipeline", name=name)
    if row is None:
        return None
    return DefinitionRow(
        name=row.name, version=row.version, definition=row.definition, paused=row.paused
    )


def versions(session: Session, name: str) -> list[VersionRow]:
    """Every version of a pipeline, the newest first."""
    rows = session.many("pipeline_versions", name=name)
    return [VersionRow(**row._asdict()) for row in rows]


def version_list(session: Session, name: str) -> list[Any]:
    """The versions of a pipeline without their definitions, the newest first."""
    return session.many("version_list", name=name)


def newest_version(session: Session, name: str) -> int | None:
    """The number of the version that is in force; None where there is no such pipeline."""
    number: int | None = session.one("newest_version", name=name).version
    return number


def version(session: Session, name: str, number: int) -> VersionRow | None:
    row = session.one("pipeline_version", name=name, version=number)
    return None if row is None else VersionRow(**row._asdict())


def queued(session: Session) -> Any:
    """
    What is still to be done: `ready`, `waiting`, `stuck`, `pending`, each up to `MOST`, and for how many
    seconds, `oldest` and `pending_oldest`.
    """
    return session.one("queued", most=MOST)


def workers(session: Session) -> list[WorkerRow]:
    return [_worker(row) for row in session.many("list_workers")]


def standing(session: Session) -> Standing:
    return Standing(**session.one("standing")._asdict())


def _pipeline(row: Any) -> PipelineRow:
    columns = zip(row.ids, row.jobinstances, row.states, row.ages, row.seconds, strict=True)
    last_runs = tuple(
        LastRun(id=id, jobinstance=number, state=_RUN_STATES[state], age=age, seconds=seconds)
        for id, number, state, age, seconds in columns
    )
    return PipelineRow(
        name=row.name,
        version=row.version,
        description=row.description,
        paused=row.paused,
        compiled=row.compiled,
        error=row.error,
        jobs=row.jobs,
        live=row.live,
        last_runs=last_runs,
    )


def _worker(row: Any) -> WorkerRow:
    held = tuple(HeldJob(**job | {"state": JobState(job["state"])}) for job in row.jobs)
    values = {"state": WorkerState(row.state), "queues": tuple(row.queues), "jobs": held}
    return WorkerRow(**row._asdict() | values)
