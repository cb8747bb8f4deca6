"""How things stand, at one glance, and what somebody has to look at: for the page, and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rush.client import Client
from rush.domain.rows import HeldJob, Standing, WorkerRow
from rush.domain.states import JobState, WorkerState
from rush.store import attention, measures


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """What runs now, and on which worker."""

    worker: str
    job: HeldJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """All that the first page says."""

    standing: Standing
    #: Of the workers that take jobs.
    slots: int
    taken: int
    #: Jobs that are Ready, and for how many seconds the oldest has been; jobs that are Waiting.
    ready: int
    oldest: float | None
    waiting: int
    #: Requests that nobody has taken, and for how many seconds the oldest has been there.
    pending: int
    pending_oldest: float | None
    #: How many jobs are Stuck, acknowledged and resolved ones among them.
    stuck_jobs: int
    #: What is Stuck and unresolved, by pipeline, job and error, what came last first.
    stuck: list[Any]
    #: Workers that are dead, or have not been heard of for longer than their lease.
    silent: list[WorkerRow]
    paused: list[str]
    #: Pipelines whose newest version cannot run, and why: name, error.
    broken: list[Any]
    #: What has run longest first.
    running: list[RunningJob]


def home(client: Client) -> Home:
    workers = client.workers()
    queued = client.read(measures.jobs)
    ready = [row for row in queued if row.state == "Ready"]
    pending = client.read(measures.rest)
    not_running = client.read(attention.pipelines_not_running)
    return Home(
        standing=client.standing(),
        slots=sum(row.slots for row in workers if row.takes_jobs),
        taken=sum(row.running for row in workers if row.takes_jobs),
        ready=sum(row.jobs for row in ready),
        oldest=max((row.oldest for row in ready), default=None),
        waiting=sum(row.jobs for row in queued if row.state == "Waiting"),
        pending=pending.pending,
        pending_oldest=pending.pending_oldest,
        stuck_jobs=sum(row.jobs for row in queued if row.state == "Stuck"),
        stuck=client.read(attention.stuck_groups),
        silent=[row for row in workers if row.expired or row.state is WorkerState.Dead],
        paused=[row.name for row in not_running if row.paused],
        broken=[row for row in not_running if row.error],
        running=_running(workers),
    )


def _running(workers: list[WorkerRow]) -> list[RunningJob]:
    running = [
        RunningJob(worker=worker.name, job=job)
        for worker in workers
        for job in worker.jobs
        if job.state is JobState.Running
    ]
    return sorted(running, key=lambda each: -(each.job.seconds or 0))
