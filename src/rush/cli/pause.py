"""`rush pause`: hand out nothing more."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions
from rush.cli.engine import WhyFlag, client_of
from rush.errors import ConfigurationError

app = App(name="pause", usage="rush pause [OPTIONS] [PIPELINE]")


@app.default
def pause(
    pipeline: Annotated[str | None, Parameter(name="PIPELINE")] = None,
    /,
    *,
    all: Annotated[bool, Parameter(negative=())] = False,
    why: WhyFlag = "",
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Hand out no more jobs of a pipeline, or none at all.

    What runs goes on; new runs are accepted, and wait. `rush resume` ends it.

    For example:
      rush pause etl
      rush pause --all

    Parameters
    ----------
    pipeline
        The pipeline's name.
    all
        Hand out nothing of any pipeline.
    """
    context = Context(options)
    what = one_or_all(pipeline, all=all)
    with client_of(context) as client:
        client.pause(what, why=why)
    context.out.say(f"{what or 'everything'} is paused; what runs goes on")
    context.out.note(f"to let it go on: rush resume {what or '--all'}")


def one_or_all(pipeline: str | None, *, all: bool) -> str | None:
    """The pipeline; None for all of them. Raises ConfigurationError when neither is said, or both."""
    if (pipeline is None) != all:
        raise ConfigurationError("name one pipeline, or say --all")
    return pipeline
