"""
Pipeline: its runs by its jobs, its graph, its runs, how they go, its definition, and a form.

`?tab=` says which view; `?version=` and `&against=` which versions are compared.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from rush.client import Client
from rush.domain.params import as_typed
from rush.domain.redaction import has_hidden, redacted
from rush.domain.rows import PipelineRow, VersionRow
from rush.errors import NotFoundError
from rush.store import overview, run_reads
from rush.store.run_search import RunFilter, find_runs
from rush.web import definition_text, drawing
from rush.web.api.pipelines import LAST_RUNS
from rush.web.guard import Role, needs
from rush.web.pages.actions import PARAMETER
from rush.web.rendering import page, plain, query
from rush.web.site import ClientDep

router = APIRouter()

Tab = Literal["grid", "graph", "runs", "trends", "definition", "run"]
TABS: tuple[Tab, ...] = ("grid", "graph", "runs", "trends", "definition", "run")

PAGE = 50

#: So many lines are shown.
MOST_LINES = 5000

#: A command of more characters is nothing to copy.
LONGEST_COMMAND = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A parameter in the form of a run."""

    id: str
    name: str
    value: str
    kind: Literal["text", "number", "choice", "long"]


@router.get("/pipelines/{name}")
@needs(Role.viewer)
def pipeline(
    *,
    request: Request,
    client: ClientDep,
    name: str,
    tab: Tab = "grid",
    runs: int = 25,
    before: int | None = None,
    version: int | None = None,
    against: int | None = None,
    like: int | None = None,
) -> Response:
    rows = client.read(overview.pipelines, runs=LAST_RUNS, name=name)
    # Where there is none, this says what was probably meant.
    row = rows[0] if rows else client.pipeline(name)
    assert isinstance(row, PipelineRow)
    view: dict[str, Any] = {"runs": max(1, min(runs, 200)), "before": before}
    match tab:
        case "runs":
            found = client.read(find_runs, RunFilter(pipeline=name), limit=PAGE, before=before)
            view |= {"found": found.runs, "older": found.next}
        case "definition":
            view |= _definition(client, name, version, against)
        case "run":
            view |= _form(client, name, like)
        case _:
            pass
    return page(
        request,
        "pipeline.html",
        twin=_twin(name, tab, view),
        row=row,
        statistics=drawing.statistics(row.last_runs),
        standing=client.standing(),
        tab=tab,
        tabs=TABS,
        **view,
    )


def _twin(name: str, tab: Tab, view: Mapping[str, Any]) -> str:
    """The call of the API that gives what a tab shows."""
    path = f"/pipelines/{quote(name, safe='')}"
    before = view["before"]
    match tab:
        case "grid":
            return f"{path}/grid/states" + query({"runs": view["runs"], "before": before})
        case "graph":
            return f"{path}/graph"
        case "runs":
            return "/runs" + query({"pipeline": name, "cursor": before})
        case "trends":
            return f"{path}/durations"
        case "definition":
            return f"{path}/versions"
        case "run":
            return path


def _definition(
    client: Client, name: str, version: int | None, against: int | None
) -> dict[str, Any]:
    versions = client.read(overview.version_list, name)
    shown = _version(client, name, version or versions[0].version)
    earlier = _version(client, name, against) if against else None
    if earlier is None:
        lines = definition_text.written(shown.definition)
    else:
        lines = definition_text.compared(earlier.definition, shown.definition)
    return {
        "versions": versions,
        "shown": shown,
        "earlier": earlier,
        "lines": list(islice(lines, MOST_LINES)),
        "cut": next(lines, None) is not None,
    }


def _version(client: Client, name: str, number: int) -> VersionRow:
    row = client.read(overview.version, name, number)
    if row is None:
        raise NotFoundError(f"there is no version {number}")
    return row


def _form(client: Client, pipeline: str, like: int | None) -> dict[str, Any]:
    """The fields of a run's form, filled as the definition has it, or as another run had it."""
    definition = client.pipeline(pipeline).definition
    declared = definition.get("params")
    values: dict[str, Any] = dict(declared) if isinstance(declared, dict) else {}
    run = None if like is None else client.read(run_reads.run, like)
    given: dict[str, Any] = run.params or {} if run else {}
    values |= given
    jobs = definition.get("jobs")
    names = (
        [job["name"] for job in jobs if isinstance(job, dict) and "name" in job]
        if isinstance(jobs, list)
        else []
    )
    fields = [_field(at, name, value) for at, (name, value) in enumerate(redacted(values).items())]
    return {"fields": fields, "jobs": names, "prefix": PARAMETER, "shell": _shell(pipeline, given)}


def _shell(pipeline: str, params: Mapping[str, Any]) -> str | None:
    """The command that does what the form does; none where it hides something, or is too long."""
    shown = redacted(params)
    told = [f"-p {shlex.quote(f'{name}={as_typed(value)}')}" for name, value in shown.items()]
    command = " ".join(["rush run", pipeline, *told])
    return None if has_hidden(shown) or len(command) > LONGEST_COMMAND else command


def _field(at: int, name: str, value: Any) -> Field:
    match value:
        case bool():
            kind, text = "choice", "true" if value else "false"
        case int() | float():
            kind, text = "number", plain(value, longest=None)
        case dict() | list():
            kind, text = "long", plain(value, longest=None)
        case _:
            kind, text = "text", plain("" if value is None else value, longest=None)
    return Field(id=f"param-{at}", name=name, value=text, kind=kind)
