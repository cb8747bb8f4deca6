"""
What Rush is told, merged once, at the edge. The first that speaks is heard:

    flag  >  RUSH_* in the environment  >  rush.toml  >  [tool.rush] in pyproject.toml  >  default

A value that nobody hears is not looked at; an unknown name is an error wherever
it stands. `database_url` has one source more, just before its default: the
variable DATABASE_URL, which belongs to everybody, so that whatever says `rush`
in its name comes first. A variable that is set to nothing counts as not set.

The project folder is the nearest one, upwards from where the command starts,
that has a rush.toml or a pyproject.toml with [tool.rush]; else the start itself.

This module imports nothing but the standard library and the errors: a runner
pays for it.
"""

from __future__ import annotations

import json
import math
import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Generic, TypeVar

from rush.errors import ConfigurationError

T = TypeVar("T")

ENVIRONMENT_PREFIX = "RUSH_"
#: Variables with our prefix that are no settings.
OTHER_VARIABLES = re.compile(r"RUSH_DEBUG|RUSH_TEST_\w+")
#: What Kubernetes gives to every pod beside a service called `rush` or `rush-ui`.
SERVICE_LINKS = re.compile(r"RUSH_(\w+_)?(SERVICE_HOST|SERVICE_PORT|PORT)(_\w+)?")


# Kinds of values ----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """How a value is read. What is wrong with it is a ValueError that starts with "must be"."""

    #: From a value that has a type: TOML's, or a flag's.
    read: Callable[[object], T]
    #: From a text, as the environment has it, to what `read` takes.
    from_text: Callable[[str], object] = str


def _number_in(text: str) -> object:
    """The number that a text spells, else the text."""
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _names_in(text: str) -> object:
    return [name.strip() for name in text.split(",")]


def integer(low: int, high: int, unit: str = "") -> Kind[int]:
    expected = f"must be a whole number{unit} from {low} to {high}"

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _wrong(expected, value)
        return value

    return Kind(read=read, from_text=_number_in)


def quantity(low: float, high: float, *, units: Mapping[str, float], expected: str) -> Kind[float]:
    """A number, or a text of numbers with units: `90`, `"5m"`, `"1h30m"`, `"16 KiB"`."""
    unit = "|".join(sorted(map(re.escape, units), key=len, reverse=True))
    part = re.compile(rf"\s*(\d+(?:\.\d+)?)\s*({unit})\s*")

    def read(value: object) -> float:
        total = value
        if isinstance(value, str):
            total = _number_in(value)
            if isinstance(total, str) and re.fullmatch(rf"(?:{part.pattern})+", value):
                total = sum(float(number) * units[unit] for number, unit in part.findall(value))
        if isinstance(total, bool) or not isinstance(total, int | float):
            raise _wrong(expected, value)
        if not math.isfinite(total) or not low <= total <= high:
            raise _wrong(expected, value)
        return total

    return Kind(read=read, from_text=_number_in)


def duration(low: float, high: float) -> Kind[float]:
    """Seconds."""
    kind = quantity(
        low,
        high,
        units={"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400},
        expected=f"must be from {low:g} to {high:g} seconds, as a number or like 90s, 5m or 1h",
    )
    return Kind(read=lambda value: float(kind.read(value)), from_text=kind.from_text)


def size(low: int, high: int) -> Kind[int]:
    """Bytes."""
    kind = quantity(
        low,
        high,
        units={"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
        | {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30},
        expected=f"must be from {low} to {high} bytes, as a number or like 16 KiB or 1 MB",
    )
    return Kind(read=lambda value: int(kind.read(value)), from_text=kind.from_text)


def text(pattern: str, expected: str) -> Kind[str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
            raise _wrong(expected, value)
        return value

    return Kind(read=read)


def names(pattern: str, expected: str) -> Kind[tuple[str, ...]]:
    """A list of names; with commas between them in a text."""

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            raise _wrong(expected, value)
        for name in value:
            if not isinstance(name, str) or re.fullmatch(pattern, name) is None:
                raise _wrong(expected, name)
        return tuple(dict.fromkeys(value))

    return Kind(read=read, from_text=_names_in)


def secret_url(pattern: str, expected: str) -> Kind[str]:
    """An address that may hold a password: what is wrong is said without repeating it."""

    def read(value: object) -> str:
        if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
            raise ValueError(expected)
        return value

    return Kind(read=read)


def _read_folder(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise _wrong("must be the path of a folder", value)
    return Path(value)


def _read_level(value: object) -> str:
    levels = ("DEBUG", "INFO", "WARNING", "ERROR")
    if not isinstance(value, str) or value.upper() not in levels:
        raise _wrong("must be DEBUG, INFO, WARNING or ERROR", value)
    return value.upper()


def _read_command(value: object) -> tuple[str, ...]:
    expected = 'must be a command: a list like ["notify", "--now"], or one line'
    words = value
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"{expected} ({str(error).lower()})") from None
    if not isinstance(words, list) or not words:
        raise _wrong(expected, value)
    for word in words:
        if not isinstance(word, str) or "\0" in word:
            raise _wrong(expected, word)
    return tuple(words)


def _wrong(expected: str, value: object) -> ValueError:
    return ValueError(f"{expected}, not {_described(value)}")


def _described(value: object) -> str:
    match value:
        case str():
            return f"the text {json.dumps(value if len(value) <= 60 else value[:60] + '…')}"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"{value}"[:60]
        case list():
            return "a list" if value else "an empty list"
        case dict():
            return "a table"
        case _:
            return f"a {type(value).__name__}"


# The settings -------------------------------------------------------------------

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
MODULE = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
KIB = 1024
MIB = 1024 * KIB
DAY = 86400.0


def _setting(default: T, kind: Kind[Any], *, redact: Callable[[str], str] | None = None) -> T:
    """A field of Settings: read by `kind`, shown through `redact` when it is a secret."""
    return field(default=default, repr=redact is None, metadata={"kind": kind, "redact": redact})


def _without_password(url: str) -> str:
    url = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url)
    return re.sub(r"(password\s*=\s*)('(?:\\.|[^'\\])*'|[^\s&]*)", r"\1***", url)


def _without_path(url: str) -> str:
    """Webhooks carry their secret in the path."""
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]
    return f"{scheme}://{host}/***"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting. Durations are seconds, sizes are bytes. docs/settings.md tells them at length."""

    #: Where PostgreSQL is; None: the embedded server in the project's `.rush/`.
    database_url: str | None = _setting(
        None,
        secret_url(
            r"(?s)postgres(ql)?://.*|(?![\w+.-]+:).*\w+\s*=.*",
            "must be a PostgreSQL URL like postgresql://user@host/database",
        ),
        redact=_without_password,
    )
    #: The schema of Rush's tables.
    schema: str = _setting(
        "rush",
        text(
            r"[a-z_][a-z0-9_]{0,39}",
            "must be a schema's name: up to 40 of a-z, 0-9 and _, with no digit first",
        ),
    )
    #: How long anybody rests when no bell rings.
    poll_interval: float = _setting(5.0, duration(0.05, 3600))
    #: How long the master token lasts without being renewed.
    master_expiry: float = _setting(10.0, duration(1, 3600))
    #: How long a worker counts as alive after its last heartbeat.
    worker_lease: float = _setting(15.0, duration(1, 3600))
    #: Jobs at once on one worker; None: as many as the machine has cores.
    slots: int | None = _setting(None, integer(1, 1000))
    #: The queues that a worker takes jobs from.
    queues: tuple[str, ...] = _setting(
        ("default",),
        names(NAME, "must be a list of names made of letters, digits and . _ -"),
    )
    #: Where `<worker name>.log` is written; relative to the project folder.
    log_folder: Path = _setting(Path("logs"), Kind(read=_read_folder))  # noqa: RUF009 (immutable)
    log_level: str = _setting("INFO", Kind(read=_read_level))
    #: Prefixes of modules, in whole dotted parts, that job classes may come from;
    #: None: modules inside the project folder, and `rush.jobs.library`.
    allowed_modules: tuple[str, ...] | None = _setting(
        None, names(MODULE, "must be a list of modules like my_jobs or company.jobs")
    )
    #: Between SIGTERM and SIGKILL for a job that must end.
    kill_grace: float = _setting(5.0, duration(0, 3600))
    #: How long a worker that was asked to stop waits for what runs.
    stop_grace: float = _setting(30.0, duration(0, DAY))
    #: For how many days history, logs and requests are kept; None: for ever.
    retention_days: int | None = _setting(None, integer(1, 36_500, " of days"))
    #: What to start, without a shell, when a run becomes Stuck.
    alert_command: tuple[str, ...] | None = _setting(None, Kind(read=_read_command))
    #: What to POST to when a run becomes Stuck.
    alert_webhook: str | None = _setting(
        None,
        secret_url(r"https?://[^\s/]+(/\S*)?", "must be an http:// or https:// URL"),
        redact=_without_path,
    )
    #: Longer lines of a job's log are cut, with a note.
    max_log_line: int = _setting(16 * KIB, size(256, MIB))
    #: What one attempt may log altogether.
    max_log_bytes: int = _setting(16 * MIB, size(KIB, 1024 * MIB))
    #: A job whose result is larger, as JSON, fails.
    max_result_bytes: int = _setting(256 * KIB, size(KIB, 64 * MIB))
    #: A runner is replaced after so many jobs …
    runner_jobs: int = _setting(10_000, integer(1, 1_000_000_000))
    #: … or when it has grown to so many MiB of memory.
    runner_memory_mb: int = _setting(512, integer(32, 1_048_576, " of MiB"))
    #: A job is poison when so many workers died holding it.
    poison_limit: int = _setting(3, integer(1, 100))
    #: Where else the dashboard answers /metrics, /healthz and /readyz, to whoever asks; None: nowhere.
    metrics_port: int | None = _setting(None, integer(1, 65535))
    #: The address of that port.
    metrics_host: str = _setting("127.0.0.1", text(r"[A-Za-z0-9.:_-]+", "must be an address"))


SETTINGS = {each.name: each for each in fields(Settings)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSettings:
    """The settings of a project, and by name where each value came from."""

    project: Path
    settings: Settings
    origins: Mapping[str, str]

    @property
    def log_folder(self) -> Path:
        """The log folder, absolute."""
        return self.project / self.settings.log_folder

    def shown(self, name: str) -> Any:
        """A value as JSON can hold it, with its secrets hidden."""
        value = getattr(self.settings, name)
        redact = SETTINGS[name].metadata["redact"]
        match value:
            case Path():
                return str(value)
            case tuple():
                return list(value)
            case str() if redact:
                return redact(value)
            case _:
                return value


# Finding and merging ------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """One value as somebody gave it."""

    name: str
    value: object
    origin: str
    #: Where an error points to.
    place: str


def load_settings(
    start: Path, *, flags: Mapping[str, object], environ: Mapping[str, str]
) -> LoadedSettings:
    """
    The settings in force for a command that starts in the folder `start`.

    `flags` has what the command line said, by the setting's name; None is unsaid.
    Raises ConfigurationError with every problem, a line each.
    """
    project = find_project(start)
    problems: list[str] = []
    heard: dict[str, _Given] = {}
    for given in _everything_given(project, flags, environ, problems):
        heard.setdefault(given.name, given)
    values = {name: _read(given, problems) for name, given in heard.items()}
    if problems:
        raise ConfigurationError("\n".join(problems))
    origins = {name: heard[name].origin if name in heard else "default" for name in SETTINGS}
    return LoadedSettings(project=project, settings=Settings(**values), origins=origins)


def find_project(start: Path) -> Path:
    """The project folder for a command that starts in the folder `start`, absolute."""
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / "rush.toml").is_file() or _tool_table(folder / "pyproject.toml") is not None:
            return folder
    return start


def variable_of(name: str) -> str:
    """The environment's name of a setting."""
    return ENVIRONMENT_PREFIX + name.upper()


def flag_of(name: str) -> str:
    # It may be given several times, each time with one.
    if name == "queues":
        return "--queue"
    return "--" + name.replace("_", "-")


def _everything_given(
    project: Path,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    problems: list[str],
) -> Iterator[_Given]:
    """What was given, the strongest first."""
    yield from _from_flags(flags)
    yield from _from_environment(environ, problems)
    yield from _from_file(project / "rush.toml", None, problems)
    yield from _from_file(project / "pyproject.toml", "tool.rush", problems)
    if url := environ.get("DATABASE_URL"):
        origin = "environment DATABASE_URL"
        yield _Given(name="database_url", value=url, origin=origin, place=origin)


def _from_flags(flags: Mapping[str, object]) -> Iterator[_Given]:
    for name, value in flags.items():
        if value is not None:
            origin = f"flag {flag_of(name)}"
            yield _Given(name=name, value=_decoded(name, value), origin=origin, place=origin)


def _from_environment(environ: Mapping[str, str], problems: list[str]) -> Iterator[_Given]:
    variables = {variable_of(name): name for name in SETTINGS}
    for variable, value in sorted(environ.items()):
        if not value or not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        origin = f"environment {variable}"
        if name := variables.get(variable):
            yield _Given(name=name, value=_decoded(name, value), origin=origin, place=origin)
        elif not OTHER_VARIABLES.fullmatch(variable) and not SERVICE_LINKS.fullmatch(variable):
            problems.append(f"{origin}: unknown setting{_did_you_mean(variable, variables)}")


def _from_file(path: Path, table: str | None, problems: list[str]) -> Iterator[_Given]:
    """The values in a file's table, or at its top where `table` is None."""
    values = _toml(path) if table is None else _tool_table(path)
    if values is None:
        return
    source = _text_of(path) or ""
    for key, value in values.items():
        line = _line_of(source, key, table)
        place = path.name if line is None else f"{path.name}:{line}"
        if key in SETTINGS:
            origin = path.name if table is None else f"{path.name} [{table}]"
            yield _Given(name=key, value=value, origin=origin, place=f"{place}: {key}")
        else:
            problems.append(f"{place}: unknown setting `{key}`{_did_you_mean(key, SETTINGS)}")


def _tool_table(path: Path) -> dict[str, Any] | None:
    """[tool.rush] of a pyproject.toml, None where it has none."""
    if "rush" not in (_text_of(path) or ""):
        return None
    tools = (_toml(path) or {}).get("tool")
    table = tools.get("rush") if isinstance(tools, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigurationError(f"{path}: tool.rush must be a table, not {_described(table)}")
    return table


def _toml(path: Path) -> dict[str, Any] | None:
    source = _text_of(path)
    try:
        return None if source is None else tomllib.loads(source)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: this is not TOML: {error}") from None


def _text_of(path: Path) -> str | None:
    """The text of a file, None where there is none."""
    try:
        return path.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: this is not UTF-8: {error.reason}") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None


def _line_of(source: str, key: str, table: str | None) -> int | None:
    """The line, from 1, where a key of a table is set; None where that is not plain to see."""
    entry = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*[=.]""")
    section: str | None = None
    for number, line in enumerate(source.splitlines(), start=1):
        if header := re.match(r"\s*\[+\s*([\w.\"'-]+)\s*\]", line):
            section = str(header[1])
            if table is None and section.split(".")[0] == key:
                return number
        elif section == table and entry.match(line):
            return number
    return None


def _did_you_mean(word: str, candidates: Iterable[str]) -> str:
    close = get_close_matches(word, list(candidates), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _decoded(name: str, value: object) -> object:
    """A value of the command line or the environment, where everything may be a text."""
    if not isinstance(value, str):
        return value
    return SETTINGS[name].metadata["kind"].from_text(value)


def _read(given: _Given, problems: list[str]) -> Any:
    try:
        return SETTINGS[given.name].metadata["kind"].read(given.value)
    except ValueError as error:
        problems.append(f"{given.place}: {error}")
        return None
