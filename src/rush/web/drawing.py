"""From rows to what is drawn: timeline, graph, grid, charts. Nothing here reads the database."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rush.domain.definition import parse_definition
from rush.domain.graph import GraphJob, compile_graph
from rush.domain.rows import JobRow, LastRun, RunRow
from rush.domain.states import RunState
from rush.web.api.models import (
    DrawnAttempt,
    DrawnRun,
    Graph,
    GraphStates,
    Lane,
    Node,
    NodeState,
    Series,
    Statistics,
    Throughput,
    Timeline,
)

LETTERS = {
    "Waiting": "w",
    "Ready": "y",
    "Running": "r",
    "Complete": "c",
    "Failed": "f",
    "Stuck": "s",
    "Cancelled": "x",
    "Skipped": "k",
}
NOTHING_YET = "."
NO_SUCH_JOB = " "

Progress = tuple[float, float | None] | None


def timeline(run: RunRow, jobs: Iterable[JobRow], attempts: Iterable[Any]) -> Timeline:
    bars: dict[str, list[DrawnAttempt]] = {}
    for row in attempts:
        bars.setdefault(row.job, []).append(
            DrawnAttempt(
                item=row.item,
                round=row.round,
                attempt=row.attempt,
                state=row.state,
                worker=row.worker,
                ready_at=row.ready_at,
                started_at=row.started_at,
                finished_at=row.finished_at,
                reason=row.reason,
                error=row.error,
                progress=_progress(row.done, row.total),
            )
        )
    lanes = [
        Lane(
            job=job.name,
            state=job.state,
            depends_on=list(job.predecessors),
            attempts=bars.get(job.name, []),
        )
        for job in sorted(jobs, key=lambda job: job.position)
    ]
    return Timeline(now=run.now, run=DrawnRun.model_validate(run), jobs=lanes)


def graph_of_run(run: RunRow, jobs: Iterable[JobRow]) -> Graph:
    nodes = [
        Node(
            job=job.name,
            state=job.state,
            depends_on=list(job.predecessors),
            seconds=job.seconds,
            started_at=job.started_at,
            attempts=job.attempt,
            progress=_progress(job.done, job.total),
        )
        for job in sorted(jobs, key=lambda job: job.position)
    ]
    return Graph(now=run.now, run=DrawnRun.model_validate(run), jobs=nodes)


def states_of_run(run: RunRow, jobs: Iterable[JobRow]) -> GraphStates:
    states = {
        job.name: NodeState(
            state=job.state,
            seconds=job.seconds,
            started_at=job.started_at,
            attempts=job.attempt,
            progress=_progress(job.done, job.total),
        )
        for job in jobs
        if job.state is not None
    }
    return GraphStates(now=run.now, states=states)


def graph_of_definition(definition: Mapping[str, Any], now: datetime) -> Graph:
    """Raises DefinitionError for one that cannot run."""
    jobs = _compiled(definition)
    nodes = [
        Node(job=job.name, depends_on=[jobs[before].name for before in job.predecessors])
        for job in jobs
    ]
    return Graph(now=now, run=None, jobs=nodes)


def depths(definition: Mapping[str, Any]) -> dict[str, int]:
    """
    How many jobs come before each, one after the other, at the most.

    Raises DefinitionError for a definition that cannot run.
    """
    return {job.name: job.level for job in _compiled(definition)}


def _compiled(definition: Mapping[str, Any]) -> Sequence[GraphJob]:
    return compile_graph(parse_definition(dict(definition))).jobs


def _progress(done: float | None, total: float | None) -> Progress:
    return None if done is None else (done, total)


# Charts -------------------------------------------------------------------------------------


def throughput(rows: Iterable[Any], *, now: datetime, hours: int, seconds: int) -> Throughput:
    """Runs that ended, in stretches of so many seconds up to now."""
    last = int(now.timestamp()) // seconds
    number = math.ceil(hours * 3600 / seconds)
    first = last - number + 1
    counts: dict[str, list[int]] = {}
    for row in rows:
        if first <= row.bucket <= last:
            counts.setdefault(row.state, [0] * number)[row.bucket - first] = row.runs
    start = now - timedelta(seconds=now.timestamp() - first * seconds)
    order = (RunState.Complete, RunState.Cancelled, RunState.Stuck)
    return Throughput(
        start=start,
        to=start + timedelta(seconds=number * seconds),
        bucket_seconds=seconds,
        series=[
            Series(name=state, state=state, values=counts.get(state, [0] * number))
            for state in order
            if state in counts or state is RunState.Complete
        ],
    )


def statistics(runs: Sequence[LastRun]) -> Statistics:
    over = [run for run in runs if run.state is not RunState.Running]
    complete = sorted(run.seconds for run in over if run.state is RunState.Complete)
    judged = [run for run in over if run.state is not RunState.Cancelled]
    return Statistics(
        runs=len(over),
        succeeded=len(complete) / len(judged) if judged else None,
        p50=percentile(complete, 0.5),
        p95=percentile(complete, 0.95),
    )


def statistics_of(outcomes: Any) -> Statistics:
    """The same, of what the database has counted (`overview.outcomes`); None: there was no run."""
    if outcomes is None:
        return statistics([])
    return Statistics(
        runs=outcomes.runs,
        succeeded=outcomes.complete / outcomes.judged if outcomes.judged else None,
        p50=outcomes.p50,
        p95=outcomes.p95,
    )


def percentile(ordered: Sequence[float], part: float) -> float | None:
    """Of numbers in order: the first that so large a part of them does not exceed."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]
