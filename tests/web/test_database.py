"""What the pages ask of the database, and what they do when it does not answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from rush.web.app import Options
from tests.support.kernel import CHAIN, Kernel
from tests.support.waiting import wait_for
from tests.web.conftest import serving
from tests.web.test_live import events_of, told_of

OURS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'rush ui%'"


@pytest.fixture
def impatient(database: str) -> Iterator[httpx.Client]:
    """A dashboard with two connections, whose statements may take a fifth of a second."""
    options = Options(database_url=database, connections=2, statement_timeout=0.2)
    with serving(options) as address, httpx.Client(base_url=address, timeout=30) as program:
        yield program


def test_however_many_ask_it_takes_a_few_connections(
    impatient: httpx.Client, connection: psycopg.Connection[Any]
) -> None:
    """All are answered, by two connections and the one that listens."""
    with ThreadPoolExecutor(20) as crowd:
        answers = list(crowd.map(lambda _: impatient.get("/api/v1/pipelines"), range(60)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(connection.execute(OURS).fetchall()) <= 3


def test_what_takes_too_long_is_given_up(
    impatient: httpx.Client, connection: psycopg.Connection[Any]
) -> None:
    """The answer says so, and the next one is as if nothing had been."""
    with connection.transaction():
        connection.execute("LOCK TABLE rush.run")
        answer = impatient.get("/api/v1/runs")
        assert answer.status_code == 503
        assert "the database took too long" in answer.json()["detail"]
    assert impatient.get("/api/v1/runs").status_code == 200


def test_a_broken_connection_is_replaced(
    kernel: Kernel, site: httpx.Client, address: str, connection: psycopg.Connection[Any]
) -> None:
    """Pages go on, and open ones are told of what happens afterwards."""
    assert site.get("/runs").status_code == 200
    with httpx.stream("GET", f"{address}/api/v1/events", timeout=20) as stream:
        events = events_of(stream)
        assert next(events) == ("hello", {})
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({OURS}) ours")
        wait_for(lambda: site.get("/runs").status_code == 200, what="the pages to be back")
        # What has happened while nobody heard is told at once, without a bell.
        assert told_of("progress", events)
        kernel.define(CHAIN, "etl")
        assert told_of("pipelines", events)


def test_a_database_that_is_gone_is_said_so(server) -> None:
    """As a problem, and as not being ready; and all is well when it is back."""
    with server.database() as database, serving(Options(database_url=database)) as address:
        assert httpx.get(f"{address}/readyz").status_code == 200
        with psycopg.connect(server.url, autocommit=True) as other:
            name = database.rpartition("/")[2].encode()
            other.execute(b"ALTER DATABASE " + name + b" ALLOW_CONNECTIONS false")
            other.execute(f"SELECT pg_terminate_backend(pid) FROM ({OURS}) ours")
            began = time.monotonic()
            answer = httpx.get(f"{address}/api/v1/runs", timeout=20)
            assert answer.status_code == 503
            assert answer.json()["title"] == "The database does not answer"
            assert httpx.get(f"{address}/readyz", timeout=20).status_code == 503
            assert httpx.get(f"{address}/healthz").status_code == 200
            assert time.monotonic() - began < 20
            other.execute(b"ALTER DATABASE " + name + b" ALLOW_CONNECTIONS true")
        assert httpx.get(f"{address}/api/v1/runs").status_code == 200
