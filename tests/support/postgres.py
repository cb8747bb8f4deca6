"""
A PostgreSQL whose surroundings a test can spoil: a standby of another, one on a small disk, one
whose clock is wrong.

It runs as an ordinary user where we are root, in a folder that this user can reach, and trusts
whoever comes from this machine.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rush.store.migrate import migrate
from tests.support.server import find_binaries
from tests.support.waiting import wait_for

VERSION = "15"

SETTINGS = {"fsync": "off", "shared_buffers": "16MB", "max_connections": "60"}


class Postgres:
    """One server, of the PostgreSQL that this machine has."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        found = find_binaries(VERSION)
        if found is None:
            pytest.skip(f"there is no PostgreSQL {VERSION} on this machine")
        self.binaries = found
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.settings = SETTINGS | {k: str(v) for k, v in (settings or {}).items()}
        self.environment = dict(environment or {})
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.at("rush")

    def at(self, database: str) -> str:
        return f"postgresql://rush@127.0.0.1:{self.port}/{database}"

    def make(self) -> None:
        self.run(
            *("initdb", "-D", str(self.data), "-U", "rush", "-A", "trust", "--no-sync"),
            *("-E", "UTF8", "--locale=C"),
        )

    def copy(self, primary: Postgres) -> None:
        """Begin as a standby of another."""
        self.run(
            *("pg_basebackup", "-D", str(self.data), "-R", "-c", "fast"),
            *("-d", primary.at("postgres")),
        )

    def start(self) -> None:
        given = self.settings | {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
        }
        options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.data, *options],
                cwd=self.folder,
                env=self._environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
                **identity(),
            )
        wait_for(
            lambda: self.answers() or self.process is None or self.process.poll() is not None,
            what="the server to answer",
            timeout=30,
        )
        assert self.answers(), (self.folder / "log").read_text()[-2000:]

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast. SIGQUIT: immediate, as in a crash."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)
        self.process = None

    def answers(self) -> bool:
        try:
            psycopg.connect(self.at("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def sql(self, statement: str, *values: Any, database: str = "rush") -> list[Any]:
        with psycopg.connect(self.at(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def set(self, name: str, value: str) -> None:
        """ALTER SYSTEM, and let the server read it."""
        self.sql(f"ALTER SYSTEM SET {name} = '{value}'", database="postgres")
        self.sql("SELECT pg_reload_conf()", database="postgres")

    def make_database(self) -> str:
        """Rush's database, migrated. Returns its URL."""
        self.sql("CREATE DATABASE rush", database="postgres")
        self.sql("ALTER DATABASE rush SET search_path = public, rush", database="postgres")
        migrate(self.url)
        return self.url

    def run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.binaries / program, *arguments],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            **identity(),
        )
        assert done.returncode == 0, done.stderr

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"} | self.environment


@contextmanager
def scratch() -> Generator[Path]:
    """A folder that the server's user can reach and write to."""
    folder = Path(tempfile.mkdtemp(prefix="rush-fault-", dir="/var/tmp"))
    try:
        give(folder)
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def postgres(
    settings: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Generator[Postgres]:
    """A running server with Rush's database in it."""
    with scratch() as own:
        server = Postgres(folder or own, settings, environment)
        server.make()
        try:
            server.start()
            server.make_database()
            yield server
        finally:
            server.stop(signal.SIGQUIT)


@contextmanager
def standby(primary: Postgres) -> Generator[Postgres]:
    """A server that follows another."""
    with scratch() as folder:
        server = Postgres(folder, primary.settings)
        server.copy(primary)
        try:
            server.start()
            yield server
        finally:
            server.stop(signal.SIGQUIT)


def identity() -> dict[str, Any]:
    """Whom a server runs as: itself, or an ordinary user where we are root."""
    account = account_of_servers()
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def give(path: Path) -> None:
    account = account_of_servers()
    if account is not None:
        os.chown(path, account.pw_uid, account.pw_gid)


def account_of_servers() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip("PostgreSQL does not run as root, and there is no other user")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
