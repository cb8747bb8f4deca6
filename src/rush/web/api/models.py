"""What the API gives and takes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rush.domain.states import JobState, RequestState, RunState, WorkerState


class Model(BaseModel):
    """Filled from a row of the same fields."""

    model_config = ConfigDict(from_attributes=True)


# Runs ---------------------------------------------------------------------------------------


class Run(Model):
    """One run."""

    id: int
    name: str
    pipeline: str
    jobinstance: int
    version: int | None
    state: RunState
    cancelling: bool
    round: int
    params: dict[str, Any] | None
    created_at: datetime
    started_at: datetime
    finished_at: datetime | None
    seconds: float


class Runs(Model):
    """A page of runs, the newest first."""

    runs: list[Run]
    #: What `cursor` is for the next page; none: this was the last.
    next: str | None


class Job(Model):
    """One job of a run, as it stands. Its turn is still to come where it has no state."""

    name: str
    class_name: str
    queue: str
    retry_limit: int
    state: JobState | None
    attempt: int
    retries: int
    paused: bool
    worker: str | None
    ready_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    reason: str | None
    error: str | None
    done: float | None
    total: float | None
    predecessors: list[str]
    waits_for: list[str]


class Attempt(Model):
    """One attempt of a job."""

    model_config = ConfigDict(from_attributes=True, coerce_numbers_to_str=True)

    job: str
    round: int
    attempt: int
    state: JobState
    worker: str | None
    #: A text: it may be too large for a number of JavaScript's.
    token: str | None
    code: str | None
    ready_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    reason: str | None
    error: str | None
    traceback: str | None


class Resolution(Model):
    """Whether what is Stuck of a run needs somebody. If not, when and by whom that was said."""

    unresolved: bool
    at: datetime | None
    who: str | None
    why: str | None
    #: The later run that has done what this one could not.
    resolved_by: int | None
    resolved_by_name: str | None


class Event(Model):
    """Something that has happened to a run."""

    at: datetime
    what: str
    job: str | None
    attempt: int | None
    worker: str | None
    state: str | None
    said: str | None


class Result(Model):
    """What a job has returned."""

    job: str
    value: Any


class JobDetail(Model):
    """One job of a run, with why it stands so, its attempts, parameters and result."""

    job: Job
    reason: Reason
    attempts: list[Attempt]
    params: dict[str, Any]
    has_result: bool
    result: Any
    followers: list[str]
    files: list[str]


class Asked(Model):
    """A run request, and what became of it so far."""

    id: int
    pipeline: str
    job: str | None
    jobinstance: int | None
    action: str
    params: dict[str, Any] | None
    status: RequestState
    reason: str | None
    run_id: int | None
    idempotency_key: str | None
    created_at: datetime
    created_by: str


class Submit(BaseModel):
    """What a run shall be like."""

    model_config = ConfigDict(extra="forbid")

    pipeline: str
    params: dict[str, Any] | None = None
    #: The job to start from; none: from the beginning.
    job: str | None = None
    #: The number within the pipeline; none: the next one.
    jobinstance: int | None = Field(default=None, ge=1)
    #: For the audit.
    why: str = Field(default="", max_length=500)


class Why(BaseModel):
    """The reason of an action, for the audit."""

    model_config = ConfigDict(extra="forbid")

    why: str = Field(default="", max_length=500)


#: What is said by who says nothing.
NO_REASON = Why()


class Retry(Why):
    """What of a run shall run again: what is Stuck, else from a job on, else all of it."""

    job: str | None = None
    from_beginning: bool = False
    #: In place of those that the run had, by their names.
    params: dict[str, Any] | None = None


class Like(BaseModel):
    """What runs are to be like, as in the list of runs."""

    model_config = ConfigDict(extra="forbid")

    pipeline: str | None = None
    states: list[RunState] = []
    since: float | None = Field(default=None, gt=0)
    q: str | None = Field(default=None, max_length=200)
    unresolved: bool = False


class Many(Why):
    """Some runs by their ids, or all that match."""

    runs: list[int] | None = Field(default=None, max_length=10_000)
    matching: Like | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.runs is None) == (self.matching is None):
            raise ValueError("say either `runs` or `matching`")
        return self


class Done(Model):
    """What was asked for is under way."""

    said: str


# What is drawn ------------------------------------------------------------------------------


class DrawnRun(Model):
    id: int
    pipeline: str
    jobinstance: int
    state: RunState
    round: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class DrawnAttempt(Model):
    item: int
    round: int
    attempt: int
    state: JobState
    worker: str | None
    ready_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    reason: str | None
    error: str | None
    progress: tuple[float, float | None] | None


class Lane(Model):
    job: str
    state: JobState | None
    depends_on: list[str]
    attempts: list[DrawnAttempt]


class Timeline(Model):
    """What a run did when: a lane a job, a bar an attempt."""

    now: datetime
    run: DrawnRun
    jobs: list[Lane]


class Node(Model):
    job: str
    state: JobState | None = None
    depends_on: list[str]
    group: str | None = None
    seconds: float | None = None
    started_at: datetime | None = None
    attempts: int = 0
    progress: tuple[float, float | None] | None = None


class Graph(Model):
    """Jobs and what each waits for."""

    now: datetime
    run: DrawnRun | None
    jobs: list[Node]


class NodeState(Model):
    state: JobState | None
    seconds: float | None
    started_at: datetime | None
    attempts: int
    progress: tuple[float, float | None] | None


class GraphStates(Model):
    """How the jobs of a run stand."""

    now: datetime
    states: dict[str, NodeState]


class GridRun(Model):
    id: int
    jobinstance: int
    state: RunState
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class GridJob(Model):
    job: str
    depth: int


class Grid(Model):
    """The rows and columns of runs by jobs."""

    pipeline: str
    now: datetime
    jobs: list[GridJob]
    runs: list[GridRun]
    #: Where the runs before these are; none: these are the first.
    older: str | None


class GridStates(Model):
    """A letter for each job of each run, or what has changed since a cursor."""

    now: datetime
    cursor: str
    cells: dict[str, str] | None = None
    changes: list[tuple[str, int, str]] | None = None
    runs: list[GridRun] | None = None
    reset: bool = False


class Log(Model):
    """Lines of a log: when, level, job, item, round, attempt, text."""

    lines: list[tuple[datetime, str | None, str, int, int, int, str]]
    first: str | None
    last: str | None
    before: bool
    after: bool
    total: int | None


class Series(Model):
    name: str
    state: RunState
    values: list[int]


class Throughput(Model):
    """How many runs ended in each stretch of time."""

    model_config = ConfigDict(populate_by_name=True)

    start: datetime = Field(serialization_alias="from")
    to: datetime
    bucket_seconds: int
    unit: Literal["runs"] = "runs"
    series: list[Series]


class Point(Model):
    at: datetime
    seconds: float
    state: RunState
    label: str
    href: str


class Durations(Model):
    """How long runs took."""

    unit: Literal["seconds"] = "seconds"
    p50: float | None
    p95: float | None
    points: list[Point]


# Pipelines and workers ----------------------------------------------------------------------


class LastRun(Model):
    id: int
    jobinstance: int
    state: RunState
    age: float
    seconds: float


class Pipeline(Model):
    """A pipeline, with its newest version."""

    name: str
    version: int
    description: str | None
    paused: bool
    compiled: bool
    error: str | None
    jobs: int
    live: dict[str, int]
    last_runs: list[LastRun]


class Definition(Model):
    """The definition of a pipeline that is in force."""

    name: str
    version: int
    definition: dict[str, Any]
    paused: bool


class Version(Model):
    """One version of a pipeline's definition."""

    version: int
    definition: dict[str, Any]
    created_at: datetime
    compiled_at: datetime | None
    error: str | None


class Apply(Why):
    """A definition, to be put under a pipeline's name."""

    definition: dict[str, Any]


class Applied(Model):
    changed: bool
    version: int


class Statistics(Model):
    """How the last runs of a pipeline went: of those that are over."""

    runs: int
    succeeded: float | None
    p50: float | None
    p95: float | None


class HeldJob(Model):
    run_id: int
    pipeline: str
    jobinstance: int
    job: str
    attempt: int
    state: JobState
    seconds: float | None
    done: float | None
    total: float | None


class Worker(Model):
    """A worker, with what it holds."""

    name: str
    state: WorkerState
    expired: bool
    is_master: bool
    slots: int
    running: int
    queues: list[str]
    host: str
    pid: int
    version: str
    code: str | None
    reload: bool
    stale_writes: int
    started_at: datetime
    last_seen: datetime
    lease_expires_at: datetime
    jobs: list[HeldJob]


class Term(Model):
    term: int
    holder: str
    elected_at: datetime


class Cluster(Model):
    """The workers, and who is master."""

    master: str | None
    term: int
    elected_at: datetime | None
    expires_at: datetime | None
    paused: bool
    workers: list[Worker]


class Queue(Model):
    """What waits in a queue, and who takes jobs of it."""

    name: str
    #: How many are live, by state: counted up to 10,000.
    jobs: dict[JobState, int]
    #: For how many seconds the oldest Ready one has been so.
    oldest: float | None
    workers: list[str]
    #: Of these workers, which may serve other queues with them too.
    slots: int


class Reason(Model):
    """Why something is not running, and what would change that."""

    job: str | None
    state: str | None
    why: str
    waits_for: list[str]
    help: str | None


class Explanation(Model):
    run: str
    state: str
    reasons: list[Reason]


class StuckGroup(Model):
    """What is Stuck with the same error in the same job, and some of the runs, the newest first."""

    pipeline: str
    job: str
    error: str | None
    jobs: int
    first_at: datetime
    last_at: datetime
    run_ids: list[int]
    jobinstances: list[int]


class BrokenPipeline(Model):
    name: str
    error: str


class RunningJob(Model):
    worker: str
    job: HeldJob
    #: Its run goes on for longer than these seconds, which 95 of 100 before it have not exceeded.
    usual: float | None


class Standing(Model):
    """Who is master, whether everything is paused, and how many workers could take a job."""

    master: str | None
    term: int
    elected_at: datetime | None
    expires_at: datetime | None
    paused: bool
    workers: int
    now: datetime


class Home(Model):
    """How things stand, at one glance, and what somebody has to look at. Ages are in seconds."""

    standing: Standing
    #: Of the workers that take jobs.
    slots: int
    taken: int
    #: Jobs that are Ready, and for how long the oldest has been; jobs that are Waiting.
    ready: int
    oldest: float | None
    waiting: int
    #: Requests that nobody has taken, and for how long the oldest has been there.
    pending: int
    pending_oldest: float | None
    #: How many jobs are Stuck, and those of them that are unresolved, by their errors.
    stuck_jobs: int
    stuck: list[StuckGroup]
    #: Workers that are dead, or have not been heard of for longer than their lease.
    silent: list[Worker]
    paused: list[str]
    #: Those whose newest version cannot run, and why.
    broken: list[BrokenPipeline]
    #: What has run longest first.
    running: list[RunningJob]


# Audit --------------------------------------------------------------------------------------


class Deed(Model):
    """Who did what, when, why."""

    id: int
    #: It is a run request that was made by SQL, or by a program: `id` is that of the request.
    is_request: bool
    at: datetime
    who: str
    via: str
    action: str
    target: str
    detail: dict[str, Any] | None
    why: str
    outcome: str | None
    #: What came of it, in words, and how its requests stand.
    said: str
    pending: int
    accepted: int
    rejected: int


class Deeds(Model):
    audit: list[Deed]
    next: str | None


class Me(Model):
    """Who asks."""

    name: str
    role: str
    via: str
