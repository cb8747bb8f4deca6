"""`rush validate`: are these files definitions that would run?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from rush.cli.classes import classes_for
from rush.cli.context import COMMON_OPTIONS, CommonOptions, JsonFlag
from rush.cli.definitions import DefinitionFileError, line_of, problems_at, read_pipeline
from rush.cli.output import LOOKS, Output
from rush.errors import Problem

if TYPE_CHECKING:
    from rush.domain.definition import JobDefinition

app = App(name="validate", usage="rush validate [OPTIONS] FILE...")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found in one file: a pipeline with so many jobs and perhaps warnings, or problems."""

    file: Path
    pipeline: str | None = None
    jobs: int = 0
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


@app.default
def validate(
    files: Annotated[list[Path], Parameter(name="FILE")],
    /,
    *,
    json: JsonFlag = False,
    options: CommonOptions = COMMON_OPTIONS,
) -> int:
    """Check files with definitions of pipelines.

    Every problem is printed as file:line:column, with its place in the definition. The exit
    code is 1 when there is any: the check has failed. (`rush pipelines apply` ends with 2 for
    the same file: there it is a mistake in what it was given.) It is 2 for what is no text with
    a name that ends as below, and 3 for a file that is not there.

    A class that is not found among the project's files is a warning, and changes no exit code.
    They are read and not imported, so of what they make up as they run nothing is said.

    For example:
      rush validate pipelines/*.yaml
      rush validate --json pipelines/etl.yaml

    Parameters
    ----------
    files
        Files ending with .yaml, .yml or .json.
    """
    out = options.output()
    verdicts = [judge(file) for file in files]
    if json:
        out.json([asdict(verdict) for verdict in verdicts])
    else:
        for verdict in verdicts:
            tell(verdict, out)
    return 1 if any(verdict.problems for verdict in verdicts) else 0


def judge(file: Path) -> Verdict:
    try:
        named = read_pipeline(file)
    except DefinitionFileError as error:
        return Verdict(file=file, problems=error.problems)
    jobs = named.definition.jobs
    return Verdict(
        file=file, pipeline=named.name, jobs=len(jobs), warnings=doubts_about(file, jobs)
    )


def doubts_about(file: Path, jobs: Sequence[JobDefinition]) -> tuple[Problem, ...]:
    """The classes that are probably not there."""
    classes = classes_for(file)
    doubts = {
        ("jobs", at, "class_name"): doubt
        for at, job in enumerate(jobs)
        if classes and (doubt := classes.doubt(job.class_name))
    }
    return problems_at(file, doubts) if doubts else ()


def tell(verdict: Verdict, out: Output) -> None:
    for problem in verdict.problems:
        out.say(line_of(verdict.file, problem))
    for warning in verdict.warnings:
        out.say(line_of(verdict.file, warning, kind="warning"))
    if not verdict.problems:
        jobs = "1 job" if verdict.jobs == 1 else f"{verdict.jobs:,} jobs"
        out.say(f"{out.shape(LOOKS['Complete'])} {verdict.file}: {verdict.pipeline}, {jobs}")
