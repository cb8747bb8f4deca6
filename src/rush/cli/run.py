"""`rush run`: start a run, and watch it if asked to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions, JsonFlag, whole_number
from rush.cli.definitions import DefinitionFileError, holds, read_pipeline
from rush.cli.engine import INTERRUPTED, NO_WORKER, WhyFlag, client_of, hear_verdict, somebody_works
from rush.cli.output import LOOKS, Output
from rush.cli.pipelines import apply_file, as_json
from rush.cli.view import look_at
from rush.domain.durations import format_duration, parse_duration
from rush.domain.names import Guesses, check_name, quoted
from rush.domain.params import parse_assignment
from rush.domain.rows import RunView
from rush.domain.states import JobState, RunState
from rush.errors import ConfigurationError, DatabaseError, NotFoundError

if TYPE_CHECKING:
    from rush.client import Client, Run

app = App(name="run")

#: Where a project keeps its definitions, and how their files' names end.
FOLDER = "pipelines"
SUFFIXES = (".yaml", ".yml", ".json")


@app.default
def run(
    pipeline: Annotated[str, Parameter(name="PIPELINE")],
    /,
    *,
    param: Annotated[
        tuple[str, ...], Parameter(name=("--param", "-p"), metavar="KEY=VALUE", negative=())
    ] = (),
    job: Annotated[str | None, Parameter(metavar="JOB")] = None,
    instance: Annotated[int | None, Parameter(metavar="N", converter=whole_number)] = None,
    key: Annotated[str | None, Parameter(metavar="KEY")] = None,
    wait: Annotated[bool, Parameter(name=("--wait", "-w"), negative=())] = False,
    timeout: Annotated[str | None, Parameter(metavar="TIME")] = None,
    why: WhyFlag = "",
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> int:
    """Start a run of a pipeline.

    A pipeline that is not in the database yet, but has a file in the folder `pipelines`, is
    applied first. With --wait the run is shown until it has ended; the exit code is 1 when
    it has not ended well, and 5 when the time is over first.

    For example:
      rush run etl
      rush run etl -p day=2026-11-25 -p limit=500 --wait
      rush run etl --job load --wait --timeout 10m

    Parameters
    ----------
    pipeline
        The pipeline's name.
    param
        A parameter for all of its jobs, read as JSON where it is JSON; may be given several times.
    job
        Start from this job: those before it are skipped.
    instance
        The number that the run shall have (default: the next one). A run that has ended runs again.
    key
        An idempotency key: the same one again gives the same run.
    wait
        Show the run until it has ended.
    timeout
        Wait at most so long: 90s, 10m, 1h30m (default: until it has ended).
    """
    context = Context(options)
    out = context.out
    seconds = None if timeout is None else read_timeout(timeout)
    params = read_params(param)
    with client_of(context, create=True) as client:
        make_sure_of(check_name(pipeline, "pipeline"), client, context.project, out)
        if params:
            warn_of_params(params, client.pipeline(pipeline).definition, out)
        if job is not None:
            check_name(job, "job")
        asked = {"params": params, "job": job, "jobinstance": instance}
        detail = {name: value for name, value in asked.items() if value}
        with client.deed("run", pipeline, detail or None, why=why):
            begun = client.submit(
                pipeline, job=job, jobinstance=instance, params=params, idempotency_key=key
            )
        try:
            if not wait:
                return tell_request(client, begun, out, json=json)
            return follow(client, begun, out, timeout=seconds, json=json)
        except KeyboardInterrupt:
            tell_how_to_go_on(begun, out)
            return INTERRUPTED


def read_timeout(text: str) -> float:
    try:
        return parse_duration(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"flag --timeout: {error}") from None


def read_params(assignments: tuple[str, ...]) -> dict[str, Any] | None:
    """Raises ConfigurationError for what is no assignment, and for a key that is there twice."""
    params: dict[str, Any] = {}
    for key, value in map(parse_assignment, assignments):
        if key in params:
            raise ConfigurationError(f"the parameter {quoted(key)} is given twice")
        params[key] = value
    return params or None


def warn_of_params(params: Iterable[str], definition: dict[str, Any], out: Output) -> None:
    """Any parameter may be given. One that nearly has the name of a declared one is a slip, likely."""
    declared = declared_params(definition)
    guesses = Guesses(declared)
    for key in params:
        if key not in declared and (meant := guesses.ending(key)):
            out.warning(f"the definition has no parameter {quoted(key)}{meant}")


def declared_params(definition: dict[str, Any]) -> set[str]:
    """The parameters that a definition, right or wrong, names for the whole or for a job."""
    jobs = definition.get("jobs")
    owners = [definition, *(jobs if isinstance(jobs, list) else ())]
    given = [owner.get("params") for owner in owners if isinstance(owner, dict)]
    return {key for params in given if isinstance(params, dict) for key in params}


# The pipeline and its file --------------------------------------------------------------


def make_sure_of(name: str, client: Client, project: Path, out: Output) -> None:
    """
    A pipeline that is only in a file is applied; where table and file differ, that is said.

    Raises NotFoundError when there is neither.
    """
    path = file_of(name, project)
    try:
        row = client.pipeline(name)
    except NotFoundError as error:
        if path is None:
            raise NotFoundError(f"{error} (apply one by `rush pipelines apply FILE`)") from None
    else:
        if path is not None and differs(path, row.definition):
            out.note(
                f"{path.relative_to(project)} is not what the database has; version {row.version} "
                f"of the database runs. To apply the file: rush pipelines apply {path.relative_to(project)}"
            )
        return
    applied = apply_file(client, path, name=name)
    out.note(f"applied {path.relative_to(project)}: {applied.pipeline} version {applied.version}")


def file_of(name: str, project: Path) -> Path | None:
    paths = (project / FOLDER / f"{name}{suffix}" for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def differs(path: Path, definition: dict[str, Any]) -> bool:
    if holds(path, definition):
        return False
    try:
        return as_json(read_pipeline(path)) != definition
    except DefinitionFileError:
        return True


# Without --wait -------------------------------------------------------------------------


def tell_request(client: Client, run: Run, out: Output, *, json: bool) -> int:
    decided = hear_verdict(client, run, out)
    row = run.read()
    if json:
        out.json(
            {
                "request_id": run.request_id,
                "run_id": row and row.id,
                "run": row and row.name,
                "pipeline": run.pipeline,
                "jobinstance": row and row.jobinstance,
                "state": run.state,
            }
        )
    elif row is None:
        out.say(f"request {run.request_id} for {run.pipeline} is Pending")
        out.note(f"see why: rush explain {run.pipeline}")
    else:
        out.say(f"{row.name} (run {row.id})")
        out.note(f"see it: rush runs show {row.name} · its log: rush logs {row.name} -f")
    if decided and not somebody_works(client):
        out.note(NO_WORKER)
    return 0


# With --wait ----------------------------------------------------------------------------


def follow(client: Client, run: Run, out: Output, *, timeout: float | None, json: bool) -> int:
    """Show a run until it rests. Raises RefusedError and GaveUpWaiting as waiting does."""
    from rush.cli.watching import watch

    watch(client, run, out, timeout=timeout, silent=json)
    assert run.id is not None
    view = look_at(client, run.id)
    if json:
        out.json(asdict(view))
    return tell_end(view, out, json=json)


def tell_end(view: RunView, out: Output, *, json: bool) -> int:
    """How it ended, and what to do about it. The exit code."""
    row = view.run
    if row.state is RunState.Complete:
        if not json:
            shape = out.shape(LOOKS["Complete"])
            out.say(f"{shape} {row.name} is Complete after {format_duration(row.seconds)}")
        return 0
    if row.state is RunState.Cancelled:
        out.error(f"{row.name} was cancelled")
        return 1
    stuck = [job for job in view.jobs if job.state is JobState.Stuck]
    for job in stuck:
        out.error(f"{row.name} {job.name} is Stuck after attempt {job.attempt}: {job.error}")
    if stuck:
        out.help(f"see its log: rush logs {row.name} {stuck[0].name}")
        out.help(f"when it is mended, run it again: rush retry {row.name}")
    return 1


def tell_how_to_go_on(run: Run, out: Output) -> None:
    """After Ctrl-C."""
    try:
        row = run.read()
    except DatabaseError:
        out.note("the database is out of reach; what was asked for stays, and goes on by itself")
        return
    if row is None:
        out.note(f"request {run.request_id} stays: a run will begin when a master takes it")
    elif not row.state.terminal:
        out.note(
            f"{row.name} goes on. Follow it: rush logs {row.name} -f · see it: rush runs show "
            f"{row.name} · end it: rush cancel {row.name}"
        )
