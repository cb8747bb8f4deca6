"""How long a worker has been in contact, as its pulse tells the master."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from rush.store.session import Session
from rush.store.workers import Identity
from rush.worker.heartbeat import Pulse, Terms
from tests.support.waiting import wait_for

NAME = "under test"


class Led:
    """What a leader is told."""

    def __init__(self) -> None:
        self.in_contact_since: list[float] = []

    def lead(self, term: int, trusted_until: float, in_contact_since: float) -> None:
        self.in_contact_since.append(in_contact_since)

    def trust(self, until: float) -> None: ...

    def step_down(self) -> None: ...

    def ring(self) -> None: ...


@pytest.fixture
def leader() -> Led:
    return Led()


@pytest.fixture
def pulse(connection: psycopg.Connection[Any], database: str, leader: Led) -> Iterator[Pulse]:
    """A pulse that beats several times a second; somebody else holds the master's token."""
    connection.execute(
        "UPDATE rush.master_token"
        " SET holder = 'somebody', expires_at = now() + interval '1 hour', backend_start = NULL"
    )

    def connect() -> Session:
        opened = psycopg.connect(database, autocommit=True, application_name=NAME)
        return Session(opened, "rush")

    identity = Identity(
        name="worker1", slots=1, queues=("default",), host="here", boot_id="boot", pid=1,
        version="0", code=None,
    )  # fmt: skip
    made = Pulse(
        connect,
        identity,
        Terms(lease=1, expiry=1, poll=0.1),
        leader,
        on_bell=lambda: None,
        on_over=lambda registration: None,
        on_clock=lambda now, at: None,
        on_reload=lambda: None,
        progress=dict,
        stale_writes=lambda: 0,
    )
    assert made.register() is not None
    made.start()
    yield made
    made.stop(leave=False)


@pytest.fixture
def beats(connection: psycopg.Connection[Any]) -> Callable[[], None]:
    """Waits for the next heartbeat."""

    def wait() -> None:
        before = seen()
        wait_for(lambda: seen() != before, what="a heartbeat")

    def seen() -> Any:
        return connection.execute("SELECT last_seen FROM rush.worker").fetchone()

    return wait


def free_the_token(connection: psycopg.Connection[Any]) -> None:
    connection.execute("UPDATE rush.master_token SET expires_at = 'epoch'")


def test_who_has_beaten_all_along_has_been_in_contact_all_along(
    connection: psycopg.Connection[Any], pulse: Pulse, leader: Led, beats: Callable[[], None]
) -> None:
    """A worker that becomes master long after it came need not wait to judge others' leases."""
    registered = time.monotonic()
    beats()
    beats()
    free_the_token(connection)
    wait_for(lambda: leader.in_contact_since, what="the election")
    assert leader.in_contact_since[0] <= registered


def test_who_has_lost_its_session_has_been_in_contact_since_it_is_back(
    connection: psycopg.Connection[Any], pulse: Pulse, leader: Led, beats: Callable[[], None]
) -> None:
    """What became of others meanwhile it cannot know."""
    beats()
    ended = time.monotonic()
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [NAME]
    )
    beats()
    free_the_token(connection)
    wait_for(lambda: leader.in_contact_since, what="the election")
    assert leader.in_contact_since[0] > ended


def test_who_could_not_beat_in_time_has_been_in_contact_since_it_could(
    connection: psycopg.Connection[Any], pulse: Pulse, leader: Led, beats: Callable[[], None]
) -> None:
    """A heartbeat that waited for a lock until the lease was over was missed."""
    beats()
    with connection.transaction():
        connection.execute("SELECT FROM rush.worker FOR UPDATE")
        wait_for(lambda: time.monotonic() > pulse.trusted_until, what="the lease to be over")
        over = time.monotonic()
    beats()
    free_the_token(connection)
    wait_for(lambda: leader.in_contact_since, what="the election")
    assert leader.in_contact_since[0] >= over
