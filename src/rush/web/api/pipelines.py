"""/pipelines: list, show, versions, apply, pause and resume, how they went."""

from __future__ import annotations

from fastapi import APIRouter, Response

from rush.domain.redaction import redacted
from rush.errors import NotFoundError
from rush.store import overview
from rush.web import actions, drawing
from rush.web.api.models import (
    NO_REASON,
    Applied,
    Apply,
    Definition,
    Done,
    Pipeline,
    Statistics,
    Version,
    Why,
)
from rush.web.guard import ActingDep, Role, needs
from rush.web.site import ClientDep

router = APIRouter(prefix="/pipelines", tags=["pipelines"])

#: So many of the last runs tell how a pipeline goes.
LAST_RUNS = 100


@router.get("")
@needs(Role.viewer)
def list_pipelines(client: ClientDep) -> list[Pipeline]:
    """Every pipeline, with its newest version and its last runs."""
    return [Pipeline.model_validate(row) for row in client.pipelines()]


@router.get("/{name}")
@needs(Role.viewer)
def show(client: ClientDep, name: str) -> Definition:
    """The definition that is in force. Secrets in it are hidden."""
    row = client.pipeline(name)
    return Definition(
        name=row.name,
        version=row.version,
        definition=redacted(row.definition),
        paused=row.paused,
    )


@router.put("/{name}")
@needs(Role.admin)
def apply(client: ActingDep, name: str, asked: Apply, answer: Response) -> Applied:
    """Put a definition under a name: 201 where it has made a new version."""
    changed, version = actions.apply(client, name, asked.definition, why=asked.why)
    answer.status_code = 201 if changed else 200
    return Applied(changed=changed, version=version)


@router.get("/{name}/versions")
@needs(Role.viewer)
def versions(client: ClientDep, name: str) -> list[Version]:
    """Every version of a definition, the newest first."""
    return [
        Version(
            version=row.version,
            definition=redacted(row.definition),
            created_at=row.created_at,
            compiled_at=row.compiled_at,
            error=row.error,
        )
        for row in client.versions(name)
    ]


@router.get("/{name}/statistics")
@needs(Role.viewer)
def statistics(client: ClientDep, name: str) -> Statistics:
    """How the last runs of a pipeline went."""
    for row in client.read(overview.pipelines, runs=LAST_RUNS, name=name):
        return drawing.statistics(row.last_runs)
    raise NotFoundError(f"there is no pipeline {name}")


@router.post("/{name}/pause")
@needs(Role.operator)
def pause(client: ActingDep, name: str, asked: Why = NO_REASON) -> Done:
    """Hand out no more jobs of a pipeline. What runs goes on."""
    return Done(said=actions.pause(client, name, why=asked.why))


@router.post("/{name}/resume")
@needs(Role.operator)
def resume(client: ActingDep, name: str, asked: Why = NO_REASON) -> Done:
    """Take back what pause did."""
    return Done(said=actions.resume(client, name, why=asked.why))
