"""How things stand, at one glance, and what somebody has to look at: for the page, and for programs."""

from __future__ import annotations

from typing import Any

from rush.client import Client
from rush.domain.rows import WorkerRow
from rush.domain.states import JobState, WorkerState
from rush.store import attention, measures
from rush.web.api.models import Home


def home(client: Client) -> Home:
    workers = client.workers()
    queued = client.read(measures.jobs)
    ready = [row for row in queued if row.state == "Ready"]
    pending = client.read(measures.rest)
    not_running = client.read(attention.pipelines_not_running)
    seen = dict(
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
    return Home.model_validate(seen)


def _running(workers: list[WorkerRow]) -> list[dict[str, Any]]:
    """What has run longest first."""
    running = [
        {"worker": worker.name, "job": job}
        for worker in workers
        for job in worker.jobs
        if job.state is JobState.Running
    ]
    return sorted(running, key=lambda each: -(each["job"].seconds or 0))
