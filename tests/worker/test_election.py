"""The master's token: one holder in each term, terms that only rise, and no write of an old one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from rush.master.tasks import Round
from rush.store import master_token, workers
from rush.store.master_token import TermOver
from rush.store.session import Session
from rush.store.workers import Identity, Registration
from tests.support.waiting import wait_for

#: How a transaction of the master's is fenced.
HOW = pytest.mark.parametrize("how", ["transaction", "sending"])


class Candidate:
    """A worker with a session of its own."""

    def __init__(self, connection: psycopg.Connection[Any], name: str) -> None:
        self.session = Session(connection, "rush")
        identity = Identity(
            name=name,
            slots=1,
            queues=("default",),
            host="here",
            boot_id="boot",
            pid=1,
            version="0",
            code=None,
        )
        registration = workers.register(self.session, identity, lease=3600)
        assert registration is not None
        self.registration: Registration = registration

    def stand(self, *, expiry: float = 3600, gone_term: int | None = None) -> int | None:
        return master_token.elect(
            self.session, self.registration, expiry=expiry, gone_term=gone_term
        )

    def renew(self, term: int) -> bool:
        return master_token.renew(self.session, self.registration, term, expiry=3600)

    def resign(self, term: int) -> None:
        master_token.resign(self.session, self.registration, term)

    def transaction(self, term: int):
        return Round(session=self.session, term=term).transaction()

    def fenced(self, how: str, term: int):
        """A transaction whose answers are read within it, or only after its end."""
        round = Round(session=self.session, term=term)
        return round.sending() if how == "sending" else round.transaction()

    def token(self) -> Any:
        return self.session.connection.execute(
            "SELECT holder, term FROM rush.master_token"
        ).fetchone()

    def expire(self) -> None:
        """The lease runs out, by no doing of its holder's."""
        self.session.connection.execute("UPDATE rush.master_token SET expires_at = 'epoch'")

    def pause_all(self) -> None:
        """Some write of a master's."""
        self.session.connection.execute("UPDATE rush.control SET paused = true")


@pytest.fixture
def enter(database: str) -> Iterator[Callable[[str], Candidate]]:
    """Makes candidates."""
    connections: list[psycopg.Connection[Any]] = []

    def enter(name: str) -> Candidate:
        connections.append(psycopg.connect(database, autocommit=True))
        return Candidate(connections[-1], name)

    yield enter
    for connection in connections:
        connection.close()


@pytest.fixture
def one(enter: Callable[[str], Candidate]) -> Candidate:
    return enter("one")


@pytest.fixture
def two(enter: Callable[[str], Candidate]) -> Candidate:
    return enter("two")


@pytest.fixture
def meanwhile() -> Iterator[Callable[..., Future[Any]]]:
    """Runs a call in a thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


@pytest.fixture
def until_it_waits(database: str) -> Iterator[Callable[[Candidate], None]]:
    """Returns once a statement of a candidate waits for a lock."""
    with psycopg.connect(database, autocommit=True) as onlooker:

        def until_it_waits(candidate: Candidate) -> None:
            pid = candidate.session.connection.info.backend_pid
            wait_for(
                lambda: (
                    onlooker.execute(
                        "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'",
                        [pid],
                    ).rowcount
                ),
                what="a statement to wait for a lock",
            )

        yield until_it_waits


def test_one_of_two_candidates_wins(one: Candidate, two: Candidate):
    """
    The first takes the token; while its lease lasts nobody else does.
    """
    assert one.stand() == 1
    assert two.stand() is None
    assert one.stand() is None
    assert one.token() == ("one", 1)


def test_of_two_who_stand_at_once_one_wins(
    one: Candidate, two: Candidate, meanwhile, until_it_waits
):
    """
    A candidate that waits for another's election finds the token taken.
    """
    with one.session.connection.transaction():
        assert one.stand() == 1
        standing = meanwhile(two.stand)
        until_it_waits(two)

    assert standing.result(timeout=10) is None
    assert one.token() == ("one", 1)


def test_only_a_live_registration_is_elected(one: Candidate, two: Candidate):
    """
    Who has been declared dead, or takes no jobs any more, does not become master.
    """
    workers.declare_dead(two.session, [(one.registration.name, one.registration.generation)])
    workers.drain(two.session, "two")

    assert one.stand() is None
    assert two.stand() is None


def test_a_term_is_renewed_only_while_it_lasts(one: Candidate, two: Candidate):
    """
    A lease that has run out is not revived, and an old term's renewal does not touch a new one.
    """
    assert one.stand() == 1
    assert one.renew(1)
    one.expire()
    assert not one.renew(1)

    assert two.stand() == 2
    assert not one.renew(1)
    assert two.renew(2)
    assert two.token() == ("two", 2)


def test_a_lease_counts_from_its_renewal(one: Candidate):
    """
    A lease that is renewed in a transaction lasts from then on, and not from when that began.
    """
    assert one.stand() == 1

    with one.session.connection.transaction():
        one.session.connection.execute("SELECT")
        assert one.renew(1)
        later = one.session.connection.execute(
            "SELECT expires_at > now() + interval '1 hour' FROM rush.master_token"
        ).fetchone()

    assert later == (True,)


def test_a_term_is_its_holders_alone(one: Candidate, two: Candidate):
    """
    Somebody who believes in a term of the same number, which a failover has lost, neither
    renews it nor ends it.
    """
    assert one.stand() == 1
    assert not two.renew(1)
    two.resign(1)
    assert one.renew(1)


def test_a_term_is_higher_than_any_that_its_holder_has_heard_of(one: Candidate):
    """
    Terms that a failover has lost are not given again.
    """
    term = master_token.elect(one.session, one.registration, expiry=3600, gone_term=None, seen=41)
    assert term == 42


def test_terms_go_on_rising_when_a_master_resigns(one: Candidate, two: Candidate):
    """
    Resigning makes room at once; the row stays, and the next term is a later one.
    """
    assert one.stand() == 1
    one.resign(1)

    assert one.token() == ("one", 1)
    assert two.stand() == 2
    one.resign(1)
    assert two.renew(2)


def test_terms_go_on_rising_when_the_row_was_set_back(one: Candidate):
    """
    A token that somebody has set back, or restored, does not bring an old term again.
    """
    assert one.stand() == 1
    one.resign(1)
    assert one.stand() == 2
    one.session.connection.execute(
        "UPDATE rush.master_token SET term = 0, expires_at = 'epoch', holder = NULL"
    )

    assert one.stand() == 3


def test_a_holder_whose_session_is_gone_is_followed_before_its_lease_is_over(
    one: Candidate, two: Candidate
):
    """
    The early sign counts for just the term that it was seen in.
    """
    assert one.stand() == 1
    assert two.stand(gone_term=1) is None
    one.session.connection.close()
    wait_for(lambda: master_token.master(two.session).session_gone, what="the session to be gone")

    assert two.stand(gone_term=0) is None
    assert two.stand(gone_term=1) == 2
    assert not master_token.master(two.session).session_gone


@HOW
def test_a_transaction_of_an_old_term_writes_nothing(one: Candidate, two: Candidate, how: str):
    """
    Once there is a new term, what an old one would write is rolled back.
    """
    assert one.stand() == 1
    one.expire()
    assert two.stand() == 2

    with pytest.raises(TermOver), one.fenced(how, 1):
        one.pause_all()
    assert one.session.connection.execute("SELECT paused FROM rush.control").fetchone() == (False,)
    with two.fenced(how, 2):
        two.pause_all()
    assert one.session.connection.execute("SELECT paused FROM rush.control").fetchone() == (True,)


def test_a_lease_that_is_over_is_not_yet_another_term(one: Candidate):
    """
    The term is the safety, the lease only the patience: without a successor its writes are good.
    """
    assert one.stand() == 1
    one.expire()

    with one.transaction(1):
        one.pause_all()


@HOW
def test_a_take_over_waits_for_what_the_old_term_has_open(
    one: Candidate, two: Candidate, meanwhile, until_it_waits, how: str
):
    """
    No new term begins while a transaction of the old one is open.
    """
    assert one.stand() == 1
    one.expire()

    with one.fenced(how, 1):
        one.pause_all()
        standing = meanwhile(two.stand)
        until_it_waits(two)
        assert not standing.done()

    assert standing.result(timeout=10) == 2


@HOW
def test_a_transaction_waits_for_a_take_over_and_is_too_late(
    one: Candidate, two: Candidate, meanwhile, until_it_waits, how: str
):
    """
    A transaction that begins while a new term does is one of an old term.
    """
    assert one.stand() == 1
    one.expire()

    def write() -> None:
        with one.fenced(how, 1):
            one.pause_all()

    with two.session.connection.transaction():
        assert two.stand() == 2
        writing = meanwhile(write)
        until_it_waits(one)

    with pytest.raises(TermOver):
        writing.result(timeout=10)


def test_a_renewal_does_not_wait_for_what_is_open(one: Candidate, enter):
    """
    The lease is renewed on its own connection while a task is under way.
    """
    assert one.stand() == 1
    pulse = enter("pulse")
    pulse.session.connection.execute("SET lock_timeout = '5s'")

    with one.transaction(1):
        one.pause_all()
        assert master_token.renew(pulse.session, one.registration, 1, expiry=3600)
