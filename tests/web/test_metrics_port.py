"""The port for what keeps an eye on a dashboard."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from rush.store import accounts
from rush.store.session import Session
from rush.web.app import Options
from tests.web.conftest import serving


@pytest.fixture
def addresses(database: str) -> Iterator[tuple[str, str]]:
    """Of a dashboard with an account: where people come, and where it is watched."""
    with psycopg.connect(database, autocommit=True) as connection:
        accounts.put_account(Session(connection, "rush"), "alice", role="admin", password=None)
    with socket.create_server(("127.0.0.1", 0)) as watched:
        port = watched.getsockname()[1]
        options = Options(database_url=database, sign_in=True, metrics_port=port, base="/rush")
        with serving(options, watched) as address:
            yield address, f"http://127.0.0.1:{port}"


def test_it_is_open_to_whoever_watches(addresses: tuple[str, str]) -> None:
    """Measures take a token where people come, and none on their own port."""
    people, watchers = addresses
    assert httpx.get(f"{people}/rush/metrics").status_code == 401
    assert "rush_master_term" in httpx.get(f"{watchers}/metrics").text
    assert httpx.get(f"{watchers}/readyz").text == "ready\n"
    assert httpx.get(f"{watchers}/healthz").text == "alive\n"


def test_nothing_else_is_there(addresses: tuple[str, str]) -> None:
    """No page, no call, no action: whatever is asked for, and however."""
    _, watchers = addresses
    for path in ("/", "/runs", "/api/v1/runs", "/rush/api/v1/runs", "/sign-in", "/static/icon.svg"):
        assert httpx.get(watchers + path).status_code == 404
    assert httpx.post(f"{watchers}/api/v1/pause", json={}).status_code == 404
    assert httpx.post(f"{watchers}/metrics", json={}).status_code == 405


def test_it_answers_to_this_machine_s_names(addresses: tuple[str, str]) -> None:
    """A name that somebody else has made lead here gets nothing."""
    answer = httpx.get(f"{addresses[1]}/metrics", headers={"Host": "rebound.example.org"})
    assert answer.status_code == 421
