"""
What there is to see of runs, pipelines and workers: rows as they were read.

Each has its columns for fields. Where a row has `now`, that is the database's clock when
it was read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rush.domain.states import JobState, RequestState, RunState, WorkerState

# Runs -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run."""

    id: int
    pipeline: str
    jobinstance: int
    version: int | None
    state: RunState
    #: A cancel was accepted; what runs is being ended.
    cancelling: bool
    round: int
    params: dict[str, Any] | None
    created_at: datetime
    started_at: datetime
    finished_at: datetime | None
    seconds: float
    now: datetime

    @property
    def name(self) -> str:
        """`etl/7`."""
        return f"{self.pipeline}/{self.jobinstance}"

    @property
    def goes_on(self) -> bool:
        """Whether what has not begun may still begin."""
        return self.state in (RunState.Running, RunState.Stuck)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One job of a run, as it stands. Its turn is still to come where it has no state."""

    position: int
    name: str
    class_name: str
    queue: str
    retry_limit: int
    state: JobState | None
    #: The attempts begun so far.
    attempt: int
    #: Of the retries, how many are used up in this round.
    retries: int
    #: It is held by a pause of its pipeline.
    paused: bool
    #: Who holds it, or ran it last.
    worker: str | None
    #: Since when it may be handed out, or from when on.
    ready_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    #: How long its present or last attempt took.
    seconds: float | None
    #: What kind of failure the last one was, and what it said.
    reason: str | None
    error: str | None
    #: How far it has come, in its own unit.
    done: float | None
    total: float | None
    predecessors: tuple[str, ...]
    #: The predecessors that are not over, while its turn is still to come.
    waits_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run and its jobs, of one instant."""

    run: RunRow
    jobs: tuple[JobRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One attempt of a job, or what became of a job without one (attempt 0)."""

    job: str
    round: int
    attempt: int
    state: JobState
    worker: str | None
    token: int | None
    code: str | None
    ready_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    reason: str | None
    error: str | None
    traceback: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """One run request."""

    id: int
    pipeline: str
    job: str | None
    jobinstance: int | None
    action: str
    params: dict[str, Any] | None
    status: RequestState
    #: Why it was rejected.
    reason: str | None
    #: The run that it has become, or that it was about.
    run_id: int | None
    idempotency_key: str | None
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPartRow:
    """Some lines of an attempt. Parts are in order within a token."""

    job: str
    round: int
    attempt: int
    token: int
    part: int
    #: When it was kept.
    at: datetime
    lines: str


# Pipelines and workers ------------------------------------------------------------------


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
class DefinitionRow:
    """The definition of a pipeline that is in force."""

    name: str
    version: int
    definition: dict[str, Any]
    paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """One version of a pipeline's definition."""

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
    """A worker."""

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
    #: How many writes were refused it because others had moved on.
    stale_writes: int
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
