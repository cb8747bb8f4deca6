"""
What a command works with: the project's settings, its database, and its output.

The database is the one that the settings name, else the embedded server of the
project. The embedded one is ours: its schema is brought up to date, and commands that
need it to do their work start it. Those that look at what is there, or step in, do not:
who has stopped it is told so. Any other database belongs to somebody, and is changed
only by `rush db migrate`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Group, Parameter, Token

from rush.cli.output import ColorChoice, Output
from rush.config import LoadedSettings, load_settings
from rush.errors import ConfigurationError, DatabaseError

if TYPE_CHECKING:
    from rush.store.embedded import Embedded

EMBEDDED_FOLDER = ".rush"

EVERYWHERE = Group("Common options", sort_key=100)


@Parameter(name="*", group=EVERYWHERE)
@dataclass(frozen=True, slots=True, kw_only=True)
class CommonOptions:
    """The flags that every command has."""

    color: ColorChoice = "auto"
    """When to use colours."""

    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative=())] = False
    """Print the answer and errors, nothing else."""

    verbose: Annotated[bool, Parameter(name=("--verbose", "-v"), negative=())] = False
    """Say more: which project and which database, for example."""

    debug: Annotated[bool, Parameter(negative=())] = False
    """Print the traceback when Rush itself fails (also RUSH_DEBUG=1)."""

    def output(self) -> Output:
        return Output(color=self.color, quiet=self.quiet, verbose=self.verbose)


@Parameter(name="*", group=EVERYWHERE)
@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions(CommonOptions):
    """The flags of a command that works in a project, with its settings and its database."""

    project: Path | None = None
    """Work in this folder instead of the current one."""

    database_url: Annotated[str | None, Parameter(metavar="URL")] = None
    """Where PostgreSQL is (also RUSH_DATABASE_URL)."""

    schema: Annotated[str | None, Parameter(metavar="NAME")] = None
    """The schema of Rush's tables (also RUSH_SCHEMA)."""


#: The defaults of parameters; a command's signature says `options: DatabaseOptions = DATABASE_OPTIONS`.
COMMON_OPTIONS = CommonOptions()
DATABASE_OPTIONS = DatabaseOptions()

JsonFlag: TypeAlias = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]


def whole_number(_: object, tokens: Sequence[Token]) -> int:
    """The number in what was typed. cyclopts would round 1.5, and take 0x10 and 1_000."""
    from rush.domain.names import quoted

    typed = tokens[0].value
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", typed):
        raise ValueError(f"must be a whole number, not {quoted(typed)}")
    return int(typed)


class Context:
    """
    A command's surroundings. `flags` are settings that the command itself has flags for.

    Raises ConfigurationError for settings that cannot be right.
    """

    def __init__(self, options: DatabaseOptions, **flags: object) -> None:
        self.out = options.output()
        flags |= {"database_url": options.database_url, "schema": options.schema}
        self.loaded: LoadedSettings = load_settings(
            start_folder(options), flags=flags, environ=os.environ
        )
        self.settings = self.loaded.settings
        self.out.detail(f"project {self.project}")

    @property
    def project(self) -> Path:
        return self.loaded.project

    @property
    def is_embedded(self) -> bool:
        """Whether the database is the project's own embedded server."""
        return self.settings.database_url is None

    @cached_property
    def embedded(self) -> Embedded:
        """The embedded server of the project, running or not."""
        from rush.store.embedded import Embedded

        return Embedded(self.project / EMBEDDED_FOLDER)

    def database(self, *, create: bool = False) -> str:
        """
        The URL of a database that is ready: it answers, and its schema fits.

        With `create` an embedded server is started, and made where the project has none yet;
        without, no server is a ConfigurationError, and one that is stopped a DatabaseError.
        Raises DatabaseError where nothing answers, and SchemaError where a database that is
        not ours needs `rush db migrate`.
        """
        from rush.store.database import connect
        from rush.store.migrate import check, migrate

        url = self.server(create=create)
        if self.is_embedded:
            migrate(url, self.settings.schema)
        else:
            with connect(url, application_name="rush") as connection:
                check(connection, self.settings.schema)
        return url

    def server(self, *, create: bool = False) -> str:
        """The URL of a database, whatever its schema. Raises as `database` does."""
        from rush.store.database import redacted

        url = self.settings.database_url
        if url is None:
            url = self._embedded_url(create=create)
        self.out.detail(f"database {redacted(url)} ({self.loaded.origins['database_url']})")
        return url

    def _embedded_url(self, *, create: bool) -> str:
        was_running = self.embedded.running()
        if not create and not self.embedded.home.exists():
            raise ConfigurationError(
                f"there is no database for {self.project}: set RUSH_DATABASE_URL, "
                "or start an embedded server by `rush db start`"
            )
        if not create and not was_running:
            raise DatabaseError(
                f"the embedded PostgreSQL of {self.project} is stopped: start it by `rush db start`"
            )
        # Also when it runs: it may be at its start, and this waits until it answers.
        url = self.embedded.start()
        if not was_running:
            self.out.note(
                "started the embedded PostgreSQL in .rush (it stays up until `rush db stop`)"
            )
        return url


def start_folder(options: DatabaseOptions) -> Path:
    """Where the search for the project begins."""
    folder = options.project or Path.cwd()
    if not folder.is_dir():
        raise ConfigurationError(f"flag --project: there is no folder {folder}")
    return folder
