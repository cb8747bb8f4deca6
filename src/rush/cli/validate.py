"""`rush validate`: are these files definitions that would run?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from rush.cli.context import COMMON_OPTIONS, CommonOptions, JsonFlag
from rush.cli.definitions import DefinitionFileError, line_of, read_pipeline
from rush.cli.output import LOOKS, Output
from rush.errors import Problem

app = App(name="validate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found in one file: a pipeline with so many jobs, or problems."""

    file: Path
    pipeline: str | None = None
    jobs: int = 0
    problems: tuple[Problem, ...] = ()


@app.default
def validate(
    files: Annotated[list[Path], Parameter(name="FILE")],
    /,
    *,
    json: JsonFlag = False,
    options: CommonOptions = COMMON_OPTIONS,
) -> int:
    """Check files with definitions of pipelines.

    Every problem is printed as file:line:column, with its place in the definition.
    The exit code is 1 when there is any.

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
    return Verdict(file=file, pipeline=named.name, jobs=len(named.definition.jobs))


def tell(verdict: Verdict, out: Output) -> None:
    for problem in verdict.problems:
        out.say(line_of(verdict.file, problem))
    if not verdict.problems:
        jobs = "1 job" if verdict.jobs == 1 else f"{verdict.jobs:,} jobs"
        out.say(f"{out.shape(LOOKS['Complete'])} {verdict.file}: {verdict.pipeline}, {jobs}")
