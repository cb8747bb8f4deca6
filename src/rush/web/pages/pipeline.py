"""
Pipeline: its runs by its jobs, its graph, its runs, how they go, its definition, and a form.

`?tab=` says which view; `?version=` and `&against=` which versions are compared.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import yaml
from fastapi import APIRouter, Request, Response

from rush.client import Client
from rush.domain.redaction import redacted
from rush.domain.rows import PipelineRow, VersionRow
from rush.errors import NotFoundError
from rush.store import overview, run_reads
from rush.store.run_search import RunFilter, find_runs
from rush.web import drawing
from rush.web.api.pipelines import LAST_RUNS
from rush.web.guard import Role, needs
from rush.web.pages.actions import PARAMETER
from rush.web.rendering import page, plain, query
from rush.web.site import ClientDep

router = APIRouter()

Tab = Literal["grid", "graph", "runs", "trends", "definition", "run"]
TABS: tuple[Tab, ...] = ("grid", "graph", "runs", "trends", "definition", "run")

PAGE = 50

#: libyaml's where it is there: of thousands of jobs the other one takes seconds.
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
#: So many lines are shown.
MOST_LINES = 5000

#: What comes first in a definition as people read it. JSON in PostgreSQL keeps no order.
ORDER = (
    "name", "description", "class_name", "depends_on", "params", "timeout_minutes",
    "retry_gap_minutes", "retry_limit", "queue", "priority", "jobs",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a definition: the same in both versions, or only in the new or the old one."""

    kind: Literal["", "new", "old"]
    text: str


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
            found = client.read(find_runs, RunFilter(pipeline=name), limit=PAGE + 1, before=before)
            view |= {
                "found": found[:PAGE],
                "older": found[PAGE - 1].id if len(found) > PAGE else None,
            }
        case "definition":
            view |= _definition(client, name, version, against)
        case "run":
            view |= _form(client, client.pipeline(name).definition, like)
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
    versions = client.versions(name)
    shown = _version(versions, version) if version else versions[0]
    earlier = _version(versions, against) if against else None
    lines = list(_lines(shown, earlier))
    return {
        "versions": versions,
        "shown": shown,
        "earlier": earlier,
        "lines": lines[:MOST_LINES],
        "cut": max(0, len(lines) - MOST_LINES),
    }


def _version(versions: list[VersionRow], number: int) -> VersionRow:
    for row in versions:
        if row.version == number:
            return row
    raise NotFoundError(f"there is no version {number}")


def _lines(shown: VersionRow, earlier: VersionRow | None) -> Iterator[Line]:
    new = _text(shown.definition)
    if earlier is None:
        yield from (Line(kind="", text=text) for text in new)
        return
    old = _text(earlier.definition)
    compared = difflib.SequenceMatcher(None, old, new)
    for what, i, k, j, m in compared.get_opcodes():
        if what == "equal":
            yield from (Line(kind="", text=text) for text in new[j:m])
        else:
            yield from (Line(kind="old", text=text) for text in old[i:k])
            yield from (Line(kind="new", text=text) for text in new[j:m])


def _text(definition: Mapping[str, Any]) -> list[str]:
    """As people write it, and without its secrets."""
    text = yaml.dump(
        _ordered(redacted(definition)),
        Dumper=DUMPER,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )
    return text.splitlines()


def _ordered(value: Any) -> Any:
    match value:
        case dict():
            return {key: _ordered(value[key]) for key in sorted(value, key=_place)}
        case list():
            return [_ordered(each) for each in value]
        case _:
            return value


def _place(key: str) -> tuple[int, str]:
    return (ORDER.index(key) if key in ORDER else len(ORDER), key)


def _form(client: Client, definition: Mapping[str, Any], like: int | None) -> dict[str, Any]:
    """The fields of a run's form, filled as the definition has it, or as another run had it."""
    declared = definition.get("params")
    values: dict[str, Any] = dict(declared) if isinstance(declared, dict) else {}
    if like is not None and (run := client.read(run_reads.run, like)) is not None:
        values |= run.params or {}
    jobs = definition.get("jobs")
    names = (
        [job["name"] for job in jobs if isinstance(job, dict) and "name" in job]
        if isinstance(jobs, list)
        else []
    )
    fields = [_field(at, name, value) for at, (name, value) in enumerate(redacted(values).items())]
    return {"fields": fields, "jobs": names, "prefix": PARAMETER}


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
