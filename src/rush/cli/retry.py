"""`rush retry`: run again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions
from rush.cli.engine import RunReference, WhyFlag, client_of, hear_verdict
from rush.cli.run import read_params
from rush.domain.phrases import listed
from rush.domain.reasons import kept_version
from rush.domain.states import RunState
from rush.errors import ConfigurationError, RefusedError
from rush.store import overview

if TYPE_CHECKING:
    from rush.client import Run

app = App(name="retry", usage="rush retry [OPTIONS] RUN [JOB]")


@app.default
def retry(
    run: RunReference,
    job: Annotated[str | None, Parameter(name="JOB")] = None,
    /,
    *,
    from_beginning: Annotated[bool, Parameter(negative=())] = False,
    param: Annotated[
        tuple[str, ...], Parameter(name=("--param", "-p"), metavar="KEY=VALUE", negative=())
    ] = (),
    why: WhyFlag = "",
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Run again what is Stuck, or from a job on.

    That job and all that depend on it run again, with the code and the job parameters of
    now, and with all of their retries. Without JOB, every job that is Stuck does so. The run keeps
    the version of the pipeline that it began with: where you have mended the definition, start a
    new run by `rush run`; with the same parameters it resolves this one when it is Complete.

    For example:
      rush retry etl/7
      rush retry etl/7 load
      rush retry etl/7 --from-beginning
      rush retry etl/7 load -p limit=500

    Parameters
    ----------
    job
        The job to start from.
    from_beginning
        Run the whole of it again.
    param
        A parameter in place of the one that the run had; may be given several times.
    """
    if job is not None and from_beginning:
        raise ConfigurationError("either a job to start from, or --from-beginning")
    context = Context(options)
    params = read_params(param)
    with client_of(context) as client:
        found = client.run(run)
        asked = {"job": job, "from_beginning": from_beginning, "params": params}
        detail = {name: value for name, value in asked.items() if value}
        with client.deed("retry", found.name, detail or None, why=why):
            try:
                starts = found.retry(job, from_beginning=from_beginning, params=params)
            except RefusedError:
                raise RefusedError(what_else(found)) from None
            decided = hear_verdict(client, found, context.out)
        row = found.read()
        newest = client.read(overview.newest_version, found.pipeline)
        where = f"from {listed(starts)}" if starts else "from the beginning"
        if decided:
            context.out.say(f"{found.name} runs again {where}")
            context.out.note(f"see it: rush runs show {found.name}")
        else:
            context.out.say(f"asked for {found.name} to run again {where}")
        if row is not None and newest not in (None, row.version):
            context.out.note(kept_version(row, newest))


def what_else(run: Run) -> str:
    """Why it does not run again from what is Stuck, and how it can run again."""
    name, state = run.name, run.state
    if state is RunState.Running:
        return (
            f"{name} is Running, and nothing of it is Stuck; why a job waits: rush explain {name}"
        )
    return (
        f"{name} is {state}, and nothing of it is Stuck. To run the whole of it again: "
        f"rush retry {name} --from-beginning; from a job on: rush retry {name} JOB"
    )
