"""/audit: who did what, when, why. And /me: who asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from rush.store import audit
from rush.web.api.models import Deed, Deeds, Me
from rush.web.guard import Role, VisitorDep, needs
from rush.web.site import ClientDep

router = APIRouter(tags=["audit"])


@router.get("/audit")
@needs(Role.viewer)
def deeds(
    *,
    client: ClientDep,
    target: str | None = None,
    who: str | None = None,
    action: str | None = None,
    cursor: int | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Deeds:
    """What was done by way of the dashboard and the API, the newest first."""
    rows = client.read(
        audit.deeds, before=cursor, target=target, who=who, action=action, limit=limit + 1
    )
    shown = rows[:limit]
    return Deeds(
        audit=[Deed.model_validate(row) for row in shown],
        next=str(shown[-1].id) if len(rows) > limit else None,
    )


@router.get("/me")
@needs(Role.viewer)
def me(visitor: VisitorDep) -> Me:
    """Who asks, and what they may do."""
    return Me(name=visitor.name, role=visitor.role.name, via=visitor.via)
