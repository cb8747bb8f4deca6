"""Pipelines: each with how its last runs went."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from rush.domain.rows import PipelineRow
from rush.store import overview
from rush.web import drawing
from rush.web.api.models import Statistics
from rush.web.api.pipelines import LAST_RUNS
from rush.web.guard import Role, needs
from rush.web.rendering import page
from rush.web.site import ClientDep

router = APIRouter()

#: How many runs are drawn as bars.
BARS = 25


@router.get("/pipelines")
@needs(Role.viewer)
def pipelines(request: Request, client: ClientDep) -> Response:
    rows = client.read(overview.pipelines, runs=LAST_RUNS)
    listed: list[tuple[PipelineRow, Statistics]] = [
        (row, drawing.statistics(row.last_runs)) for row in rows
    ]
    return page(
        request,
        "pipelines.html",
        twin="/pipelines",
        pipelines=listed,
        standing=client.standing(),
        bars=BARS,
    )
