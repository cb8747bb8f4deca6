"""`rush resume`: end a pause."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions
from rush.cli.engine import WhyFlag, client_of
from rush.cli.pause import one_or_all

app = App(name="resume", usage="rush resume [OPTIONS] [PIPELINE]")


@app.default
def resume(
    pipeline: Annotated[str | None, Parameter(name="PIPELINE")] = None,
    /,
    *,
    all: Annotated[bool, Parameter(negative=())] = False,
    why: WhyFlag = "",
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """End what `rush pause` began.

    A pipeline that was paused by its name is resumed by its name, whatever --all does.

    For example:
      rush resume etl
      rush resume --all

    Parameters
    ----------
    pipeline
        The pipeline's name.
    all
        End the pause of everything.
    """
    context = Context(options)
    what = one_or_all(pipeline, all=all)
    with client_of(context) as client:
        client.resume(what, why=why)
        still = [row.name for row in client.pipelines() if row.paused]
    context.out.say(f"{what or 'everything'} goes on")
    if what is None and still:
        context.out.note(f"paused by name, and still so: {', '.join(still)}")
