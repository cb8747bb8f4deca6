"""Home: how things stand, at one glance, and what somebody has to look at."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from rush.store import attention
from rush.web.guard import Role, needs
from rush.web.home import home as look
from rush.web.rendering import page
from rush.web.site import ClientDep

router = APIRouter()

#: So many jobs that run are listed; so many groups of what is stuck.
RUNNING = 15
GROUPS = 20


@router.get("/")
@needs(Role.viewer)
def home(request: Request, client: ClientDep) -> Response:
    return page(
        request,
        "home.html",
        twin="/home",
        home=look(client),
        most_groups=GROUPS,
        most_running=RUNNING,
        any_pipeline=bool(client.read(attention.pipeline_names)),
    )
