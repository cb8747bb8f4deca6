"""/audit: who did what, when, why. And /me: who asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from rush.domain.redaction import redacted
from rush.store import audit
from rush.store.audit import DeedRow
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
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Deeds:
    """
    What was done and by whom, the newest first: by the dashboard, this API, the command line and
    programs; and run requests that were made by SQL, by the database's role.
    """
    rows, older = client.read(
        audit.deeds, before=cursor, target=target, who=who, action=action, limit=limit
    )
    return Deeds(audit=[_deed(row) for row in rows], next=older)


def _deed(row: DeedRow) -> Deed:
    return Deed.model_validate(row).model_copy(update={"detail": redacted(row.detail)})


@router.get("/me")
@needs(Role.viewer)
def me(visitor: VisitorDep) -> Me:
    """Who asks, and what they may do."""
    return Me(name=visitor.name, role=visitor.role.name, via=visitor.via)
