"""
Why is it not running? Answers from the tables as they stood at one instant.

Nothing here reads the database: `why` is a function of a Situation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rush.domain.durations import format_duration
from rush.domain.phrases import listed
from rush.domain.rows import JobRow, RequestRow, RunRow, Standing, WorkerRow
from rush.domain.states import JobState, RequestState, RunState

START_WORKER = "start a worker: rush worker"

#: The states in which a worker may hold a job.
HELD = (JobState.Ready, JobState.Running)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that an answer about a run depends on."""

    run: RunRow
    jobs: tuple[JobRow, ...]
    standing: Standing
    workers: tuple[WorkerRow, ...]
    #: What is asked for about this run and not decided.
    pending: tuple[RequestRow, ...] = ()
    #: The version of its pipeline that a run would have which began now; None: there is no such
    #: pipeline any more.
    newest_version: int | None = None

    @property
    def now(self) -> datetime:
        return self.standing.now

    @property
    def newer_version(self) -> int | None:
        """The version that a new run would have, where a retry of this one does not."""
        return None if self.newest_version == self.run.version else self.newest_version

    @property
    def takers(self) -> list[WorkerRow]:
        """The workers that could take a job."""
        return [worker for worker in self.workers if worker.takes_jobs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something is not running, and what would change that. No job: it is about the run."""

    job: str | None = None
    state: str | None
    why: str
    waits_for: tuple[str, ...] = ()
    help: str | None = None
    #: What that does not do.
    note: str | None = None


def why(situation: Situation, job: str | None = None) -> list[Reason]:
    """An answer for each job that is neither over nor running, or for one job whatever it does."""
    if job is not None:
        return [why_job(each, situation) for each in situation.jobs if each.name == job]
    told = [
        why_job(each, situation)
        for each in situation.jobs
        if each.state not in (JobState.Complete, JobState.Skipped, JobState.Cancelled)
        and (each.state is not None or situation.run.goes_on)
    ]
    return [*why_run(situation), *told]


def why_run(situation: Situation) -> Iterator[Reason]:
    """What is to be said of the run itself."""
    run = situation.run
    if run.cancelling:
        held = [job.name for job in situation.jobs if job.worker and job.state in HELD]
        rest = f"waits for {listed(held)} to stop" if held else "waits for the master to end it"
        yield Reason(state=run.state, why=f"is being cancelled: {rest}", waits_for=tuple(held))
    elif run.state is RunState.Complete:
        yield Reason(state=run.state, why="is Complete: nothing of it is left to run")
    elif run.state is RunState.Cancelled:
        yield Reason(
            state=run.state,
            why="was cancelled",
            help=f"run it again: rush retry {run.name} --from-beginning",
        )
    for request in situation.pending:
        yield why_request(request, situation.standing)


def why_request(request: RequestRow, standing: Standing) -> Reason:
    """Why a request has not become anything, or what became of it."""
    what = f"request {request.id}" + (" to cancel it" if request.action == "cancel" else "")
    match request.status:
        case RequestState.Rejected:
            return Reason(state=request.status, why=f"{what} was rejected: {request.reason}")
        case RequestState.Accepted:
            return Reason(state=request.status, why=f"{what} was accepted")
        case RequestState.Pending if standing.master:
            return Reason(
                state=request.status,
                why=f"{what} is Pending: the master, {standing.master}, has not decided yet",
                waits_for=("the master",),
            )
        case RequestState.Pending:
            return Reason(
                state=request.status,
                why=f"{what} is still Pending because there is no master{_since(standing)}",
                waits_for=("a master",),
                help=START_WORKER,
            )


def why_job(job: JobRow, situation: Situation) -> Reason:
    match job.state:
        case None:
            return _not_begun(job, situation)
        case JobState.Waiting:
            return _waiting(job, situation)
        case JobState.Ready:
            return _ready(job, situation)
        case JobState.Running:
            return _running(job, situation)
        case JobState.Failed:
            return _failed(job, situation)
        case JobState.Stuck:
            return _stuck(job, situation)
        case JobState.Complete | JobState.Skipped | JobState.Cancelled:
            return Reason(job=job.name, state=job.state, why=_over(job, situation))


def _not_begun(job: JobRow, situation: Situation) -> Reason:
    if not situation.run.goes_on:
        return Reason(
            job=job.name, state=None, why=f"was not begun, and the run is {situation.run.state}"
        )
    if not job.waits_for:
        return Reason(
            job=job.name, state=None, why=_for_the_master("waits to be released", situation)
        )
    jobs = {each.name: each for each in situation.jobs}
    before = [f"{name} ({_briefly(jobs[name])})" for name in job.waits_for]
    return Reason(
        job=job.name, state=None, why=f"waits for {listed(before)}", waits_for=job.waits_for
    )


def _briefly(job: JobRow) -> str:
    """`Running for 3 m 00 s on worker2`."""
    if job.state is None:
        return "not begun"
    words = [str(job.state)]
    if job.state is JobState.Running and job.seconds is not None:
        words.append(f"for {format_duration(job.seconds)}")
    if job.state in HELD and job.worker:
        words.append(f"on {job.worker}")
    return " ".join(words)


def _waiting(job: JobRow, situation: Situation) -> Reason:
    pipeline = situation.run.pipeline
    if job.paused:
        return Reason(
            job=job.name,
            state=job.state,
            why="waits because its pipeline is paused",
            waits_for=(f"pipeline {pipeline}",),
            help=f"let it go on: rush resume {pipeline}",
        )
    if job.ready_at is None or job.ready_at <= situation.now:
        return Reason(
            job=job.name, state=job.state, why=_for_the_master("has waited long enough", situation)
        )
    left = format_duration((job.ready_at - situation.now).total_seconds())
    when = f"{job.ready_at:%H:%M:%S} UTC (in {left})"
    why = f"waits until {when}"
    if job.error:
        why = f"waits for its retry at {when}, after attempt {job.attempt} failed: {job.error}"
    return Reason(job=job.name, state=job.state, why=why)


def _ready(job: JobRow, situation: Situation) -> Reason:
    if job.worker:
        return _handed_out(job, situation)
    why, waits_for, help = _nobody_takes(job, situation)
    return Reason(
        job=job.name, state=job.state, why=f"is Ready, but {why}", waits_for=waits_for, help=help
    )


def _handed_out(job: JobRow, situation: Situation) -> Reason:
    why = f"was handed to {job.worker}, which has not begun it yet"
    return Reason(
        job=job.name,
        state=job.state,
        why=why + _if_silent(job.worker, situation),
        waits_for=(f"worker {job.worker}",),
    )


def _nobody_takes(job: JobRow, situation: Situation) -> tuple[str, tuple[str, ...], str | None]:
    """Why no worker has taken a job that is Ready: the first thing that is in the way."""
    if situation.standing.paused:
        return "everything is paused", ("everything",), "let it go on: rush resume --all"
    takers = situation.takers
    if not takers:
        others = len(situation.workers)
        rest = f" (of {others} in the table, none takes jobs)" if others else ""
        return f"no worker is alive{rest}", ("a worker",), START_WORKER
    serving = [worker for worker in takers if job.queue in worker.queues]
    if not serving:
        queue = f'queue "{job.queue}"'
        return (
            f"no worker serves {queue}",
            (f"a worker for {queue}",),
            f"start one: rush worker NAME --queue {job.queue}",
        )
    if all(len(worker.jobs) >= worker.slots for worker in serving):
        return _all_busy(serving)
    return _for_the_master("it is about to be handed out", situation), (), None


def _all_busy(workers: Sequence[WorkerRow]) -> tuple[str, tuple[str, ...], str | None]:
    number = sum(worker.slots for worker in workers)
    held = sorted(
        (job for worker in workers for job in worker.jobs),
        key=lambda job: -(job.seconds or 0),
    )
    busy = [f"{job.name} ({format_duration(job.seconds or 0)})" for job in held]
    of = workers[0].name if len(workers) == 1 else f"{len(workers)} workers"
    slots = "the only slot" if number == 1 else f"all {number} slots"
    return (
        f"{slots} of {of} {'is' if number == 1 else 'are'} busy with {listed(busy)}",
        tuple(job.name for job in held),
        None,
    )


def _running(job: JobRow, situation: Situation) -> Reason:
    why = f"runs on {job.worker} for {format_duration(job.seconds or 0)}, attempt {job.attempt}"
    if job.done is not None:
        why += f", {job.done:g}" + (f" of {job.total:g}" if job.total else "") + " done"
    return Reason(job=job.name, state=job.state, why=why + _if_silent(job.worker, situation))


def _failed(job: JobRow, situation: Situation) -> Reason:
    why = f"attempt {job.attempt} failed: {job.error}"
    return Reason(
        job=job.name,
        state=job.state,
        why=_for_the_master(why, situation, "what follows is the master's to decide"),
    )


def _stuck(job: JobRow, situation: Situation) -> Reason:
    name = f"{situation.run.name} {job.name}"
    newer = situation.newer_version
    return Reason(
        job=job.name,
        state=job.state,
        why=f"is Stuck after {_attempts(job.attempt)}: {job.error}",
        help=f"see its log: rush logs {name}; mend it, then: rush retry {name}",
        note=kept_version(situation.run, newer) if newer else None,
    )


def kept_version(run: RunRow, newer: int) -> str:
    """What a retry does not do where the definition has changed since the run began."""
    return (
        f"a retry keeps version {run.version} of {run.pipeline}, with which it began; "
        f"version {newer} takes effect in a new run: rush run {run.pipeline}"
    )


def _over(job: JobRow, situation: Situation) -> str:
    if job.finished_at is None:
        return f"is {job.state}"
    since = format_duration((situation.now - job.finished_at).total_seconds())
    return f"is {job.state} since {job.finished_at:%H:%M:%S} UTC ({since} ago)"


def _attempts(number: int) -> str:
    return "1 attempt" if number == 1 else f"{number} attempts"


def _for_the_master(why: str, situation: Situation, rest: str = "the master sees to it now") -> str:
    """What only the master does, which nobody does while there is none."""
    if situation.standing.master:
        return f"{why}; {rest}"
    return f"{why}, but there is no master{_since(situation.standing)}: {START_WORKER}"


def _since(standing: Standing) -> str:
    if standing.expires_at is None:
        return ""
    gone = format_duration((standing.now - standing.expires_at).total_seconds())
    return f" (gone for {gone})"


def _if_silent(name: str | None, situation: Situation) -> str:
    """A warning about a worker that may be dead."""
    for worker in situation.workers:
        if worker.name == name and worker.expired:
            silent = format_duration((situation.now - worker.last_seen).total_seconds())
            return f"; {name} has not been heard of for {silent}"
    return ""
