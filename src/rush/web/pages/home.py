"""Home: how the night went, at one glance."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from rush.domain.states import RunState
from rush.web.guard import Role, needs
from rush.web.rendering import page
from rush.web.site import ClientDep

router = APIRouter()


@router.get("/")
@needs(Role.viewer)
def home(request: Request, client: ClientDep) -> Response:
    return page(
        request,
        "home.html",
        standing=client.standing(),
        workers=client.workers(),
        running=client.runs(state=RunState.Running, limit=20),
        stuck=client.runs(state=RunState.Stuck, limit=20),
    )
