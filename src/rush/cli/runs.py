"""`rush runs`: what has run and what runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions, JsonFlag, whole_number
from rush.cli.engine import NO_PIPELINE, RunReference, client_of
from rush.cli.output import Cell, Column, Output, ago
from rush.cli.view import look_at, picture
from rush.domain.durations import format_duration
from rush.domain.rows import AttemptRow, RunRow
from rush.domain.states import JobState, RunState

if TYPE_CHECKING:
    from rush.client import Client

app = App(name="runs", usage="rush runs [COMMAND] [OPTIONS]")


@app.default
def list_runs(
    *,
    pipeline: Annotated[str | None, Parameter(metavar="NAME")] = None,
    state: Annotated[RunState | None, Parameter(metavar="STATE", show_choices=False)] = None,
    unresolved: Annotated[bool, Parameter(negative=())] = False,
    limit: Annotated[
        int, Parameter(name=("--limit", "-n"), metavar="N", converter=whole_number)
    ] = 20,
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """List runs, or show one.

    The newest come first.

    For example:
      rush runs
      rush runs --pipeline etl --state Stuck
      rush runs --unresolved
      rush runs show etl/7

    Parameters
    ----------
    pipeline
        Only those of this pipeline.
    state
        Only those in this state: Running, Complete, Stuck or Cancelled.
    unresolved
        Only those with something Stuck that nobody has looked at and no later run has resolved.
    limit
        List so many at most.
    """
    context = Context(options)
    with client_of(context) as client:
        rows = client.runs(pipeline=pipeline, state=state, limit=limit, unresolved=unresolved)
        hint = "" if rows else what_next(client, pipeline, state, unresolved=unresolved)
    if json:
        context.out.json([asdict(row) for row in rows])
        return
    context.out.table(
        (
            "State",
            "Run",
            Column("Id", right=True, spare=2),
            Column("Asked for", spare=1),
            Column("Time", right=True, spare=3),
        ),
        [
            (
                context.out.state(row.state),
                row.name,
                str(row.id),
                ago(row.created_at, row.now),
                format_duration(row.seconds),
            )
            for row in rows
        ],
        empty=hint,
    )


def what_next(
    client: Client, pipeline: str | None, state: RunState | None, *, unresolved: bool = False
) -> str:
    """
    What to do where there is no run to list.

    Raises NotFoundError for runs of a pipeline that is not there.
    """
    if pipeline is not None:
        client.pipeline(pipeline)
    if unresolved:
        return "no run needs attention"
    if state is not None:
        return f"no run is {state}: `rush runs` lists them all"
    names = [row.name for row in client.pipelines()] if pipeline is None else [pipeline]
    if not names:
        return f"nothing has run yet, and {NO_PIPELINE}"
    return f"nothing has run yet: start a run by `rush run {names[0]}`"


@app.command
def show(
    run: RunReference,
    /,
    *,
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Show a run: its jobs as they stand, and the attempts that have failed.

    For example:
      rush runs show etl/7
      rush runs show 12 --json
    """
    context = Context(options)
    out = context.out
    with client_of(context) as client:
        found = client.run(run)
        assert found.id is not None
        view = look_at(client, found.id)
        attempts = found.attempts()
    if json:
        out.json(asdict(view) | {"attempts": [asdict(attempt) for attempt in attempts]})
        return
    out.console.print(picture(view, out))
    failures = [attempt for attempt in attempts if attempt.state is JobState.Failed]
    if failures:
        out.say()
        out.table(
            (
                "Failed",
                Column("After", right=True, spare=2),
                Column("When", spare=3),
                Column("Worker", spare=1),
                Column("Error", wraps=True),
            ),
            [_failure(attempt, view.run, out) for attempt in failures],
        )


def _failure(attempt: AttemptRow, run: RunRow, out: Output) -> list[Cell]:
    return [
        f"{attempt.job}#{attempt.attempt}",
        None if attempt.seconds is None else format_duration(attempt.seconds),
        None if attempt.finished_at is None else ago(attempt.finished_at, run.now),
        attempt.worker,
        attempt.error or attempt.reason,
    ]
