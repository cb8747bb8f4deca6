"""Home: how things stand, at one glance, and what somebody has to look at."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from rush.domain.rows import HeldJob, WorkerRow
from rush.domain.states import JobState, WorkerState
from rush.store import attention, overview
from rush.web.guard import Role, needs
from rush.web.rendering import page
from rush.web.site import ClientDep

router = APIRouter()

#: So many jobs that run are listed; so many groups of what is stuck.
RUNNING = 15
GROUPS = 20


@router.get("/")
@needs(Role.viewer)
def home(request: Request, client: ClientDep) -> Response:
    workers = client.workers()
    groups = client.read(attention.stuck_groups)
    not_running = client.read(attention.pipelines_not_running)
    running = _running(workers)
    return page(
        request,
        "home.html",
        standing=client.standing(),
        workers=workers,
        silent=[row for row in workers if row.expired or row.state is WorkerState.Dead],
        slots=sum(row.slots for row in workers if row.takes_jobs),
        taken=sum(row.running for row in workers if row.takes_jobs),
        queued=client.read(overview.queued),
        most=overview.MOST,
        groups=groups[:GROUPS],
        more_groups=max(0, len(groups) - GROUPS),
        paused=[row.name for row in not_running if row.paused],
        broken=[row for row in not_running if row.error],
        any_pipeline=bool(client.read(attention.pipeline_names)),
        running=running[:RUNNING],
        more_running=max(0, len(running) - RUNNING),
    )


def _running(workers: list[WorkerRow]) -> list[tuple[WorkerRow, HeldJob]]:
    """What runs now, what has run longest first."""
    running = [
        (worker, job) for worker in workers for job in worker.jobs if job.state is JobState.Running
    ]
    return sorted(running, key=lambda pair: -(pair[1].seconds or 0))
