"""/workers: who there is, who is master; drain and reload. And the switch for everything."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from rush.store import terms
from rush.web import actions
from rush.web.actions import Doer
from rush.web.api.models import Cluster, Done, Term, Why, Worker
from rush.web.guard import Role, VisitorDep, needs
from rush.web.site import ClientDep

router = APIRouter(tags=["workers"])


@router.get("/workers")
@needs(Role.viewer)
def cluster(client: ClientDep) -> Cluster:
    """Every worker with what it holds, and who is master."""
    standing = client.standing()
    return Cluster(
        master=standing.master,
        term=standing.term,
        elected_at=standing.elected_at,
        expires_at=standing.expires_at,
        paused=standing.paused,
        workers=[Worker.model_validate(row) for row in client.workers()],
    )


@router.get("/terms")
@needs(Role.viewer)
def history(client: ClientDep, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> list[Term]:
    """Who has been master, the newest term first."""
    return [Term.model_validate(row) for row in client.read(terms.terms, limit=limit)]


@router.post("/workers/{name}/drain")
@needs(Role.operator)
def drain(client: ClientDep, visitor: VisitorDep, name: str, asked: Why | None = None) -> Done:
    """Let a worker take no more jobs."""
    doer = Doer(client=client, visitor=visitor, why=asked.why if asked else "")
    return Done(said=actions.drain(doer, name))


@router.post("/workers/{name}/reload")
@needs(Role.operator)
def reload(client: ClientDep, visitor: VisitorDep, name: str, asked: Why | None = None) -> Done:
    """Let a worker load the project's code anew."""
    doer = Doer(client=client, visitor=visitor, why=asked.why if asked else "")
    return Done(said=actions.reload(doer, name))


@router.post("/pause")
@needs(Role.admin)
def pause(client: ClientDep, visitor: VisitorDep, asked: Why | None = None) -> Done:
    """Hand out nothing of any pipeline. What runs goes on."""
    doer = Doer(client=client, visitor=visitor, why=asked.why if asked else "")
    return Done(said=actions.pause(doer, None))


@router.post("/resume")
@needs(Role.admin)
def resume(client: ClientDep, visitor: VisitorDep, asked: Why | None = None) -> Done:
    """Take back what pause did."""
    doer = Doer(client=client, visitor=visitor, why=asked.why if asked else "")
    return Done(said=actions.resume(doer, None))
