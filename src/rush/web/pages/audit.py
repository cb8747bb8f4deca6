"""Audit: who did what, when, why."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from rush.domain.redaction import redacted
from rush.store import audit as deeds
from rush.web.guard import Role, needs
from rush.web.rendering import page, query
from rush.web.site import ClientDep

router = APIRouter()

PAGE = 100


@router.get("/audit")
@needs(Role.viewer)
def audit(
    *,
    request: Request,
    client: ClientDep,
    target: str | None = None,
    who: str | None = None,
    action: str | None = None,
    before: str | None = None,
) -> Response:
    like = {"target": target or None, "who": who or None, "action": action or None}
    rows, older = client.read(deeds.deeds, **like, before=before, limit=PAGE)
    return page(
        request,
        "audit.html",
        twin="/audit" + query(like, cursor=before),
        deeds=[(row, redacted(row.detail)) for row in rows],
        older=older,
        window=deeds.WINDOW,
        actions=deeds.ACTIONS,
        filters=like,
    )
