"""`rush runs`: what has run and what runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import App, Parameter

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions, JsonFlag
from rush.cli.engine import RunReference, client_of
from rush.cli.output import Cell, Column, Output, ago
from rush.cli.view import look_at, picture
from rush.domain.durations import format_duration
from rush.domain.states import JobState, RunState
from rush.store import run_reads
from rush.store.run_reads import AttemptRow, RunRow

app = App(name="runs")


@app.default
def list_runs(
    *,
    pipeline: str | None = None,
    state: RunState | None = None,
    limit: Annotated[int, Parameter(name=("--limit", "-n"))] = 20,
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """List runs, or show one.

    The newest stand first.

    For example:
      rush runs
      rush runs --pipeline etl --state Stuck
      rush runs show etl/7

    Parameters
    ----------
    pipeline
        Only those of this pipeline.
    state
        Only those in this state.
    limit
        So many at most.
    """
    context = Context(options)
    with client_of(context) as client:
        rows = client.runs(pipeline=pipeline, state=state, limit=limit)
    if json:
        context.out.json([asdict(row) for row in rows])
        return
    context.out.table(
        ("State", "Run", Column("Id", right=True), "Asked for", Column("Time", right=True)),
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
        empty="there is no such run: start one by `rush run PIPELINE`",
    )


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
        attempts = client.read(run_reads.attempts, found.id)
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
                Column("After", right=True),
                "When",
                "Worker",
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
