"""`rush acknowledge`: somebody has looked at it."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions
from rush.cli.engine import WhyFlag, client_of

app = App(name="acknowledge", usage="rush acknowledge [OPTIONS] RUN...")


@app.default
def acknowledge(
    runs: Annotated[list[str], Parameter(name="RUN", help="A run's id, or its name: etl/7.")],
    /,
    *,
    why: WhyFlag = "",
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Say that somebody has looked at what is Stuck.

    The dashboard's home page and `rush runs --unresolved` list it no more. What gets Stuck after
    that is listed again. A later run that does the same resolves it by itself.

    For example:
      rush acknowledge etl/7
      rush acknowledge etl/7 etl/9 --why "the shop was closed"
    """
    context = Context(options)
    with client_of(context) as client:
        found = [client.run(run) for run in runs]
        for run in found:
            run.acknowledge(why=why)
            context.out.say(f"{run.name} needs attention no more")
