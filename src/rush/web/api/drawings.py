"""What the pages draw: timelines, graphs, grids, logs, charts. Of one instant each."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request

from rush.client import Client
from rush.domain.rows import JobRow, RunRow
from rush.errors import NotFoundError
from rush.store import drawings, log_pages, run_reads
from rush.store.log_pages import LogOf, LogPage
from rush.store.session import Session
from rush.web import drawing, grid
from rush.web.api.models import (
    Durations,
    Graph,
    GraphStates,
    Grid,
    GridStates,
    Log,
    Point,
    Throughput,
    Timeline,
)
from rush.web.grid import Window
from rush.web.guard import Role, needs
from rush.web.site import ClientDep, SiteDep, site_of

router = APIRouter()

MOST_LINES = 20_000
Lines = Annotated[int, Query(ge=1, le=MOST_LINES)]
Columns = Annotated[int, Query(ge=1, le=200)]


# Of a run -----------------------------------------------------------------------------------


@router.get("/runs/{run_id}/timeline", tags=["runs"])
@needs(Role.viewer)
def timeline(client: ClientDep, run_id: int) -> Timeline:
    """What a run did when: a lane a job, a bar an attempt."""

    def look(session: Session) -> Timeline:
        run, jobs = _run_and_jobs(session, run_id)
        return drawing.timeline(run, jobs, drawings.timeline(session, run_id))

    return client.read_at_once(look)


@router.get("/runs/{run_id}/graph", tags=["runs"])
@needs(Role.viewer)
def graph(client: ClientDep, run_id: int) -> Graph:
    """The jobs of a run, what each waits for, and how it stands."""
    return client.read_at_once(
        lambda session: drawing.graph_of_run(*_run_and_jobs(session, run_id))
    )


@router.get("/runs/{run_id}/graph/states", tags=["runs"])
@needs(Role.viewer)
def graph_states(client: ClientDep, run_id: int) -> GraphStates:
    """How the jobs of a run stand, without those whose turn is still to come."""
    return client.read_at_once(
        lambda session: drawing.states_of_run(*_run_and_jobs(session, run_id))
    )


@router.get("/runs/{run_id}/logs", tags=["runs"])
@needs(Role.viewer)
def logs(
    *,
    client: ClientDep,
    run_id: int,
    job: str | None = None,
    attempt: int | None = None,
    before: str | None = None,
    after: str | None = None,
    limit: Lines = 2000,
) -> Log:
    """
    Lines of a run's log: the last ones, or those before or after a place.

    A page is at least `limit` lines where there are so many; `first` and `last` are the
    places at its ends, to go on from.
    """
    if client.read(run_reads.run, run_id) is None:
        raise NotFoundError(f"there is no run {run_id}")
    page = client.read_at_once(
        _log_page, LogOf(run_id=run_id, job=job, attempt=attempt), before, after, limit
    )
    return Log(
        lines=[
            (line.at, line.level, line.job, 0, line.round, line.attempt, line.text)
            for line in page.lines
        ],
        first=page.first,
        last=page.last,
        before=page.before,
        after=page.after,
        total=page.total,
    )


def _log_page(
    session: Session, log: LogOf, before: str | None, after: str | None, limit: int
) -> LogPage:
    if after is not None:
        return log_pages.page_after(session, log, after, limit=limit)
    if before is not None:
        return log_pages.page_before(session, log, before, limit=limit)
    return log_pages.last_page(session, log, limit=limit)


def _run_and_jobs(session: Session, run_id: int) -> tuple[RunRow, list[JobRow]]:
    run = run_reads.run(session, run_id)
    if run is None:
        raise NotFoundError(f"there is no run {run_id}")
    return run, run_reads.jobs(session, run_id)


# Of a pipeline ------------------------------------------------------------------------------


@router.get("/pipelines/{name}/graph", tags=["pipelines"])
@needs(Role.viewer)
def definition_graph(client: ClientDep, name: str, version: int | None = None) -> Graph:
    """The jobs of a definition, and what each waits for."""
    return drawing.graph_of_definition(definition_of(client, name, version), client.standing().now)


@router.get("/pipelines/{name}/grid", tags=["pipelines"])
@needs(Role.viewer)
def grid_structure(
    *, request: Request, client: ClientDep, name: str, runs: Columns = 25, before: int | None = None
) -> Grid:
    """The rows (jobs) and columns (runs, the oldest first) of a pipeline's grid."""
    base = site_of(request).base
    older = f"{base}/api/v1/pipelines/{quote(name, safe='')}/grid?runs={runs}&before="
    window = Window(pipeline=name, limit=runs, before=before)
    return client.read_at_once(grid.structure, window, site_of(request).depths, older)


@router.get("/pipelines/{name}/grid/states", tags=["pipelines"], response_model_exclude_none=True)
@needs(Role.viewer)
def grid_states(
    *,
    client: ClientDep,
    name: str,
    runs: Columns = 25,
    before: int | None = None,
    after: str | None = None,
) -> GridStates:
    """The squares of the grid, or what has changed since a cursor."""
    window = Window(pipeline=name, limit=runs, before=before)
    return client.read_at_once(grid.states, window, after)


@router.get("/pipelines/{name}/durations", tags=["pipelines"])
@needs(Role.viewer)
def durations(
    *, client: ClientDep, site: SiteDep, name: str, runs: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Durations:
    """How long the last runs of a pipeline took."""
    client.pipeline(name)
    rows = client.read(drawings.grid_runs, name, limit=runs)
    points = [
        Point(
            at=row.started_at,
            seconds=(row.finished_at - row.started_at).total_seconds(),
            state=row.state,
            label=f"{name}/{row.jobinstance}",
            href=f"{site.base}/runs/{row.id}",
        )
        for row in reversed(rows)
        if row.finished_at is not None
    ]
    ordered = sorted(point.seconds for point in points if point.state == "Complete")
    return Durations(
        p50=drawing.percentile(ordered, 0.5), p95=drawing.percentile(ordered, 0.95), points=points
    )


def definition_of(client: Client, name: str, version: int | None) -> dict[str, object]:
    """The definition in force, or an older version. Raises NotFoundError where there is none."""
    if version is None:
        return client.pipeline(name).definition
    for row in client.versions(name):
        if row.version == version:
            return row.definition
    raise NotFoundError(f"{name} has no version {version}")


# Of everything ------------------------------------------------------------------------------


@router.get("/charts/throughput", tags=["charts"])
@needs(Role.viewer)
def throughput(
    client: ClientDep,
    hours: Annotated[int, Query(ge=1, le=24 * 7)] = 24,
    seconds: Annotated[int, Query(ge=60, le=86400)] = 900,
) -> Throughput:
    """How many runs ended, in stretches of time up to now."""
    now = client.standing().now
    since = now - timedelta(hours=hours, seconds=seconds)
    rows = client.read(drawings.throughput, since=since, seconds=seconds)
    return drawing.throughput(rows, now=now, hours=hours, seconds=seconds)
