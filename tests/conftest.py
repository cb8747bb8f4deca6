"""
A real PostgreSQL for every test that asks for one.

`--server=15`, or RUSH_TEST_SERVER=15, takes the PostgreSQL 15 of this machine in place
of the embedded one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from tests.support.server import GuestServer, Server, find_binaries

EMBEDDED = "embedded"
OTHER = "15"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server",
        default=os.environ.get("RUSH_TEST_SERVER") or EMBEDDED,
        help="the server to test on: `embedded` (default), a major version found on this machine,"
        " or the URL of one that runs",
    )


def pytest_configure(config: pytest.Config) -> None:
    name = config.getoption("--server")
    if name != EMBEDDED and "://" not in name and find_binaries(name) is None:
        raise pytest.UsageError(f"there is no PostgreSQL {name} on this machine")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """Servers by name, started when they are first asked for, gone at the end."""
    started: dict[str, Server] = {}
    with ExitStack() as stack:

        def server(name: str) -> Server:
            if name not in started:
                started[name] = GuestServer(name) if "://" in name else started_here(name)
                stack.callback(started[name].remove)
            return started[name]

        def started_here(name: str) -> Server:
            binaries = None if name == EMBEDDED else find_binaries(name)
            if name != EMBEDDED and binaries is None:
                pytest.skip(f"there is no PostgreSQL {name} on this machine")
            return Server(tmp_path_factory.mktemp(f"server-{name}"), binaries)

        yield server


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    """The server that the tests run on."""
    return servers(request.config.getoption("--server"))


@pytest.fixture(scope="session", params=[EMBEDDED, OTHER])
def either_server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    """Each server in turn, for what must hold on both."""
    return servers(request.param)


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """The name of a database of `server` that was migrated once."""
    return server.template


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    with server.database() as url:
        yield url


@pytest.fixture
def empty_database(server: Server) -> Iterator[str]:
    """The URL of a fresh database in which there is nothing at all."""
    with server.database(migrated=False) as url:
        yield url


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to `database`, in autocommit."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection
