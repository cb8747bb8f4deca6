"""Audit: who did what, when, why."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from rush.domain.redaction import redacted
from rush.store import audit as deeds
from rush.web.guard import Role, needs
from rush.web.rendering import page
from rush.web.site import ClientDep

router = APIRouter()

PAGE = 100

#: What can be looked for.
ACTIONS = (
    "run", "retry", "cancel", "acknowledge", "pause", "resume", "apply", "drain", "reload",
)  # fmt: skip


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
    rows, older = client.read(
        deeds.deeds,
        target=target or None,
        who=who or None,
        action=action or None,
        before=before,
        limit=PAGE,
    )
    return page(
        request,
        "audit.html",
        deeds=[(row, redacted(row.detail)) for row in rows],
        older=older,
        window=deeds.WINDOW,
        actions=ACTIONS,
        filters={"target": target, "who": who, "action": action},
    )
