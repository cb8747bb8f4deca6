"""Runs: all of them, the newest first; those that match; and what can be done to many at once."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from rush.domain.states import RunState
from rush.store import attention
from rush.store.run_search import COUNTED, RunFilter, count_runs, find_runs
from rush.web.actions import MOST
from rush.web.guard import Role, needs
from rush.web.rendering import page
from rush.web.site import ClientDep

router = APIRouter()

PAGE = 50

#: How far back, as it is said in the address, in words, and in seconds.
SPANS = {
    "1h": ("the last hour", 3600.0),
    "24h": ("the last 24 hours", 86400.0),
    "7d": ("the last 7 days", 7 * 86400.0),
}


@router.get("/runs")
@needs(Role.viewer)
def runs(
    *,
    request: Request,
    client: ClientDep,
    pipeline: str = "",
    state: Annotated[list[RunState] | None, Query()] = None,
    span: str = "",
    q: Annotated[str, Query(max_length=200)] = "",
    unresolved: bool = False,
    before: int | None = None,
) -> Response:
    states = tuple(state or ())
    since = SPANS[span][1] if span in SPANS else None
    wanted = RunFilter(
        pipeline=pipeline or None,
        states=states,
        since=since,
        text=q or None,
        unresolved=unresolved,
    )
    rows = client.read(find_runs, wanted, limit=PAGE + 1, before=before)
    counts = client.read(count_runs, wanted)
    matching = sum(number for name, number in counts.items() if not states or name in states)
    return page(
        request,
        "runs.html",
        twin="/runs"
        + _twin(
            pipeline=pipeline, state=states, since=since, q=q, unresolved=unresolved, cursor=before
        ),
        runs=rows[:PAGE],
        older=rows[PAGE - 1].id if len(rows) > PAGE else None,
        counts=counts,
        counted=COUNTED,
        matching=matching,
        most=MOST,
        pipelines=client.read(attention.pipeline_names),
        spans=SPANS,
        states=states,
        since=since,
        filters={"pipeline": pipeline, "span": span, "q": q, "unresolved": unresolved and 1},
    )


def _twin(**asked: Any) -> str:
    """The same question to the API."""
    said = {name: value for name, value in asked.items() if value}
    return "?" + urlencode(said, doseq=True) if said else ""
