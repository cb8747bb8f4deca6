"""Audit: who did what, when, why."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from rush.store import audit as deeds
from rush.web.guard import Role, needs
from rush.web.rendering import page
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
    before: int | None = None,
) -> Response:
    rows = client.read(
        deeds.deeds,
        target=target or None,
        who=who or None,
        action=action or None,
        before=before,
        limit=PAGE + 1,
    )
    return page(
        request,
        "audit.html",
        deeds=rows[:PAGE],
        older=rows[PAGE - 1].id if len(rows) > PAGE else None,
        filters={"target": target, "who": who, "action": action},
    )
