"""
Numbered migrations: `migrations/NNNN_name.sql`, applied once each, in order.

Each is one transaction that first waits for its turn, under an advisory lock of the
schema's own; so several machines may migrate at once, and one of them does it. What
was applied stands in the table `migration` with the checksum of its file, and a file
that has changed since is refused: what has been released is mended by a further
migration, never edited.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg.rows import class_row, scalar_row

from rush.errors import DatabaseError, SchemaError
from rush.store.database import connect
from rush.store.queries import fill_schema, quoted

FOLDER = Path(__file__).parent / "migrations"
OLDEST_SERVER = 15

#: How long to wait for another process that migrates, and then for each table. A migration
#: that queued for ever behind a long transaction would hold up everybody who comes after it.
TURN_TIMEOUT = "120s"
LOCK_TIMEOUT = "10s"

_FILE_NAME = re.compile(r"(?P<number>\d{4})_(?P<name>[a-z0-9_]+)\.sql")

_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('rush migrations in ' || %s, 0))"
_GROUND = """\
CREATE TABLE IF NOT EXISTS rush.migration (
    number     int PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""
_NOTE = "INSERT INTO rush.migration (number, name, checksum) VALUES (%s, %s, %s)"
_NOTED = "SELECT number, name, checksum, applied_at FROM rush.migration ORDER BY number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file. `checksum` is its SHA-256, in hex; `text` still says `rush.` for the schema."""

    number: int
    name: str
    checksum: str
    text: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.number:04}_{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One row of `migration`."""

    number: int
    name: str
    checksum: str
    applied_at: datetime


def migrate(
    database: str | psycopg.Connection[Any], schema: str = "rush", *, folder: Path = FOLDER
) -> list[Migration]:
    """
    Apply what is not applied yet, and return it.

    A connection must not be in a transaction. Raises SchemaError when the database is newer
    or otherwise than the files, DatabaseError when a migration fails; then nothing of that
    one is kept, and those before it are.
    """
    known = load(folder)
    with _connection(database) as connection:
        _refuse_old_server(connection)
        _lay_ground(connection, schema)
        return [each for each in known if _apply(connection, schema, each, known)]


def status(
    connection: psycopg.Connection[Any], schema: str = "rush", *, folder: Path = FOLDER
) -> list[tuple[Migration, datetime | None]]:
    """Every migration with the time at which it was applied, or None."""
    applied = _applied(connection, schema)
    return [
        (each, applied[each.number].applied_at if each.number in applied else None)
        for each in load(folder)
    ]


def check(
    connection: psycopg.Connection[Any], schema: str = "rush", *, folder: Path = FOLDER
) -> None:
    """Raise SchemaError unless the database's schema is exactly what this Rush knows."""
    _refuse_old_server(connection)
    known, applied = load(folder), _applied(connection, schema)
    if not applied:
        raise SchemaError(
            f'there are no tables of Rush in schema "{schema}" of database '
            f'"{connection.info.dbname}": run `rush db migrate`'
        )
    _compare(known, applied)
    if missing := [each for each in known if each.number not in applied]:
        raise SchemaError(
            f"the database's schema is at {max(applied)}, this Rush needs {known[-1].number} "
            f"({', '.join(map(str, missing))} to apply): run `rush db migrate`"
        )


def sql(schema: str = "rush", *, folder: Path = FOLDER) -> str:
    """Everything from nothing, as one transaction for psql, for whoever may not let Rush do it."""
    parts = [
        "\\set ON_ERROR_STOP on",
        "BEGIN;",
        "SET LOCAL client_min_messages = warning;",
        _TURN.replace("%s", f"'{schema}'") + ";",
        f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)};",
        _GROUND,
    ]
    for each in load(folder):
        values = f"{each.number}, '{each.name}', '{each.checksum}'"
        parts += [
            f"-- {each}\n",
            each.text,
            _NOTE.replace("%s, %s, %s", values) + ";",
        ]
    return fill_schema("\n".join([*parts, "COMMIT;\n"]), schema)


def load(folder: Path = FOLDER) -> list[Migration]:
    """The migrations of a folder, in order."""
    return [_read(path, name) for path, name in _migration_files(folder)]


def _migration_files(folder: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    for path in sorted(folder.iterdir()):
        if name := _FILE_NAME.fullmatch(path.name):
            yield path, name


def _read(path: Path, name: re.Match[str]) -> Migration:
    text = path.read_text(encoding="utf-8")
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return Migration(number=int(name["number"]), name=name["name"], checksum=checksum, text=text)


@contextlib.contextmanager
def _connection(database: str | psycopg.Connection[Any]) -> Generator[psycopg.Connection[Any]]:
    if isinstance(database, psycopg.Connection):
        yield database
        return
    with connect(database, application_name="rush db migrate") as connection:
        yield connection


def _refuse_old_server(connection: psycopg.Connection[Any]) -> None:
    version = connection.info.server_version // 10_000
    if version < OLDEST_SERVER:
        raise SchemaError(
            f"this server is PostgreSQL {version}: Rush needs {OLDEST_SERVER} or later"
        )


def _lay_ground(connection: psycopg.Connection[Any], schema: str) -> None:
    with _turn(connection, schema, "the schema"):
        # Not CREATE SCHEMA IF NOT EXISTS: that asks for a right which is not needed where it exists.
        if _missing(connection, "SELECT to_regnamespace(%s)", quoted(schema)):
            connection.execute(f"CREATE SCHEMA {quoted(schema)}".encode())
        if _missing(connection, "SELECT to_regclass(%s)", _table(schema)):
            connection.execute(fill_schema(_GROUND, schema).encode())


def _apply(
    connection: psycopg.Connection[Any],
    schema: str,
    migration: Migration,
    known: Sequence[Migration],
) -> bool:
    with _turn(connection, schema, f"migration {migration}"):
        # Read anew in each turn: another process may have had one in between.
        applied = _applied(connection, schema)
        _compare(known, applied)
        if migration.number in applied:
            return False
        connection.execute(fill_schema(migration.text, schema).encode())
        connection.execute(
            fill_schema(_NOTE, schema).encode(),
            (migration.number, migration.name, migration.checksum),
        )
        return True


@contextlib.contextmanager
def _turn(connection: psycopg.Connection[Any], schema: str, what: str) -> Generator[None]:
    """A transaction that has the schema to itself, among those that migrate it."""
    try:
        with connection.transaction():
            # A snapshot taken before the lock would not show what its last holder did.
            connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            connection.execute("SET LOCAL statement_timeout = 0")
            connection.execute("SELECT set_config('lock_timeout', %s, true)", (TURN_TIMEOUT,))
            connection.execute(_TURN, (schema,))
            connection.execute("SELECT set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
            yield
    except psycopg.errors.LockNotAvailable as error:
        raise DatabaseError(
            f"{what} was not applied: another transaction holds what it needs for longer than "
            f"{LOCK_TIMEOUT}. Nothing has changed; run it again when that one has ended"
        ) from error
    except psycopg.Error as error:
        raise DatabaseError(
            f"{what} was not applied, and nothing of it was kept: {error}"
        ) from error


def _applied(connection: psycopg.Connection[Any], schema: str) -> Mapping[int, Applied]:
    """What the database says about itself, by number, in order. Empty where nothing was applied."""
    if _missing(connection, "SELECT to_regclass(%s)", _table(schema)):
        return {}
    with connection.cursor(row_factory=class_row(Applied)) as cursor:
        cursor.execute(fill_schema(_NOTED, schema).encode())
        return {row.number: row for row in cursor}


def _compare(known: Sequence[Migration], applied: Mapping[int, Applied]) -> None:
    newest = known[-1].number if known else 0
    if applied and max(applied) > newest:
        raise SchemaError(
            f"the database's schema is at {max(applied)}, this Rush knows {newest}: "
            "upgrade rush-pipelines on this machine"
        )
    for each in known:
        row = applied.get(each.number)
        if row is not None and (row.name, row.checksum) != (each.name, each.checksum):
            raise SchemaError(
                f"migration {each} is not the one that was applied to this database as "
                f"{row.number:04}_{row.name} on {row.applied_at:%Y-%m-%d}: what has been applied "
                "must not be edited; put the file back, and write a further migration"
            )


def _missing(connection: psycopg.Connection[Any], query: LiteralString, name: str) -> bool:
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query, (name,)).fetchone() is None


def _table(schema: str) -> str:
    return fill_schema("rush.migration", schema)
