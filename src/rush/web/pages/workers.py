"""Workers: who there is and what each does; the master, and who was it before."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from rush.store import overview, terms
from rush.web.guard import Role, needs
from rush.web.queues import queues
from rush.web.rendering import page
from rush.web.site import ClientDep

router = APIRouter()

TERMS = 20


@router.get("/workers")
@needs(Role.viewer)
def workers(request: Request, client: ClientDep) -> Response:
    rows = client.workers()
    return page(
        request,
        "workers.html",
        twin="/workers",
        standing=client.standing(),
        workers=rows,
        queues=queues(client, rows),
        most=overview.MOST,
        terms=client.read(terms.terms, limit=TERMS),
    )
