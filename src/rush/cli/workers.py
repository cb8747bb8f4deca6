"""`rush workers`: who is there, and what they do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions, JsonFlag
from rush.cli.engine import client_of
from rush.cli.output import LOOKS, Cell, Column, ago
from rush.cli.view import listed
from rush.domain.durations import format_duration
from rush.domain.names import Guesses, quoted
from rush.domain.states import WorkerState
from rush.errors import NotFoundError
from rush.store import workers
from rush.store.overview import WorkerRow
from rush.store.session import Session, channel

app = App(name="workers")


@app.default
def list_workers(
    *,
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """List the workers, drain one, reload their code.

    The master among them is marked. A worker is alive while its lease lasts.

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
            "Queues",
            "Seen",
            Column("Lease", right=True),
            "Host",
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
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Let a worker take no more jobs. What it runs goes on.

    For example:
      rush workers drain worker1

    Parameters
    ----------
    name
        The worker's name.
    """
    context = Context(options)
    with client_of(context) as client:
        worker_id = client.write(workers.drain, name)
        if worker_id is None:
            _refuse_unless_draining(name, client.workers())
        else:
            client.write(Session.notify, channel(context.settings.schema, "worker", worker_id))
    context.out.say(f"{name} takes no more jobs; end it when it is idle")


@app.command
def reload(
    name: Annotated[str | None, Parameter(name="NAME")] = None,
    /,
    *,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Let workers load the project's code anew. What runs goes on with the code that it has.

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
        asked = client.write(workers.request_reload, name)
        bells = [channel(context.settings.schema, "worker", row.id) for row in asked]
        if bells:
            client.write(Session.notify, *bells)
        elif name is not None:
            raise _not_alive(name, client.workers())
    if asked:
        context.out.say(f"{listed([row.name for row in asked])} will load the code anew")
    else:
        context.out.note("no worker is alive: whoever starts loads the code as it is")


def _refuse_unless_draining(name: str, rows: list[WorkerRow]) -> None:
    if not any(row.name == name and row.state is WorkerState.Draining for row in rows):
        raise _not_alive(name, rows)


def _not_alive(name: str, rows: list[WorkerRow]) -> NotFoundError:
    alive = [row.name for row in rows if row.state is not WorkerState.Dead]
    return NotFoundError(f"no worker {quoted(name)} is alive{Guesses(alive).ending(name)}")


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
