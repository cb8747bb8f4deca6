"""`rush ui` and `rush users`: who is served, and who may come."""

from __future__ import annotations

import asyncio
import io
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from rush.cli.ui import is_loopback, listen
from tests.cli.conftest import Rush

PASSWORD = "correct horse battery\n"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch):
    """Let something come in that nobody types at a terminal."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_it_is_not_served_to_others_without_accounts(rush: Rush, database: str) -> None:
    """On an address that others can reach, somebody must be able to sign in first."""
    ended = rush("ui", "--host", "0.0.0.0", "--database-url", database)
    assert ended.code == 2
    assert "rush users add NAME --role admin" in ended.err


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_an_address_is_this_machine_s_own_or_not(host: str, alone: bool) -> None:
    """What cannot be told is not taken for one's own."""
    assert is_loopback(host) is alone


def test_a_port_that_is_taken_is_said_so(rush: Rush, database: str) -> None:
    """A port that was asked for is not replaced by another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = rush("ui", "--port", port, "--database-url", database)
    assert ended.code == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in ended.err


@pytest.mark.parametrize("command", ["ui", "dev"])
@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_there_is_not(rush: Rush, database: str, command: str, port: str) -> None:
    """A slip of the finger is no failure of Rush."""
    ended = rush(command, f"--port={port}", "--database-url", database)
    assert ended.code == 2
    assert f"flag --port: must be from 0 to 65535, not {port}" in ended.err


def test_what_is_written_goes_at_once() -> None:
    """An answer's body does not wait until the browser has acknowledged its head."""

    async def delays() -> bool:
        loop = asyncio.get_running_loop()
        accepted: asyncio.Future[socket.socket] = loop.create_future()

        class Server(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted.set_result(transport.get_extra_info("socket"))

        listening = listen("127.0.0.1", None)
        async with await loop.create_server(Server, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            sending = await asyncio.wait_for(accepted, 10)
            no_delay = sending.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            writer.close()
        return not no_delay

    # In a thread of its own: a browser that another test has opened runs a loop in this one.
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, delays()).result() is False


def test_a_base_path_is_a_path(rush: Rush, database: str) -> None:
    """It stands in every address, so it can be nothing else."""
    ended = rush("ui", "--base-path", "/a b<", "--database-url", database)
    assert ended.code == 2
    assert "a base path is like /rush" in ended.err


def test_accounts_come_and_go(rush: Rush, database: str, typed) -> None:
    """An account has a role and a password or tokens; each is said in the list."""
    there = ("--database-url", database)
    typed(PASSWORD)
    assert rush("users", "add", "alice", "--role", "admin", *there).out == "alice is admin\n"
    assert rush("users", "add", "robot", "--no-password", *there).out == "robot is viewer\n"
    made = rush("users", "token", "robot", "nightly", "--expires", "90d", *there)
    assert made.out.startswith("rush_")
    listed = rush("users", *there).out
    assert [line.split() for line in listed.splitlines()[2:]] == [
        ["alice", "admin", "yes", "0"],
        ["robot", "viewer", "no", "1"],
    ]
    assert rush("users", "revoke", "robot", "weekly", *there).code == 3
    assert rush("users", "revoke", "robot", "nightly", *there).code == 0
    assert rush("users", "remove", "robot", *there).code == 0
    assert rush("users", "remove", "robot", *there).code == 3


def test_a_short_password_is_refused(rush: Rush, database: str, typed) -> None:
    """And no account is made of it."""
    typed("short\n")
    ended = rush("users", "add", "alice", "--database-url", database)
    assert ended.code == 2
    assert "at least 10 characters" in ended.err
    assert rush("users", "--json", "--database-url", database).out == "[]\n"
