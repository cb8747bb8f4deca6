"""Run: what became of one execution, job by job, and what can be done about it."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response

from rush.domain.reasons import why
from rush.errors import NotFoundError
from rush.store import run_reads
from rush.web.guard import Role, needs
from rush.web.rendering import page
from rush.web.site import ClientDep

router = APIRouter()

Tab = Literal["timeline", "graph", "logs", "data", "events"]


@router.get("/runs/{run_id}")
@needs(Role.viewer)
def run(request: Request, client: ClientDep, run_id: int, tab: Tab = "timeline") -> Response:
    situation = client.read_at_once(run_reads.situation, run_id)
    if situation is None:
        raise NotFoundError(f"there is no run {run_id}")
    return page(
        request,
        "run.html",
        run=situation.run,
        jobs=situation.jobs,
        reasons={reason.job: reason for reason in why(situation)},
        tab=tab,
    )
