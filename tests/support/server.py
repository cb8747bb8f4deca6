"""
A PostgreSQL for the tests: fresh databases, cloned from one that was migrated once.

Nobody keeps what is in it, so it does without fsync.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Generator
from functools import cached_property
from pathlib import Path

import psycopg
from psycopg import sql

from rush.store.embedded import Embedded
from rush.store.migrate import migrate

SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
}


class Server:
    """One running server."""

    def __init__(self, folder: Path, binaries: Path | None) -> None:
        self.embedded = Embedded(folder, binaries=binaries, settings=SETTINGS)
        self.url = self.embedded.start()
        self._numbers = itertools.count(1)
        self._prefix = "test"

    @cached_property
    def template(self) -> str:
        """The name of a database that has all migrations and nothing else."""
        name = f"{self._prefix}_template"
        migrate(self._create(name, template="template0"))
        return name

    @contextlib.contextmanager
    def database(self, *, migrated: bool = True) -> Generator[str]:
        """The URL of a database of one's own. With all who are connected, it goes at the end."""
        name = f"{self._prefix}_{next(self._numbers)}"
        try:
            yield self._create(name, template=self.template if migrated else "template0")
        finally:
            self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def remove(self) -> None:
        self.embedded.remove()

    def _create(self, name: str, *, template: str) -> str:
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        # It belongs to a database, and is not cloned with it.
        self._execute("ALTER DATABASE {} SET search_path = public, rush", name)
        return re.sub("/[^/]*$", f"/{name}", self.url)

    def _execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


class GuestServer(Server):
    """A server that somebody else runs, and on which others test at the same time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._numbers = itertools.count(1)
        self._prefix = f"guest_{os.getpid()}"

    def remove(self) -> None:
        self._execute("DROP DATABASE IF EXISTS {}", f"{self._prefix}_template")


def find_binaries(version: str) -> Path | None:
    """The programs of a PostgreSQL of that major version on this machine; None where there is none."""
    prefixes = [f"/usr/lib/postgresql/{version}", f"/usr/pgsql-{version}"]
    prefixes += [f"/opt/homebrew/opt/postgresql@{version}", f"/usr/local/opt/postgresql@{version}"]
    folders = [Path(prefix, "bin") for prefix in prefixes]
    return next((each for each in folders if os.access(each / "postgres", os.X_OK)), None)
