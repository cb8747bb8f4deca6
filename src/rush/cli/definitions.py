"""Files with definitions of pipelines, and the problems in them as lines that editors understand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any, Literal

from rush.errors import ConfigurationError, DefinitionError, NotFoundError, Problem

if TYPE_CHECKING:
    from rush.domain import located
    from rush.domain.definition import NamedDefinition


#: More is read of no file: at four bytes a character it is larger than a definition may be.
MAX_BYTES = 16 * 1024 * 1024 + 1


class DefinitionFileError(DefinitionError):
    """A file whose definition cannot be run."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.path = path


def read_pipeline(path: Path) -> NamedDefinition:
    """
    The pipeline in a file; its name is the file's where the file does not say.

    Raises DefinitionFileError with every problem, NotFoundError, or ConfigurationError
    for a file that is no text.
    """
    from rush.domain.definition import read_pipeline_file

    try:
        text = text_of(path)
        return read_pipeline_file(text, syntax=_syntax_of(path), default_name=path.stem)
    except DefinitionError as error:
        raise DefinitionFileError(path, error.problems) from None
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}:{line}: this is not UTF-8: {error.reason}") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None


def text_of(path: Path) -> str:
    """The text of a file; of one that is too large, no more than it takes to say so."""
    mode = path.stat().st_mode
    if not (S_ISREG(mode) or S_ISDIR(mode)):
        # Opening a pipe may wait for ever, and a device has no end.
        raise ConfigurationError(f"{path}: cannot be read: it is not a plain file")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES)
    # What is cut may end within a character.
    return data.decode() if len(data) < MAX_BYTES else data.decode(errors="ignore")


def holds(path: Path, definition: dict[str, Any]) -> bool:
    """
    Whether a file has, word for word, a definition that was checked before. Costs a tenth of
    what checking the file does.
    """
    try:
        source = _scanned(path)
    except (DefinitionError, OSError, UnicodeDecodeError):
        return False
    value = source.value
    if not isinstance(value, dict) or source.faults:
        return False
    return {key: value[key] for key in value if key != "name"} == definition


def problems_at(path: Path, messages: Mapping[located.Path, str]) -> tuple[Problem, ...]:
    """What is to be said of parts of a file that was read before, with the places where they stand."""
    from rush.domain.located import Fault, problems_from

    source = _scanned(path)
    faults = [Fault(part, message) for part, message in messages.items()]
    return tuple(problems_from(faults, source.value, source.marks))


def lines_of(error: DefinitionError) -> list[str]:
    """Each problem as `file:line:column: place: message`, without what is not known."""
    path = error.path if isinstance(error, DefinitionFileError) else None
    return [line_of(path, problem) for problem in error.problems]


def line_of(path: Path | None, problem: Problem, *, kind: str = "") -> str:
    where = [str(part) for part in (path, problem.line, problem.column) if part is not None]
    return ": ".join(filter(None, (":".join(where), kind, str(problem))))


def _scanned(path: Path) -> located.Builder:
    from rush.domain import strictjson, strictyaml

    scan = strictjson.scan if _syntax_of(path) == "json" else strictyaml.scan
    text = text_of(path)
    return scan(text.removeprefix("\ufeff"), len(text))


def _syntax_of(path: Path) -> Literal["json", "yaml"]:
    match path.suffix.lower():
        case ".json":
            return "json"
        case ".yaml" | ".yml":
            return "yaml"
        case _:
            raise ConfigurationError(f"{path}: the name must end with .yaml, .yml or .json")
