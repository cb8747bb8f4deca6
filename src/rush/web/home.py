"""How things stand, at one glance, and what somebody has to look at: for the page, and for programs."""

from __future__ import annotations

from typing import Any

from rush.client import Client
from rush.domain.rows import WorkerRow
from rush.domain.states import JobState, WorkerState
from rush.store import attention, overview
from rush.web.api.models import Home

#: Of so many jobs that run, the longest, it is asked whether their runs take longer than usual.
LOOKED_AT = 50


def home(client: Client) -> Home:
    workers = client.workers()
    queued = client.read(overview.queued)
    not_running = client.read(attention.pipelines_not_running)
    running = _running(workers)
    looked_at = {each["job"].run_id for each in running[:LOOKED_AT]}
    usual = client.read(attention.longer_than_usual, sorted(looked_at)) if looked_at else {}
    seen = dict(
        standing=client.standing(),
        slots=sum(row.slots for row in workers if row.takes_jobs),
        taken=sum(row.running for row in workers if row.takes_jobs),
        ready=queued.ready,
        oldest=queued.oldest,
        waiting=queued.waiting,
        pending=queued.pending,
        pending_oldest=queued.pending_oldest,
        stuck_jobs=queued.stuck,
        stuck=client.read(attention.stuck_groups),
        silent=[row for row in workers if row.expired or row.state is WorkerState.Dead],
        paused=[row.name for row in not_running if row.paused],
        broken=[row for row in not_running if row.error],
        running=[each | {"usual": usual.get(each["job"].run_id)} for each in running],
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
