"""PgBouncer in front of a database, in transaction mode, where this machine has it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.support.postgres import free_port, give, identity, scratch
from tests.support.waiting import wait_for

CONFIGURATION = """
[databases]
{name} = host={host} port={port} dbname={name} user={user} password={password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 8
server_lifetime = {lifetime}
server_round_robin = {round_robin}
admin_users = admin
ignore_startup_parameters = extra_float_digits
"""


@dataclass(frozen=True, slots=True)
class Pooler:
    url: str
    log: Path


@contextmanager
def pgbouncer(
    url: str, *, mode: str = "transaction", lifetime: int = 3600, round_robin: bool = True
) -> Generator[Pooler]:
    """
    A pooler in front of a database. Round robin gives a client another session in each transaction,
    so that what rests on a session breaks at once.
    """
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/sbin")
    if program is None:
        pytest.skip("there is no PgBouncer on this machine")
    parts = urlsplit(url)
    with scratch() as folder:
        listen_port = free_port()
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            CONFIGURATION.format(
                name=parts.path[1:],
                host=parts.hostname,
                port=parts.port,
                user=parts.username,
                password=parts.password or "",
                listen_port=listen_port,
                mode=mode,
                lifetime=lifetime,
                round_robin=int(round_robin),
            )
        )
        configuration.chmod(0o600)
        give(configuration)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, configuration],
                cwd=folder,
                env={"PATH": os.defpath},
                stdout=log,
                stderr=log,
                **identity(),
            )
        pooled = f"postgresql://{parts.username}@127.0.0.1:{listen_port}{parts.path}"

        def answers() -> bool:
            try:
                psycopg.connect(pooled, connect_timeout=2).close()
            except psycopg.OperationalError:
                assert process.poll() is None, (folder / "log").read_text()
                return False
            return True

        try:
            wait_for(answers, what="the pooler to answer")
            yield Pooler(pooled, folder / "log")
        finally:
            process.kill()
            process.wait()
