"""`rush workers`: who is there, and what they do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions, JsonFlag
from rush.cli.engine import WhyFlag, client_of
from rush.cli.output import LOOKS, Cell, Column, ago
from rush.domain.durations import format_duration
from rush.domain.phrases import listed
from rush.domain.rows import WorkerRow
from rush.domain.states import WorkerState

app = App(name="workers", usage="rush workers [COMMAND] [OPTIONS]")


@app.default
def list_workers(
    *,
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """List the workers, drain one, reload their code.

    The master is marked. A worker counts as alive while its lease lasts.

    For example:
      rush workers
      rush workers --json
    """
    context = Context(options)
    with client_of(context) as client:
        rows = client.workers()
    if json:
        context.out.json([asdict(row) for row in rows])
        return
    context.out.table(
        (
            "Name",
            "State",
            Column("Slots", right=True),
            Column("Queues", spare=2),
            Column("Seen", spare=1),
            Column("Lease", right=True, spare=4),
            Column("Host", spare=3),
            Column("Busy with", wraps=True),
        ),
        [_cells(row) for row in rows],
        empty="there is no worker: start one by `rush worker`",
    )


@app.command
def drain(
    name: Annotated[str, Parameter(name="NAME")],
    /,
    *,
    why: WhyFlag = "",
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Let a worker take no more jobs. What it runs goes on.

    Made for taking a machine out of service: drain, wait until it is idle, end it.

    For example:
      rush workers drain worker1

    Parameters
    ----------
    name
        The worker's name.
    """
    context = Context(options)
    with client_of(context) as client:
        client.drain(name, why=why)
        running = sum(row.running for row in client.workers() if row.name == name)
    still = (
        f"It still runs {running}: end it (Ctrl-C or SIGTERM) when `rush workers` shows that it is idle"
        if running
        else "It is idle: end it (Ctrl-C or SIGTERM)"
    )
    context.out.say(f"{name} takes no more jobs. {still}; started again it takes jobs again.")


@app.command(usage="rush workers reload [OPTIONS] [NAME]")
def reload(
    name: Annotated[str | None, Parameter(name="NAME")] = None,
    /,
    *,
    why: WhyFlag = "",
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Let workers load the project's code anew.

    What runs goes on with the code that it has; what begins after that has the new one.

    For example:
      rush workers reload
      rush workers reload worker1

    Parameters
    ----------
    name
        One worker's name (default: all workers).
    """
    context = Context(options)
    with client_of(context) as client:
        asked = client.reload(name, why=why)
    if asked:
        context.out.say(
            f"{listed(asked)} will load the project's code anew. What runs now ends with the code "
            "it has, what begins after that has the new one; `rush workers` shows who has not "
            "done it yet."
        )
    else:
        context.out.note("no worker is alive: one that starts loads the code as it is then")


def _cells(row: WorkerRow) -> list[Cell]:
    lease = (row.lease_expires_at - row.now).total_seconds()
    return [
        f"{row.name} (master)" if row.is_master else row.name,
        _state(row),
        f"{row.running}/{row.slots}",
        ", ".join(row.queues),
        ago(row.last_seen, row.now),
        None if lease < 0 else format_duration(lease),
        f"{row.host} {row.pid}",
        _busy_with(row),
    ]


def _state(row: WorkerRow) -> Cell:
    if row.state is WorkerState.Dead:
        return Text(row.state, LOOKS["Stuck"].colour)
    if row.expired:
        return Text("lease is over", LOOKS["Failed"].colour)
    return f"{row.state}, reloading" if row.reload else row.state


def _busy_with(row: WorkerRow) -> str:
    return listed(
        [
            job.name if job.seconds is None else f"{job.name} ({format_duration(job.seconds)})"
            for job in row.jobs
        ]
    )
