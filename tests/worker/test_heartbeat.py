"""The pulse: leases and terms, how long they are trusted, and what is told when they are over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from rush.store import workers
from rush.store.session import Session
from rush.store.workers import Identity, Registration
from rush.worker.heartbeat import Pulse, Terms
from tests.support.kernel import Kernel, shared
from tests.support.waiting import wait_for

__all__ = ["shared"]

FOREVER = 3600.0


class Heart:
    """A pulse, and what it tells: it is its own leader."""

    def __init__(self, database: str, *, lease: float, expiry: float) -> None:
        self._database = database
        #: Until when a term was trusted, and when that was told.
        self.trusts: list[tuple[float, float]] = []
        self.down_at: float | None = None
        self.over: list[Registration] = []
        self.cut_off = False
        #: What others of this worker's threads have counted.
        self.refused = 0
        identity = Identity(
            name="worker1",
            slots=1,
            queues=("default",),
            host="here",
            boot_id="boot",
            pid=1,
            version="0",
            code=None,
        )
        self.pulse = Pulse(
            self._connect,
            identity,
            Terms(lease=lease, expiry=expiry, poll=FOREVER),
            self,
            on_bell=lambda: None,
            on_over=self.over.append,
            on_clock=lambda now, began: None,
            on_reload=lambda: None,
            progress=dict,
            stale_writes=lambda: self.refused,
        )
        self.registration = self.pulse.register()

    def _connect(self) -> Session:
        if self.cut_off:
            raise psycopg.OperationalError("no route to host")
        return Session(psycopg.connect(self._database, autocommit=True), "rush")

    def lead(self, term: int, trusted_until: float, in_contact_since: float) -> None:
        self.trusts.append((trusted_until, time.monotonic()))

    def trust(self, until: float) -> None:
        self.trusts.append((until, time.monotonic()))

    def step_down(self) -> None:
        self.down_at = time.monotonic()


@pytest.fixture
def beating(database: str) -> Iterator[Callable[..., Heart]]:
    """Starts a pulse."""
    hearts: list[Heart] = []

    def beating(*, lease: float = FOREVER, expiry: float = FOREVER) -> Heart:
        hearts.append(Heart(database, lease=lease, expiry=expiry))
        hearts[-1].pulse.start()
        return hearts[-1]

    yield beating
    for heart in hearts:
        heart.pulse.stop(leave=False)


@pytest.fixture
def held_up(database: str) -> Iterator[Callable[[str], Any]]:
    """Locks the rows of a table until a statement has waited for them. Returns when it did."""
    with (
        psycopg.connect(database) as holder,
        psycopg.connect(database, autocommit=True) as onlooker,
    ):

        def held_up(table: str, begin: Callable[[], Any] = lambda: None) -> float:
            holder.execute(f"SELECT FROM rush.{table} FOR UPDATE")
            begin()
            wait_for(
                lambda: (
                    onlooker.execute(
                        "SELECT FROM pg_stat_activity WHERE datname = current_database()"
                        " AND wait_event_type = 'Lock'"
                    ).rowcount
                ),
                what=f"a statement to wait for {table}",
            )
            waited_at = time.monotonic()
            holder.commit()
            return waited_at

        yield held_up


def test_a_lease_is_trusted_from_before_it_was_asked_for(beating, held_up):
    """
    However long the answer takes, the lease is not believed to last longer for it.
    """
    heart = beating(lease=3)
    before = heart.pulse.trusted_until

    waited_at = held_up("worker")

    wait_for(lambda: heart.pulse.trusted_until != before, what="the lease to be renewed")
    assert heart.pulse.trusted_until < waited_at + 3 - 0.6


def test_a_term_is_trusted_from_before_it_was_asked_for(beating, held_up):
    """
    Nor is a term, from its election on.
    """
    begun: list[Heart] = []
    waited_at = held_up("master_token", lambda: begun.append(beating(expiry=3)))
    assert told_after(waited_at, begun[0]) < waited_at + 3 - 0.6

    waited_at = held_up("master_token")
    assert told_after(waited_at, begun[0]) < waited_at + 3 - 0.6


def told_after(instant: float, heart: Heart) -> float:
    """Until when the term is trusted by the first word of it after an instant."""
    return wait_for(
        lambda: next((until for until, told_at in heart.trusts if told_at > instant), None),
        what="the election, or a renewal",
    )


def test_who_is_cut_off_trusts_nothing_when_the_lease_is_over(beating, shared: Kernel):
    """
    A master that cannot renew steps down by its own clock: nobody can tell it.
    """
    shared.sql("UPDATE rush.master_token SET expires_at = 'epoch'")
    heart = beating(expiry=1)
    wait_for(lambda: heart.trusts, what="the election")

    heart.cut_off = True
    shared.sql(
        "SELECT pg_terminate_backend(backend_pid) FROM rush.worker WHERE name = %s", "worker1"
    )

    wait_for(lambda: heart.down_at, what="the master to step down")


def test_a_master_whose_renewal_is_refused_steps_down(beating, shared: Kernel):
    """
    Once there is another term it steps down at once, and not when its trust is over.
    """
    shared.sql("UPDATE rush.master_token SET expires_at = 'epoch'")
    heart = beating(expiry=3)
    wait_for(lambda: heart.trusts, what="the election")

    shared.sql("UPDATE rush.master_token SET term = term + 1")

    wait_for(lambda: heart.down_at, what="the master to step down")
    trusted_until, _ = heart.trusts[-1]
    assert heart.down_at < trusted_until


def test_leases_are_renewed_though_nothing_happens(beating, shared: Kernel):
    """
    No bell, no job, no election: the heart beats.
    """
    heart = beating(lease=1)

    def until() -> Any:
        return shared.one("SELECT lease_expires_at FROM rush.worker WHERE name = 'worker1'")

    for _ in range(3):
        before = until()
        wait_for(lambda before=before: until() > before, what="a heartbeat")
    assert heart.over == []


def test_who_was_declared_dead_registers_anew(beating, shared: Kernel):
    """
    A worker that was believed dead and is not learns it by its next heartbeat, and begins again.
    """
    heart = beating(lease=1)
    workers.declare_dead(shared.session, [("worker1", heart.registration.generation)])

    wait_for(lambda: heart.over, what="the worker to register anew")
    assert heart.over[0].generation > heart.registration.generation
    assert shared.one("SELECT state FROM rush.worker WHERE name = 'worker1'") == "Alive"


def test_what_was_refused_is_told_and_outlives_the_worker(beating, shared: Kernel):
    """
    What others counted, its own heartbeat as one declared dead, and what its namesake had before:
    each once. The sum stays when its row goes.
    """

    def told() -> int:
        return shared.one("SELECT sum(stale_writes) FROM rush.worker")

    first = beating(lease=1)
    first.refused = 3
    wait_for(lambda: told() == 3, what="three to be told")
    workers.declare_dead(shared.session, [("worker1", first.registration.generation)])
    wait_for(lambda: told() == 4, what="the heartbeat that was refused to be told")
    first.pulse.stop(leave=False)

    shared.sql("UPDATE rush.worker SET lease_expires_at = 'epoch'")
    second = beating(lease=1)
    second.refused = 1
    wait_for(lambda: told() == 5, what="one more to be told")
    second.refused = 2
    second.pulse.stop(leave=True)
    assert told() == 0
    assert shared.one("SELECT stale_writes FROM rush.control") == 6
