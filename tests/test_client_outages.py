"""The client through lost sessions and outages of the database, all of them real."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg
import pytest

from rush import Client
from rush.errors import DatabaseError, RefusedError
from rush.store import bells
from rush.store.bells import Outage, growing_pauses, outlast
from tests.support.factories import Factories
from tests.support.meanwhile import Meanwhile, doing_meanwhile
from tests.support.outages import end_sessions, out_of_reach, resting
from tests.support.server import Server
from tests.support.waiting import wait_for


@pytest.fixture
def factories(connection) -> Factories:
    return Factories(connection)


@pytest.fixture
def client(database) -> Iterator[Client]:
    with Client(database) as client:
        yield client


@pytest.fixture
def meanwhile(database) -> Iterator[Meanwhile]:
    with doing_meanwhile(database) as start:
        yield start


def requests_in(connection) -> list[tuple]:
    return connection.execute(
        "SELECT pipeline, action, idempotency_key FROM rush.run_request ORDER BY id"
    ).fetchall()


# Reading and writing --------------------------------------------------------------------


def test_reading_goes_on_in_a_new_session(client, factories, connection):
    """
    A session that was ended while nobody used it is replaced by the next who reads.
    """
    factories.pipeline("etl")
    assert end_sessions(connection) == 1

    assert [row.name for row in client.pipelines()] == ["etl"]
    assert end_sessions(connection) == 1
    with client.beats(timeout=0) as beats:
        assert list(beats) == [None]


def test_a_snapshot_is_read_again_as_a_whole(client, factories, connection):
    """
    A session that ends in the middle of a snapshot begins it anew, so that all is of one instant.
    """
    factories.pipeline("etl")
    read: list[int] = []

    def look(session) -> int:
        read.append(session.connection.info.backend_pid)
        if len(read) == 1:
            end_sessions(connection)
        session.many("list_runs", pipeline=None, state=None, limit=1, before=None)
        return read[-1]

    assert client.read_at_once(look) == read[1] != read[0]


def test_writing_goes_on_in_a_new_session(client, factories, connection):
    """
    A session that was ended while nobody used it is replaced before something is written.
    """
    factories.pipeline("etl")
    assert end_sessions(connection) == 1

    client.pause("etl")

    assert client.pipelines()[0].paused


def test_a_client_out_of_reach_says_so_and_recovers(client, connection):
    """
    While the database lets nobody in, reading is an error at once; after that it goes on.
    """
    with (
        out_of_reach(connection),
        pytest.raises(DatabaseError, match=r"^cannot connect to postgresql://"),
    ):
        client.pipelines()

    assert client.pipelines() == []


def test_the_callers_lost_connection_is_an_error(database, factories, connection):
    """
    A connection of the caller's is never replaced: its end is told, also to who waits.
    """
    factories.pipeline("etl")
    factories.run()
    with psycopg.connect(database, autocommit=True, application_name="caller's") as own:
        client = Client(own)
        run = client.run("etl/1")
        assert end_sessions(connection, "caller's") == 1

        for use in (client.pipelines, lambda: run.wait(timeout=10), lambda: client.submit("etl")):
            with pytest.raises(DatabaseError, match="the database is out of reach"):
                use()


# Asking ---------------------------------------------------------------------------------

ENDED_IN_INSERT = """
CREATE SEQUENCE inserts;
CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A sequence counts also what is rolled back.
    IF nextval('inserts') <= {times} THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER end_session AFTER INSERT ON rush.run_request FOR EACH ROW EXECUTE FUNCTION end_session();
"""


def test_a_request_that_was_not_made_is_made(client, connection):
    """
    A session that ends before the request is committed costs nothing but another session.
    """
    connection.execute(ENDED_IN_INSERT.format(times=3))

    run = client.submit("etl")

    assert run.state == "Pending"
    [(pipeline, _, key)] = requests_in(connection)
    assert pipeline == "etl"
    assert re.fullmatch("auto:[0-9a-f]{32}", key)
    assert connection.execute("SELECT last_value FROM inserts").fetchone() == (4,)


def test_a_cancel_that_was_not_made_is_made(client, factories, connection):
    """
    What is asked for about a run is kept through a lost session too, once.
    """
    factories.pipeline("etl")
    factories.run()
    connection.execute(ENDED_IN_INSERT.format(times=1))

    client.run("etl/1").cancel()

    assert [action for _, action, _ in requests_in(connection)] == ["cancel"]


def test_keys_of_its_own_are_new_each_time(client, connection):
    """
    The same request twice, without a key, is two requests.
    """
    first, second = client.submit("etl"), client.submit("etl")

    assert first.request_id != second.request_id
    assert len({key for *_, key in requests_in(connection)}) == 2


def test_the_callers_connection_gets_no_key(connection):
    """
    On a connection of the caller's, which nobody looks anything up on, there is no key.
    """
    Client(connection).submit("etl")

    assert requests_in(connection) == [("etl", "start", None)]


def test_a_key_that_was_used_otherwise_is_refused_at_once(client, connection):
    """
    What is refused is no outage, and is not asked again.
    """
    client.submit("etl", idempotency_key="k")
    connection.execute(ENDED_IN_INSERT.format(times=1))

    with pytest.raises(RefusedError, match='the idempotency key "k"'):
        client.submit("other", idempotency_key="k")


def test_a_doubt_that_lasts_is_told_with_the_key(client, connection, monkeypatch):
    """
    When the database stays away, the error has the key by which to learn what became of the request.
    """
    monkeypatch.setattr("rush.client.link.LONGEST_DOUBT", 0.2)

    with out_of_reach(connection), pytest.raises(DatabaseError) as caught:
        client.submit("etl", idempotency_key="mine")

    assert "it is not known whether the request was made" in str(caught.value)
    assert "idempotency key mine it is not made twice" in str(caught.value)
    assert client.submit("etl", idempotency_key="mine").state == "Pending"
    assert len(requests_in(connection)) == 1


# Waiting --------------------------------------------------------------------------------


def test_waiting_goes_on_in_a_new_session(client, factories, meanwhile, monkeypatch):
    """
    Whose session is ended while waiting looks again at once, and hears bells in the new one.
    """
    monkeypatch.setattr("rush.store.bells.FIRST_PAUSE", 60)
    factories.pipeline("etl")
    made = factories.run()
    run = client.run("etl/1")
    began = time.monotonic()

    def others_do(others: Factories) -> None:
        own = others.session.connection
        first = resting(own)
        end_sessions(own)
        assert resting(own) != first
        others.end(made)
        others.session.notify("rush:runs")

    meanwhile(others_do)
    with client.beats(longest=60) as beats:
        assert any(beats.outlast(run.is_over) for _ in beats)

    assert time.monotonic() < began + 20


def test_waiting_sits_out_an_outage(client, factories, meanwhile):
    """
    Who waits when the database goes away goes on when it is back.
    """
    factories.pipeline("etl")
    made = factories.run()
    run = client.run("etl/1")

    def others_do(others: Factories) -> None:
        own = others.session.connection
        resting(own)
        with out_of_reach(own):
            others.end(made)

    meanwhile(others_do)

    assert run.wait(timeout=30).state == "Complete"


def test_a_verdict_is_waited_for_through_a_lost_session(client, factories, meanwhile):
    """
    A request's verdict comes, though the session that waited for it was ended.
    """
    factories.pipeline("etl")
    run = client.submit("etl")

    def others_do(others: Factories) -> None:
        resting(others.session.connection, after="request")
        end_sessions(others.session.connection)
        others.decide(run.request_id, run=others.run("etl"))

    meanwhile(others_do)

    assert run.wait_for_verdict(timeout=30)
    assert run.name == "etl/1"


def test_an_outage_longer_than_the_timeout(client, factories, connection):
    """
    When the time for waiting ends within an outage, that is the error, and says for how long.
    """
    factories.pipeline("etl")
    factories.run()
    run = client.run("etl/1")

    with out_of_reach(connection), pytest.raises(DatabaseError) as caught:
        run.wait(timeout=0.3)

    assert re.search(r"cannot connect to .* \(for 0\.\d s now\)$", str(caught.value))


def test_an_outage_without_an_end(client, factories, connection, monkeypatch):
    """
    Without a timeout an outage is sat out for five minutes (here: a third of a second), not for ever.
    """
    assert bells.LONGEST_OUTAGE == 300
    monkeypatch.setattr("rush.store.bells.LONGEST_OUTAGE", 0.3)
    factories.pipeline("etl")
    factories.run()
    run = client.run("etl/1")

    with out_of_reach(connection), pytest.raises(DatabaseError, match=r"for 0\.3 s now"):
        run.wait()
    with out_of_reach(connection), pytest.raises(DatabaseError, match=r"for 0\.3 s now"):
        next(run.logs(follow=True))


def test_following_gives_each_line_once_through_outages(client, factories, meanwhile):
    """
    However often its session is ended, who follows a log gets each line once, and hears of outages.
    """
    factories.pipeline("etl")
    made = factories.run()
    heard: list[str] = []
    outages: list[Outage | None] = []
    told = threading.Event()

    def others_do(others: Factories) -> None:
        own = others.session.connection
        for part in range(5):
            others.log(made, "extract", f"line {part}", token=7, part=part)
            end_sessions(own)
            wait_for(partial(heard.__contains__, f"line {part}"), what=f"line {part}")
        with out_of_reach(own):
            others.log(made, "load", "last line", token=8)
            others.end(made)
            assert told.wait(10)

    def note(outage: Outage | None) -> None:
        outages.append(outage)
        told.set()

    meanwhile(others_do)
    for line in client.run("etl/1").logs(follow=True, on_outage=note):
        heard.append(line.text)

    assert heard == [f"line {part}" for part in range(5)] + ["last line"]
    first, *_, last = outages
    assert first is not None and first.reason.startswith("cannot connect to ")
    assert last is None


def test_what_is_no_outage_is_not_sat_out(client, factories):
    """
    An error of the statement ends the waiting at once: it would come again.
    """
    looks: list[None] = []

    def look() -> None:
        looks.append(None)
        client.read(lambda session: session.connection.execute("SELECT 1 / 0"))

    with client.beats(timeout=60) as beats, pytest.raises(DatabaseError, match="division by zero"):
        beats.outlast(look)
    assert len(looks) == 1


def test_pauses_grow_to_two_seconds():
    """
    The pauses between tries grow from a twentieth of a second to two, each with some chance in it.
    """
    pauses = list(itertools.islice(growing_pauses(), 12))

    assert 0.025 <= pauses[0] <= 0.05
    assert all(1.0 <= pause <= 2.0 for pause in pauses[6:])
    assert len(set(pauses)) == len(pauses)


def test_an_outage_is_told_after_each_try_and_at_its_end():
    """
    Who is told of an outage hears how long it has lasted, and that it is over; of none, nothing.
    """
    tries = iter([DatabaseError("no"), DatabaseError("still no"), None])
    told: list[Outage | None] = []

    def look() -> str:
        error = next(tries)
        if error is not None:
            raise error
        return "seen"

    assert outlast(look, lost=lambda: True, patience=60, on_outage=told.append) == "seen"
    assert [outage and outage.reason for outage in told] == ["no", "still no", None]
    first, second, _ = told
    assert first is not None and second is not None
    assert first.since == second.since
    assert 0 <= first.seconds < second.seconds


# A server that is restarted ---------------------------------------------------------------


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that nobody else uses."""
    own = Server(tmp_path / "server", None)
    yield own
    own.remove()


@pytest.mark.process
def test_a_restart_of_the_server(own_server):
    """
    Who waits and who follows get through a restart of the whole server.
    """
    with own_server.database() as url, Client(url) as waiting, Client(url) as following:
        with psycopg.connect(url, autocommit=True) as connection:
            factories = Factories(connection)
            factories.pipeline("etl")
            made = factories.run()
            factories.log(made, "extract", "before", token=1)
        with ThreadPoolExecutor() as threads:
            heard: list[str] = []
            waited = threads.submit(waiting.run("etl/1").wait, 60)
            followed = threads.submit(follow_into, heard, following)
            wait_for(lambda: heard == ["before"], what="the first line")

            own_server.embedded.stop()
            own_server.embedded.start()

            with psycopg.connect(url, autocommit=True) as connection:
                factories = Factories(connection)
                factories.log(made, "extract", "after", token=1, part=1)
                factories.end(made)
            assert waited.result(timeout=60).state == "Complete"
            followed.result(timeout=60)
        assert heard == ["before", "after"]


def follow_into(heard: list[str], client: Client) -> None:
    for line in client.run("etl/1").logs(follow=True):
        heard.append(line.text)


@pytest.mark.process
def test_a_commit_without_an_answer(own_server):
    """
    A request that was committed and whose answer was lost is looked up, and not made again.
    """
    with own_server.database() as url, psycopg.connect(url, autocommit=True) as connection:
        # Every commit now waits for a standby that there is not; one that is ended in this
        # wait has been committed, and its client does not hear of it.
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        connection.execute("SELECT pg_reload_conf()")
        with Client(url) as client, ThreadPoolExecutor() as threads:
            asked = threads.submit(client.submit, "etl")
            wait_for(lambda: commit_that_waits(connection), what="the commit to wait")
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            assert end_sessions(connection) == 1
            connection.execute("SELECT pg_reload_conf()")

            run = asked.result(timeout=30)

            assert run.state == "Pending"
            assert len(requests_in(connection)) == 1


def commit_that_waits(connection: psycopg.Connection) -> bool:
    return bool(
        connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'rush client' AND wait_event = 'SyncRep'"
        ).fetchone()
    )
