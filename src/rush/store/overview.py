"""What there is to see of pipelines, workers and the master (`overview.sql`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rush.domain.states import JobState, RunState, WorkerState
from rush.store.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """How a run of a pipeline stands. `age` and `seconds` (how long it took) are in seconds."""

    id: int
    jobinstance: int
    state: RunState
    age: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRow:
    """A pipeline, with its newest version."""

    name: str
    version: int
    description: str | None
    paused: bool
    #: Whether the master has seen this version; why it cannot run, where it cannot.
    compiled: bool
    error: str | None
    #: How many jobs it has.
    jobs: int
    #: How many jobs of its runs are live, by state.
    live: dict[str, int]
    #: The newest first.
    last_runs: tuple[LastRun, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """One version of a pipeline's definition. `now` is the database's clock when it was read."""

    version: int
    definition: dict[str, Any]
    created_at: datetime
    compiled_at: datetime | None
    error: str | None
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldJob:
    """A job that a worker holds: Running, or Ready and not begun."""

    run_id: int
    pipeline: str
    jobinstance: int
    job: str
    attempt: int
    state: JobState
    seconds: float | None
    done: float | None
    total: float | None

    @property
    def name(self) -> str:
        """`etl/7 load`."""
        return f"{self.pipeline}/{self.jobinstance} {self.job}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A worker. `now` is the database's clock when it was read."""

    name: str
    state: WorkerState
    #: Its lease is over and nobody has declared it dead yet.
    expired: bool
    slots: int
    queues: tuple[str, ...]
    host: str
    pid: int
    version: str
    code: str | None
    #: It was asked to replace its runners, and has not yet.
    reload: bool
    started_at: datetime
    last_seen: datetime
    lease_expires_at: datetime
    is_master: bool
    jobs: tuple[HeldJob, ...]
    now: datetime

    @property
    def takes_jobs(self) -> bool:
        return self.state is WorkerState.Alive and not self.expired

    @property
    def running(self) -> int:
        """How many of its slots are taken."""
        return sum(job.state is JobState.Running for job in self.jobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Who is master, whether everything is paused, and how many workers could take a job."""

    #: None: nobody is. The lease of the last one ended at `expires_at`, if it did not resign.
    master: str | None
    term: int
    elected_at: datetime | None
    expires_at: datetime | None
    paused: bool
    workers: int
    now: datetime


def pipelines(session: Session, *, runs: int = 10) -> list[PipelineRow]:
    """Every pipeline, each with so many of its last runs."""
    return [_pipeline(row) for row in session.many("list_pipelines", runs=runs)]


def versions(session: Session, name: str) -> list[VersionRow]:
    """Every version of a pipeline, the newest first."""
    rows = session.many("pipeline_versions", name=name)
    return [VersionRow(**row._asdict()) for row in rows]


def workers(session: Session) -> list[WorkerRow]:
    return [_worker(row) for row in session.many("list_workers")]


def standing(session: Session) -> Standing:
    return Standing(**session.one("standing")._asdict())


def _pipeline(row: Any) -> PipelineRow:
    last_runs = tuple(LastRun(**run | {"state": RunState(run["state"])}) for run in row.last_runs)
    return PipelineRow(**row._asdict() | {"last_runs": last_runs})


def _worker(row: Any) -> WorkerRow:
    held = tuple(HeldJob(**job | {"state": JobState(job["state"])}) for job in row.jobs)
    values = {"state": WorkerState(row.state), "queues": tuple(row.queues), "jobs": held}
    return WorkerRow(**row._asdict() | values)
