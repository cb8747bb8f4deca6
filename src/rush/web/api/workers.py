"""/workers: who there is, who is master; drain and reload. And the switch for everything."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from rush.store import terms
from rush.web import actions
from rush.web.api.models import NO_REASON, Cluster, Done, Queue, Term, Why, Worker
from rush.web.guard import ActingDep, Role, needs
from rush.web.queues import queues
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


@router.get("/queues")
@needs(Role.viewer)
def list_queues(client: ClientDep) -> list[Queue]:
    """What waits in each queue, for how long, and who takes jobs of it."""
    return queues(client, client.workers())


@router.get("/terms")
@needs(Role.viewer)
def history(client: ClientDep, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> list[Term]:
    """Who has been master, the newest term first."""
    return [Term.model_validate(row) for row in client.read(terms.terms, limit=limit)]


@router.post("/workers/{name}/drain")
@needs(Role.operator)
def drain(client: ActingDep, name: str, asked: Why = NO_REASON) -> Done:
    """Let a worker take no more jobs."""
    return Done(said=actions.drain(client, name, why=asked.why))


@router.post("/workers/{name}/reload")
@needs(Role.operator)
def reload(client: ActingDep, name: str, asked: Why = NO_REASON) -> Done:
    """Let a worker load the project's code anew."""
    return Done(said=actions.reload(client, name, why=asked.why))


@router.post("/pause")
@needs(Role.admin)
def pause(client: ActingDep, asked: Why = NO_REASON) -> Done:
    """Hand out nothing of any pipeline. What runs goes on."""
    return Done(said=actions.pause(client, None, why=asked.why))


@router.post("/resume")
@needs(Role.admin)
def resume(client: ActingDep, asked: Why = NO_REASON) -> Done:
    """Take back what pause did."""
    return Done(said=actions.resume(client, None, why=asked.why))
