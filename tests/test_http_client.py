"""The client that speaks HTTP: what it asks for is asked for once, and errors are what they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from rush.domain.states import RequestState, RunState
from rush.errors import (
    ConfigurationError,
    DatabaseError,
    GaveUpWaiting,
    NotFoundError,
    RefusedError,
    RushError,
)
from rush.http_client import HttpClient
from rush.store import accounts
from rush.store.session import Session
from rush.web.app import Options
from rush.web.passwords import fingerprint
from tests.support.kernel import CHAIN, Kernel
from tests.web.conftest import serving


@pytest.fixture
def kernel(connection: psycopg.Connection[Any]) -> Kernel:
    return Kernel(connection)


@pytest.fixture
def client(database: str) -> Iterator[HttpClient]:
    with serving(Options(database_url=database)) as address:
        yield HttpClient(address)


def test_a_run_is_asked_for_and_read(kernel: Kernel, client: HttpClient) -> None:
    """From the request to the result, by HTTP alone."""
    kernel.define({"a": []}, "etl")
    run = client.submit("etl", params={"day": 1})
    assert (run.state, run.id) == (RequestState.Pending, None)
    kernel.take()
    assert (run.state, run.name) == (RunState.Running, "etl/1")
    worker = kernel.worker()
    kernel.complete(worker, *kernel.running(worker))
    assert run.wait(timeout=10).state is RunState.Complete
    assert [job["name"] for job in run.jobs()] == ["a"]
    assert [attempt["state"] for attempt in run.attempts()] == ["Complete"]
    assert run.result("a") is None
    assert [row["name"] for row in client.runs(pipeline="etl")] == ["etl/1"]


def test_the_same_key_is_the_same_run(kernel: Kernel, client: HttpClient) -> None:
    """And for something else it is refused."""
    kernel.define(CHAIN, "etl")
    first = client.submit("etl", idempotency_key="one")
    assert client.submit("etl", idempotency_key="one").request_id == first.request_id
    with pytest.raises(RefusedError, match="used for something else"):
        client.submit("etl", job="b", idempotency_key="one")


def test_what_was_rejected_says_why(kernel: Kernel, client: HttpClient) -> None:
    """The master's reason is the error's."""
    kernel.define(CHAIN, "etl")
    run = client.submit("etl", job="nothing")
    kernel.take()
    with pytest.raises(RefusedError, match="nothing"):
        run.wait(timeout=10)


def test_errors_are_those_of_the_other_client(kernel: Kernel, client: HttpClient) -> None:
    """Not found, what cannot be right, and the end of patience."""
    kernel.define(CHAIN, "etl")
    with pytest.raises(NotFoundError, match="did you mean"):
        client.submit("elt")
    with pytest.raises(NotFoundError):
        client.run(7)
    with pytest.raises(ConfigurationError):
        client.apply("etl", {"jobs": []})
    with pytest.raises(GaveUpWaiting, match="is still Pending"):
        client.submit("etl").wait(timeout=0.1)
    with pytest.raises(ConfigurationError):
        HttpClient("rush.example.org")


def test_a_dashboard_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again, and then said."""
    monkeypatch.setattr("rush.http_client.LONGEST_PAUSE", 0.01)
    with pytest.raises(DatabaseError, match="out of reach"):
        HttpClient("http://127.0.0.1:9").pipelines()


def test_pipelines_are_applied_and_paused(kernel: Kernel, client: HttpClient) -> None:
    """What the pages can do, it can do."""
    definition = {"jobs": [{"name": "a", "class_name": "jobs.any.Any"}]}
    assert client.apply("etl", definition) == (True, 1)
    client.pause("etl")
    assert [row["paused"] for row in client.pipelines()] == [True]
    client.resume("etl")
    assert [row["paused"] for row in client.pipelines()] == [False]


def test_a_token_is_what_its_account_may(database: str, connection: Any) -> None:
    """A viewer reads, and is told what it takes to do more."""
    session = Session(connection, "rush")
    accounts.put_account(session, "robot", role="viewer", password=None)
    accounts.add_token(session, "robot", "test", fingerprint("secret"), seconds=None)
    with serving(Options(database_url=database, sign_in=True)) as address:
        assert HttpClient(address, token="secret").pipelines() == []
        with pytest.raises(RushError, match="takes the role operator"):
            HttpClient(address, token="secret").submit("etl")
        with pytest.raises(RushError, match="sign-in"):
            HttpClient(address).pipelines()
