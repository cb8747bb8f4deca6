"""
Run: what became of one execution, job by job, and what can be done about it.

`?tab=` says which view, `?job=` opens a job beside it, `&attempt=` one of its attempts.
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, RedirectResponse

from rush.domain.reasons import Situation, why
from rush.domain.redaction import redacted
from rush.domain.rows import JobRow, RunRow
from rush.domain.states import JobState, RunState
from rush.errors import NotFoundError
from rush.store import attention, job_reads, run_reads
from rush.store.session import Session
from rush.web.files import KINDS, SANDBOX, files_in, found
from rush.web.guard import Role, needs
from rush.web.panel import Panel, panel_of
from rush.web.rendering import page
from rush.web.site import ClientDep, SiteDep

router = APIRouter()

Tab = Literal["timeline", "graph", "logs", "data", "events"]
TABS: tuple[Tab, ...] = ("timeline", "graph", "logs", "data", "events")

#: What the API calls it.
TWINS: dict[Tab, str] = {
    "timeline": "timeline",
    "graph": "graph",
    "logs": "logs",
    "data": "results",
    "events": "events",
}

#: So many jobs are listed one by one; of more, those that somebody may have to look at.
MOST_JOBS = 300


@router.get("/runs/{run_id}")
@needs(Role.viewer)
def run(
    *,
    request: Request,
    client: ClientDep,
    site: SiteDep,
    run_id: int,
    tab: Tab = "timeline",
    job: str | None = None,
    attempt: int | None = None,
) -> Response:
    def look(
        session: Session,
    ) -> tuple[Situation, Panel | None, list[Any], dict[str, Any], list[Any], Any]:
        situation = run_reads.situation(session, run_id)
        if situation is None:
            raise NotFoundError(f"there is no run {run_id}")
        return (
            situation,
            None if job is None else panel_of(session, situation, job, attempt, site.files),
            job_reads.results(session, run_id) if tab == "data" else [],
            job_reads.defaults(session, run_id) if tab == "data" else {},
            job_reads.events(session, run_id) if tab == "events" else [],
            attention.resolution(session, run_id),
        )

    situation, panel, results, defaults, events, resolution = client.read_at_once(look)
    reasons = why(situation)
    return page(
        request,
        "run.html",
        twin=f"/runs/{run_id}/{TWINS[tab] if job is None else f'jobs/{job}'}",
        run=situation.run,
        params=redacted(situation.run.params),
        defaults=redacted(_not_given(defaults, situation.run)),
        jobs=_worth_listing(situation.jobs),
        all_jobs=len(situation.jobs),
        counts=_counts(situation.jobs),
        stuck=[each for each in situation.jobs if each.state is JobState.Stuck],
        about_run=[reason for reason in reasons if reason.job is None],
        reasons={reason.job: reason for reason in reasons},
        resolution=resolution,
        newer=situation.newer_version if situation.run.state is RunState.Stuck else None,
        standing=situation.standing,
        tab=tab,
        tabs=TABS,
        panel=panel,
        results=[
            (row.job, redacted(row.value), files_in(site.files, row.value)) for row in results
        ],
        events=events,
    )


@router.get("/pipelines/{name}/runs/{jobinstance}")
@needs(Role.viewer)
def by_name(client: ClientDep, site: SiteDep, name: str, jobinstance: int) -> RedirectResponse:
    """A run by the name that people give it."""
    run_id = client.run(f"{name}/{jobinstance}").id
    return RedirectResponse(f"{site.base}/runs/{run_id}", status_code=307)


@router.get("/runs/{run_id}/files/{job}")
@needs(Role.viewer)
def file(client: ClientDep, site: SiteDep, run_id: int, job: str, name: str) -> FileResponse:
    """A file that a job's result names, in a sandbox."""
    result = client.read(run_reads.result, run_id, job)
    path = None
    if result is not None and site.files is not None and name in files_in(site.files, result[0]):
        path = found(site.files, name)
    if path is None:
        raise NotFoundError(f"{job} of run {run_id} has no file of that name to be shown")
    return FileResponse(
        path,
        media_type=KINDS[path.suffix.lower()],
        content_disposition_type="inline",
        headers={"Content-Security-Policy": SANDBOX, "Cache-Control": "no-store"},
    )


def _not_given(defaults: dict[str, Any], run: RunRow) -> dict[str, Any]:
    given = run.params or {}
    return {name: value for name, value in defaults.items() if name not in given}


def _worth_listing(jobs: tuple[JobRow, ...]) -> list[JobRow]:
    if len(jobs) <= MOST_JOBS:
        return list(jobs)
    urgent = (JobState.Stuck, JobState.Failed, JobState.Running, JobState.Ready, JobState.Waiting)
    listed = [job for job in jobs if job.state in urgent]
    listed.sort(key=lambda job: (urgent.index(job.state) if job.state else 9, job.position))
    return listed[:MOST_JOBS]


def _counts(jobs: tuple[JobRow, ...]) -> dict[str, int]:
    counts = {str(state): 0 for state in JobState} | {"": 0}
    for job in jobs:
        counts[job.state or ""] += 1
    return {state: number for state, number in counts.items() if number}
