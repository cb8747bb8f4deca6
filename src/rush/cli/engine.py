"""What the engine's commands have in common: the client, the master's verdict, who is there."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from cyclopts import Parameter

from rush.cli.context import Context
from rush.cli.output import Output
from rush.client import Client, Run
from rush.domain.names import Guesses, quoted
from rush.errors import NotFoundError
from rush.store import overview

#: How long a command that needs no more waits for the master's answer, in seconds.
PATIENCE = 2.0

INTERRUPTED = 130

RunReference: TypeAlias = Annotated[
    str, Parameter(name="RUN", help="A run's id, or its name: etl/7.")
]


def client_of(context: Context, *, create: bool = False) -> Client:
    """A client on the command's database; with `create` an embedded server is made if need be."""
    return Client(context.database(create=create), context.settings.schema, name="rush cli")


def no_pipeline(client: Client, name: str, more: str = "") -> NotFoundError:
    """The error that there is no pipeline of a name, with what was probably meant."""
    meant = Guesses(row.name for row in client.pipelines()).ending(name)
    return NotFoundError(f"there is no pipeline {quoted(name)}{meant}{more}")


def hear_verdict(client: Client, run: Run, out: Output) -> bool:
    """
    Wait a little for the master's answer, if there is a master. Returns whether there was
    one; says what is missing, else. Raises RefusedError with the reason when it is no.
    """
    standing = client.read(overview.standing)
    if run.wait_for_verdict(PATIENCE if standing.master else 0):
        return True
    if standing.master:
        out.note(f"the master, {standing.master}, has not decided yet")
    else:
        out.note("it waits for a master: start a worker by `rush worker`")
    return False
