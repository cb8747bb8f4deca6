"""Runs: all of them, the newest first."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from rush.domain.states import RunState
from rush.web.guard import Role, needs
from rush.web.rendering import page
from rush.web.site import ClientDep

router = APIRouter()

PAGE = 50


@router.get("/runs")
@needs(Role.viewer)
def runs(
    request: Request,
    client: ClientDep,
    pipeline: str | None = None,
    state: RunState | None = None,
    before: int | None = None,
) -> Response:
    rows = client.runs(pipeline=pipeline or None, state=state, limit=PAGE + 1, before=before)
    return page(
        request,
        "runs.html",
        runs=rows[:PAGE],
        older=rows[PAGE - 1].id if len(rows) > PAGE else None,
        filters={"pipeline": pipeline, "state": state},
    )
