"""`rush pipelines`: what pipelines there are, and how they come into the database."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich.text import Text

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions, JsonFlag
from rush.cli.definitions import DefinitionFileError, line_of, read_pipeline
from rush.cli.engine import NO_PIPELINE, client_of
from rush.cli.output import GREY, LOOKS, Cell, Column, Output, ago
from rush.domain.durations import format_duration
from rush.domain.phrases import listed
from rush.domain.rows import PipelineRow, VersionRow
from rush.errors import ConfigurationError, DefinitionError
from rush.logs import escape_controls

if TYPE_CHECKING:
    from rush.client import Client
    from rush.domain.definition import Definition, NamedDefinition

app = App(name="pipelines", usage="rush pipelines [COMMAND] [OPTIONS]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of a file: a new version of a pipeline, or nothing new."""

    file: Path
    pipeline: str
    version: int
    changed: bool


@app.default
def list_pipelines(
    *,
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """List the pipelines, show one, apply definitions.

    Each with how its last runs ended, the newest first.

    For example:
      rush pipelines
      rush pipelines --json
    """
    context = Context(options)
    with client_of(context) as client:
        rows = client.pipelines()
    if json:
        context.out.json([asdict(row) for row in rows])
        return
    context.out.table(
        (
            "Name",
            Column("Version", right=True, spare=4),
            Column("Jobs", right=True, spare=3),
            Column("Last runs", spare=1),
            Column("Took", right=True, spare=5),
            Column("When", spare=2),
            Column("", wraps=True),
        ),
        [_cells(row, context.out) for row in rows],
        empty=NO_PIPELINE,
    )


@app.command
def show(
    name: Annotated[str, Parameter(name="NAME")],
    /,
    *,
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Show a pipeline's jobs and their order.

    With --json it is the definition in force, fit to be applied again.

    For example:
      rush pipelines show etl
      rush pipelines show etl --json > etl.json

    Parameters
    ----------
    name
        The pipeline's name.
    """
    from rush.domain.definition import parse_definition

    context = Context(options)
    with client_of(context) as client:
        row, (newest, *_) = client.pipeline(name), client.versions(name)
    if json:
        context.out.json({"name": name} | newest.definition)
        return
    rest = f", version {newest.version}, made {ago(newest.created_at, newest.now)}"
    context.out.say(Text.assemble((name, "bold"), rest + (", paused" if row.paused else "")))
    definition = parse_definition(newest.definition)
    if definition.description:
        context.out.say(definition.description)
    context.out.say()
    context.out.table(
        (
            "Job",
            Column("After", wraps=True),
            Column("Timeout", right=True, spare=1),
            Column("Retries", right=True, spare=2),
            Column("Queue", spare=3),
            Column("Class", wraps=True),
        ),
        _jobs_in_order(definition),
    )


@app.command(usage="rush pipelines apply [OPTIONS] FILE...")
def apply(
    files: Annotated[list[Path], Parameter(name="FILE")],
    /,
    *,
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> int:
    """Put the definitions in files into the database.

    A definition that has changed becomes a new version; runs that have begun keep theirs.
    When there is a problem in any of the files, none is applied, and the exit code is 2: what
    was to be done could not be. (`rush validate` ends with 1, since there it is the answer.)

    For example:
      rush pipelines apply pipelines/etl.yaml
      rush pipelines apply pipelines/*.yaml

    Parameters
    ----------
    files
        Files ending with .yaml, .yml or .json.
    """
    context = Context(options)
    read = _read_all(files, context.out)
    if read is None:
        return DefinitionError.exit_code
    with client_of(context, create=True) as client:
        applied = [_apply(client, file, named) for file, named in read]
    if json:
        context.out.json([asdict(each) for each in applied])
        return 0
    for each in applied:
        what = "is now" if each.changed else "is unchanged, still"
        context.out.say(f"{each.pipeline} {what} version {each.version}")
    return 0


@app.command
def versions(
    name: Annotated[str, Parameter(name="NAME")],
    /,
    *,
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """List the versions of a pipeline, the newest first.

    For example:
      rush pipelines versions etl
      rush pipelines versions etl --json

    Parameters
    ----------
    name
        The pipeline's name.
    """
    context = Context(options)
    with client_of(context) as client:
        found = client.versions(name)
    if json:
        context.out.json([asdict(each) for each in found])
        return
    context.out.table(
        (
            Column("Version", right=True),
            "Made",
            Column("Jobs", right=True, spare=1),
            Column("", wraps=True),
        ),
        [
            (
                each.version,
                ago(each.created_at, each.now),
                _count_of_jobs(each),
                _remark(each.compiled_at is not None, each.error),
            )
            for each in found
        ],
    )


def apply_file(client: Client, path: Path, *, name: str) -> Applied:
    """
    Apply the file of one pipeline. Raises DefinitionFileError with its problems, and
    ConfigurationError when it holds a pipeline of another name.
    """
    named = read_pipeline(path)
    if named.name != name:
        raise ConfigurationError(f"{path} holds the pipeline {named.name}, not {name}")
    return _apply(client, path, named)


def as_json(named: NamedDefinition) -> dict[str, Any]:
    """A definition as it was written, with nothing that it leaves out."""
    return named.definition.model_dump(mode="json", exclude_unset=True)


def _apply(client: Client, path: Path, named: NamedDefinition) -> Applied:
    changed, version = client.apply(named.name, as_json(named))
    return Applied(file=path, pipeline=named.name, version=version, changed=changed)


def _read_all(files: list[Path], out: Output) -> list[tuple[Path, NamedDefinition]] | None:
    """What is in the files; None, after all problems have been said, where there are any."""
    read: list[tuple[Path, NamedDefinition]] = []
    for file in files:
        try:
            read.append((file, read_pipeline(file)))
        except DefinitionFileError as error:
            for problem in error.problems:
                out.error(line_of(file, problem))
    return read if len(read) == len(files) else None


def _cells(row: PipelineRow, out: Output) -> list[Cell]:
    last = row.last_runs[0] if row.last_runs else None
    shapes = [(out.shape(LOOKS[run.state]), LOOKS[run.state].colour) for run in row.last_runs]
    return [
        row.name,
        row.version,
        row.jobs,
        Text(" ").join(Text(*shape) for shape in shapes) if shapes else None,
        format_duration(last.seconds) if last else None,
        f"{format_duration(last.age)} ago" if last else None,
        "paused" if row.paused else _remark(row.compiled, row.error),
    ]


def _remark(compiled: bool, error: str | None) -> Cell:
    if error:
        return Text.assemble(("cannot run: ", LOOKS["Stuck"].colour), escape_controls(error))
    return "" if compiled else Text("not yet seen by a master", GREY)


def _count_of_jobs(version: VersionRow) -> int | None:
    jobs = version.definition.get("jobs")
    return len(jobs) if isinstance(jobs, list) else None


def _jobs_in_order(definition: Definition) -> list[list[Cell]]:
    from rush.domain.graph import compile_graph

    graph = compile_graph(definition)
    names = [job.name for job in definition.jobs]
    rows: list[list[Cell]] = []
    for at in graph.order:
        job = definition.jobs[at]
        rows.append(
            [
                job.name,
                listed([names[before] for before in graph.jobs[at].predecessors]) or None,
                format_duration(job.timeout_minutes * 60),
                job.retry_limit,
                job.queue,
                job.class_name,
            ]
        )
    return rows
