"""/runs: list, show, submit, cancel, retry, and what became of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from rush.domain.states import RunState
from rush.web.api.models import Run, Runs
from rush.web.guard import Role, needs
from rush.web.site import ClientDep

router = APIRouter(prefix="/runs", tags=["runs"])

Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("")
@needs(Role.viewer)
def list_runs(
    client: ClientDep,
    pipeline: str | None = None,
    state: RunState | None = None,
    cursor: int | None = None,
    limit: Limit = 50,
) -> Runs:
    """Runs, the newest first."""
    rows = client.runs(pipeline=pipeline, state=state, limit=limit + 1, before=cursor)
    shown = rows[:limit]
    return Runs(
        runs=[Run.model_validate(row) for row in shown],
        next=str(shown[-1].id) if len(rows) > limit else None,
    )
