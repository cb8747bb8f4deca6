"""
Definitions of pipelines: one model, read from JSON in the table or from a file.

Whatever is wrong with a definition is found at once, in the words of the person who
wrote it, each problem with its place: `jobs[1].timeout_minutes: must be more than 0, not -1`.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rush.domain import strictjson, strictyaml
from rush.domain.located import Builder, Fault, Mark, Path, problems_from
from rush.domain.names import Guesses, fault_of_name, quoted
from rush.domain.structure import faults_of_structure
from rush.domain.wording import say
from rush.errors import DefinitionError

MAX_JOBS = 20_000
MAX_MINUTES = 30 * 24 * 60
#: In characters of a file, or of the definition as JSON.
MAX_TEXT = 4 * 1024 * 1024

#: The parameters of the pipeline, once for each of its jobs, in characters.
MAX_PARAMS = 64 * 1024 * 1024

Syntax: TypeAlias = Literal["json", "yaml"]
JsonObject: TypeAlias = dict[str, Any]

_M = TypeVar("_M", bound=BaseModel)

_CLASS_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)


def _check_name(name: str) -> str:
    if fault := fault_of_name(name):
        raise ValueError(fault)
    return name


def _check_class_name(name: str) -> str:
    if not _CLASS_NAME.fullmatch(name):
        raise ValueError("must be a dotted path to a class, like jobs.load.Load")
    if "__" in name:
        raise ValueError("must not have two underscores in a row")
    return name


def _tuple_of(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _check_jobs(value: object) -> object:
    if isinstance(value, list | tuple) and not 1 <= len(value) <= MAX_JOBS:
        raise ValueError(f"must hold 1 to {MAX_JOBS} jobs, not {len(value) or 'none'}")
    return _tuple_of(value)


Name: TypeAlias = Annotated[str, AfterValidator(_check_name)]
ClassName: TypeAlias = Annotated[str, AfterValidator(_check_class_name)]
Priority: TypeAlias = Annotated[int, Field(ge=-1000, le=1000)]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class JobDefinition(_Model):
    """A job of a pipeline, as its definition has it."""

    name: Name
    #: A dotted path, found on the worker's import path.
    class_name: ClassName
    description: str = ""
    #: An attempt that has run for so long is killed.
    timeout_minutes: Annotated[float, Field(gt=0, le=MAX_MINUTES)] = 60
    #: From a failure to the next attempt.
    retry_gap_minutes: Annotated[float, Field(ge=0, le=MAX_MINUTES)] = 1
    #: Attempts after the first.
    retry_limit: Annotated[int, Field(ge=0, le=100)] = 0
    #: The names of what must be complete before; None: the job before this one in the list.
    depends_on: Annotated[tuple[str, ...], BeforeValidator(_tuple_of)] | None = None
    params: JsonObject = {}
    queue: Name = "default"
    #: The higher is handed out first; None: the pipeline's.
    priority: Priority | None = None
    #: Whether it may run in a process that has run other jobs.
    isolation: Literal["warm", "process"] = "warm"
    #: What its worker does with it while the database is out of reach.
    on_lost_contact: Literal["continue", "kill"] = "continue"


class Definition(_Model):
    """What a pipeline consists of."""

    description: str = ""
    priority: Priority = 0
    #: Parameters of every job, under those of its own.
    params: JsonObject = {}
    jobs: Annotated[tuple[JobDefinition, ...], BeforeValidator(_check_jobs)]

    def as_written(self) -> JsonObject:
        """The definition as JSON, without what its author left out."""
        return self.model_dump(mode="json", exclude_unset=True)


class NamedDefinition(NamedTuple):
    name: str
    definition: Definition


class _PipelineFile(Definition):
    name: Name = ""


def parse_definition(data: object) -> Definition:
    """From decoded JSON. Raises DefinitionError with every problem."""
    return _checked(Definition, data, (), {})


def read_definition(text: str, *, syntax: Syntax) -> Definition:
    """From the text of a file. Raises DefinitionError with every problem, and where it stands."""
    source = _scan(text, syntax)
    return _checked(Definition, source.value, source.faults, source.marks)


def read_pipeline_file(text: str, *, syntax: Syntax, default_name: str) -> NamedDefinition:
    """
    From the text of a file, which may hold the pipeline's `name` beside its definition.

    Raises DefinitionError with every problem, and where it stands.
    """
    source = _scan(text, syntax)
    faults = [*source.faults, *_faults_of_default(default_name, source.value)]
    file = _checked(_PipelineFile, source.value, faults, source.marks)
    written = {field: getattr(file, field) for field in file.model_fields_set - {"name"}}
    return NamedDefinition(file.name or default_name, Definition.model_validate(written))


def _scan(text: str, syntax: Syntax) -> Builder:
    scan = strictjson.scan if syntax == "json" else strictyaml.scan
    return scan(text.removeprefix("\ufeff"), MAX_TEXT)


def _faults_of_default(name: str, data: object) -> Iterator[Fault]:
    if isinstance(data, dict) and "name" not in data and (fault := fault_of_name(name)):
        yield Fault(("name",), f"is missing, and {quoted(name)} cannot take its place: it {fault}")


def _checked(
    model: type[_M], data: object, faults: Iterable[Fault], marks: Mapping[Path, Mark]
) -> _M:
    """The data as the model has it, unless there are faults, those found so far among them."""
    faults = [*faults, *strictjson.faults_in(data, MAX_TEXT)]
    checked = None
    try:
        checked = model.model_validate(data)
    except ValidationError as error:
        faults += _faults_of_model(error, model, {fault.path for fault in faults})
    if isinstance(data, dict) and isinstance(jobs := data.get("jobs"), list | tuple):
        faults += faults_of_structure(jobs)
    if checked is not None:
        faults += _faults_of_params(data)
    if checked is None or faults:
        raise DefinitionError(problems_from(faults, data, marks))
    return checked


def _faults_of_params(data: Any) -> Iterator[Fault]:
    """Every job gets the pipeline's parameters: what is said once is kept many times."""
    params, jobs = data.get("params", {}), len(data["jobs"])
    if strictjson.size_of(params) * jobs > MAX_PARAMS:
        yield Fault(
            ("params",),
            f"must not be larger than {MAX_PARAMS / 2**20:g} MiB for all {jobs} jobs together, "
            "since each of them gets these: keep large values in a table or a file",
        )


def _faults_of_model(
    error: ValidationError, model: type[BaseModel], known: Container[Path]
) -> Iterator[Fault]:
    """What is known to be wrong at a path is not said again in other words."""
    of_whole, of_job = Guesses(model.model_fields), Guesses(JobDefinition.model_fields)
    for each in error.errors(include_url=False):
        path = each["loc"]
        if path in known or each["type"] == "string_unicode":
            continue
        if path == ("name",) and model is Definition:
            yield Fault(path, "unknown key: a pipeline's name stands beside its definition")
        elif each["type"] == "extra_forbidden":
            key = str(path[-1])
            if len(path) == 1 and key in JobDefinition.model_fields:
                yield Fault(path, "unknown key: it is one of a job's, not of a pipeline's")
                continue
            guesses = of_whole if len(path) == 1 else of_job
            yield Fault(path, f"unknown key{guesses.ending(key)}")
        else:
            yield Fault(path, say(each))
