"""/home: how things stand, and what somebody has to look at."""

from __future__ import annotations

from fastapi import APIRouter

from rush.web.api.models import Home
from rush.web.guard import Role, needs
from rush.web.home import home as look
from rush.web.site import ClientDep

router = APIRouter(tags=["workers"])


@router.get("/home")
@needs(Role.viewer)
def home(client: ClientDep) -> Home:
    """What the first page shows: the master, the slots, what waits, what needs attention, what runs."""
    return look(client)
