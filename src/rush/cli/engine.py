"""What the engine's commands have in common: the client, the master's verdict, who is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from rush.cli.context import Context
from rush.cli.output import Output
from rush.domain.deeds import this_user
from rush.domain.durations import format_duration

if TYPE_CHECKING:
    from rush.client import Client, Run
    from rush.store.bells import Outage

#: How long a command that needs no more waits for the master's answer, in seconds.
PATIENCE = 2.0

INTERRUPTED = 130

NO_WORKER = "no worker is alive: start one by `rush worker`"
NO_PIPELINE = "there is no pipeline: apply one by `rush pipelines apply FILE` (`rush init` makes a project with one)"

RunReference: TypeAlias = Annotated[
    str, Parameter(name="RUN", help="A run's id, or its name: etl/7.")
]

WhyFlag: TypeAlias = Annotated[
    str, Parameter(name="--why", metavar="TEXT", help="The reason, kept in the audit.")
]


def client_of(context: Context, *, create: bool = False) -> Client:
    """A client on the command's database; with `create` an embedded server is started if need be."""
    from rush.client import Client

    return Client(
        context.database(create=create),
        context.settings.schema,
        name="rush cli",
        doer=this_user("command"),
    )


def hear_verdict(client: Client, run: Run, out: Output) -> bool:
    """
    Wait a little for the master's answer, if there is a master. Returns whether there was
    one; says what is missing, else. Raises RefusedError with the reason when it is no.
    """
    standing = client.standing()
    if run.wait_for_verdict(PATIENCE if standing.master else 0):
        return True
    if standing.master:
        out.note(f"the master, {standing.master}, has not decided yet")
    else:
        out.note("it waits for a master: start a worker by `rush worker`")
    return False


def somebody_works(client: Client) -> bool:
    return any(worker.takes_jobs for worker in client.workers())


def of_outage(outage: Outage) -> str:
    """An outage in a line: since when, for how long, and what the last try came to."""
    lasted = format_duration(outage.seconds)
    return f"the database is out of reach since {outage.since:%H:%M:%S} UTC ({lasted}): {outage.reason}"


class OutageTeller:
    """Tells the beginning and the end of an outage, a line each."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._told = False

    def __call__(self, outage: Outage | None) -> None:
        if outage is None:
            self._out.note("the database is back")
        elif not self._told:
            self._out.note(of_outage(outage))
        self._told = outage is not None
