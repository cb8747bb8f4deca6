"""A dashboard over a real database, on a port of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest

from rush.web.app import Options
from rush.web.server import server as uvicorn_server
from tests.support.kernel import Kernel
from tests.support.waiting import wait_for


@contextmanager
def serving(options: Options, *others: socket.socket) -> Generator[str]:
    """The address of a dashboard that serves meanwhile, on other sockets as well."""
    listening = socket.create_server(("127.0.0.1", 0))
    running = uvicorn_server(options)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening, *others]})
    thread.start()
    try:
        wait_for(lambda: running.started, what="the dashboard to serve")
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(10)
        listening.close()
    assert not thread.is_alive()


@pytest.fixture
def kernel(connection: psycopg.Connection[Any]) -> Kernel:
    """A master and workers by their verbs, in the database that the dashboard shows."""
    return Kernel(connection)


@pytest.fixture
def address(database: str) -> Iterator[str]:
    """Where the dashboard of `database` is."""
    with serving(Options(database_url=database)) as address:
        yield address


@pytest.fixture
def site(address: str) -> Iterator[httpx.Client]:
    """A browser on it."""
    with httpx.Client(base_url=address, headers={"Accept": "text/html"}, timeout=20) as browser:
        yield browser


@pytest.fixture
def api(address: str) -> Iterator[httpx.Client]:
    """A program that calls its API."""
    with httpx.Client(base_url=f"{address}/api/v1", timeout=20) as program:
        yield program
