"""The PostgreSQL of a sitting, with its own defaults, and a fresh database for whoever asks."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import sql

from rush.store.embedded import Embedded

#: Where all that the benchmarks make is kept; `make clean` removes it.
FOLDER = Path(__file__).parents[1] / "build" / "bench"
#: Programs of a PostgreSQL on this machine; without them, or with --embedded, the wheel's.
FOUND = Path("/usr/lib/postgresql/15/bin")


class Server:
    """One running server, whose defaults nobody has touched."""

    def __init__(self, url: str, log: Path | None) -> None:
        self.url = url
        #: What the server writes; None where it is not ours.
        self.log = log
        self._numbers = itertools.count(1)

    @property
    def version(self) -> str:
        with self.connect() as connection:
            (version,) = connection.execute("SHOW server_version").fetchone()
        return f"PostgreSQL {version.partition(' ')[0]}"

    @property
    def durability(self) -> str:
        with self.connect() as connection:
            values = [
                f"{name} = {connection.execute(f'SHOW {name}').fetchone()[0]}"
                for name in ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
            ]
        return ", ".join(values)

    def connect(self, url: str | None = None) -> psycopg.Connection:
        return psycopg.connect(url or self.url, autocommit=True)

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database, which goes with the block. Nobody's dirty pages are left."""
        name = f"bench_{os.getpid()}_{next(self._numbers)}"
        self._execute("CREATE DATABASE {}", name)
        try:
            self._execute("CHECKPOINT")
            yield re.sub(r"/[^/?]*(\?|$)", rf"/{name}\1", self.url)
        finally:
            self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def _execute(self, statement: str, *names: str) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextlib.contextmanager
def running(
    url: str | None, *, embedded: bool = False, settings: dict[str, str] | None = None
) -> Iterator[Server]:
    """The server at the URL, else one that is made for this sitting and removed with the block."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if url:
        yield Server(url, None)
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    binaries = FOUND if FOUND.exists() and not embedded else None
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="server-") as folder:
        server = Embedded(Path(folder), binaries=binaries, settings=settings or {})
        try:
            yield Server(server.start(), server.home.resolve() / "log")
        finally:
            server.remove()
