"""/healthz, /readyz, /metrics: for those who keep an eye on it. They stand beside /api/v1."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from rush.errors import DatabaseError, SchemaError
from rush.store.migrate import check
from rush.store.session import Session
from rush.web.guard import Role, needs
from rush.web.site import ClientDep, SiteDep

router = APIRouter(tags=["health"])


@router.get("/healthz", response_class=PlainTextResponse)
@needs(Role.anybody)
async def alive() -> str:
    """This process answers. It asks nothing of the database."""
    return "alive\n"


@router.get("/readyz", response_class=PlainTextResponse)
@needs(Role.anybody)
def ready(site: SiteDep) -> Response:
    """The database answers, and its schema fits: 503 where not."""
    try:
        with site.database.client() as client:
            client.read(_check)
    except (DatabaseError, SchemaError):
        # Why is not told to everybody.
        return PlainTextResponse("not ready\n", 503)
    return PlainTextResponse("ready\n")


@router.get("/metrics")
@needs(Role.viewer)
def metrics(site: SiteDep, client: ClientDep) -> Response:
    """For Prometheus. With accounts it takes a token."""
    return Response(site.metrics.text(client), media_type="text/plain; version=0.0.4")


def _check(session: Session) -> None:
    check(session.connection, session.schema)
