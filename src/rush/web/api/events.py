"""/events: that something has changed."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from rush.web.guard import Role, needs
from rush.web.site import SiteDep

router = APIRouter(tags=["events"])


@router.get("/events", response_class=StreamingResponse)
@needs(Role.viewer)
async def events(site: SiteDep) -> StreamingResponse:
    """
    Server-sent events: `change`, with the topics that have changed.

    Asynchronous, unlike all other calls: an open tab costs no thread.
    """
    return StreamingResponse(
        site.live.events(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
