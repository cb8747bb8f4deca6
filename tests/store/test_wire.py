"""The wire: statements that travel together."""

from __future__ import annotations

import contextlib
import select
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from rush.domain.looks import EVERYTHING
from rush.store import requests
from rush.store.database import connect
from rush.store.session import Session
from rush.store.wire import Wire
from tests.support.waiting import wait_for


@pytest.fixture
def wire(database: str) -> Iterator[Wire]:
    connection = connect(database, application_name="wire")
    yield Wire(connection, "rush")
    connection.close()


WAITING = """
    SELECT pid FROM pg_stat_activity
     WHERE application_name = 'narrow' AND wait_event_type = 'Lock'
"""


def count(connection: psycopg.Connection[Any]) -> int:
    (found,) = connection.execute("SELECT count(*) FROM rush.run_request").fetchone() or (0,)
    return found


def test_values_come_back_as_they_were_sent(wire: Wire, connection: psycopg.Connection[Any]):
    """A wire and a session read and write the same."""
    params = {"text": 'ä"\\', "none": None, "list": [1, 2.5, True]}
    ids = [
        requests.submit(session, pipeline="p", job="a", jobinstance=2**31 - 1, params=params)
        for session in (wire, Session(connection, "rush"))
    ]
    through_wire, through_session = (requests.request(wire, i) for i in ids if i is not None)
    assert through_wire.params == params
    assert through_wire._replace(id=0, created_at=None) == through_session._replace(
        id=0, created_at=None
    )
    assert requests.request(wire, -1) is None


def test_a_transaction_is_committed_whole(wire: Wire, connection: psycopg.Connection[Any]):
    """What is sent within it is seen by others once it is over, and by itself before."""
    with wire.transaction():
        first = requests.submit(wire, pipeline="p")
        assert first is not None
        assert requests.request(wire, first).status == "Pending"
        assert count(connection) == 0
        later = wire.send("request", id=first)
    assert count(connection) == 1
    assert later()[0].id == first


def test_a_transaction_that_raises_leaves_nothing(wire: Wire, connection: psycopg.Connection[Any]):
    """Whatever is raised within it, nothing of it is there, and the wire goes on."""
    with pytest.raises(LookupError), wire.transaction():
        requests.submit(wire, pipeline="p")
        raise LookupError
    assert count(connection) == 0
    with wire.transaction():
        assert requests.submit(wire, pipeline="p") is not None
    assert count(connection) == 1


def test_an_error_is_raised_once_and_undoes_all(wire: Wire, connection: psycopg.Connection[Any]):
    """An error that nobody asked for is raised at the end; what came after it is not done."""
    problem = pytest.raises(psycopg.errors.CheckViolation, match="request_pipeline_is_plain")
    with problem, wire.transaction():
        requests.submit(wire, pipeline="good")
        wire.send("submit", pipeline="no good", job=None, jobinstance=None, action="start",
                      params=None, idempotency_key=None)  # fmt: skip
        wire.send("outlook", requested_after=0, finished_after=0, **EVERYTHING)
    assert count(connection) == 0
    with pytest.raises(psycopg.errors.CheckViolation):
        requests.submit(wire, pipeline="no good")
    assert requests.submit(wire, pipeline="good") is not None


def test_a_statement_that_could_not_be_prepared_is_prepared_again(wire: Wire):
    """One that failed for what was in its way works when that is gone."""
    wire.execute(sql.SQL("ALTER TABLE rush.run_request RENAME TO elsewhere"))
    with pytest.raises(psycopg.errors.UndefinedTable):
        requests.submit(wire, pipeline="p")
    wire.execute(sql.SQL("ALTER TABLE rush.elsewhere RENAME TO run_request"))
    assert requests.submit(wire, pipeline="p") is not None


def test_a_server_that_does_not_answer_is_given_up(
    database: str, connection: psycopg.Connection[Any]
):
    """An answer that is not there in time ends the connection, and nothing waits for ever."""
    wire = Wire(connect(database, application_name="wire"), "rush", patience=0.2)
    with connection.transaction():
        connection.execute("LOCK TABLE rush.run_request")
        with pytest.raises(psycopg.OperationalError, match=r"no answer within 0\.2 s"):
            requests.submit(wire, pipeline="p")
        assert wire.connection.closed


def test_a_session_that_is_ended_is_noticed(wire: Wire, connection: psycopg.Connection[Any]):
    """The end of the server's side is an OperationalError, within a transaction and without."""
    pid = wire.connection.info.backend_pid
    with pytest.raises(psycopg.OperationalError), wire.transaction():
        requests.submit(wire, pipeline="p")
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        wire.many("outlook", requested_after=0, finished_after=0, **EVERYTHING)
    assert wire.connection.closed
    assert count(connection) == 0


def test_a_large_statement_and_a_large_answer(wire: Wire):
    """More than a socket takes at once goes both ways."""
    done = threading.Event()
    value = "x" * 900_000
    with wire.transaction():
        for _ in range(20):
            wire.send("submit", pipeline="p", job=None, jobinstance=None, action="start",
                      params=f'{{"a": "{value}"}}', idempotency_key=None)  # fmt: skip
        done.set()
    rows = wire.many("pending_requests", limit=100, after=0)
    assert len(rows) == 20
    assert done.is_set()


def start(wire: Wire, pipeline: str = "p", params: str | None = None) -> Any:
    return wire.send("submit", pipeline=pipeline, job=None, jobinstance=None, action="start",
                     params=params, idempotency_key=None)  # fmt: skip


def can_be_read(wire: Wire) -> bool:
    return bool(select.select([wire], [], [], 10)[0])


def test_what_is_being_sent_is_not_waited_for(wire: Wire, connection: psycopg.Connection[Any]):
    """Its answers are here when they are here; what was sent together is committed together."""
    with connection.transaction():
        connection.execute("LOCK TABLE rush.run_request")
        with wire.sending():
            first, second = start(wire), start(wire)
        assert not wire.arrived()
        assert not wire.unsent
    assert can_be_read(wire)
    wait_for(wire.arrived, what="the answers")
    assert second()[0].id > first()[0].id
    assert count(connection) == 2


def test_an_answer_that_is_asked_for_before_it_is_here_is_waited_for(
    wire: Wire, connection: psycopg.Connection[Any]
):
    """It is committed then, and all that was sent with it has arrived."""
    with wire.sending():
        first, second = start(wire), start(wire)
    assert first()[0].id
    assert count(connection) == 2
    assert wire.arrived()
    assert second()[0].id


def test_an_error_in_what_is_being_sent_undoes_all_of_it(
    wire: Wire, connection: psycopg.Connection[Any]
):
    """It is raised when all has arrived, and the wire goes on, with what it had not prepared."""
    with wire.sending():
        start(wire)
        start(wire, "no good")
        wire.send("outlook", requested_after=0, finished_after=0, **EVERYTHING)
    with pytest.raises(psycopg.errors.CheckViolation):
        wait_for(wire.arrived, what="the answers")
    assert count(connection) == 0

    with wire.sending():
        request, outlook = (
            start(wire),
            wire.send("outlook", requested_after=0, finished_after=0, **EVERYTHING),
        )
    wait_for(wire.arrived, what="the answers")
    assert request()[0].id
    assert outlook()[0].requested


def test_a_commit_that_fails_is_an_error_of_what_was_sent(
    wire: Wire, connection: psycopg.Connection[Any]
):
    """What is checked at the commit fails all of it, and the answers to what is sent next are its own."""
    connection.execute(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'at the commit'; END $$"
    )
    connection.execute(
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON rush.run_request"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.refuse()"
    )

    with wire.sending():
        request = start(wire)
    with pytest.raises(psycopg.errors.RaiseException, match="at the commit"):
        request()

    assert count(connection) == 0
    outlook = wire.one("outlook", requested_after=0, finished_after=0, **EVERYTHING)
    assert outlook is not None
    assert not outlook.requested


def test_what_could_not_be_said_whole_is_not_committed(
    wire: Wire, connection: psycopg.Connection[Any]
):
    """Whatever is raised while it is being sent, nothing of it is there."""
    with pytest.raises(LookupError), wire.sending():
        start(wire)
        raise LookupError
    assert wire.connection.closed
    assert count(connection) == 0


def test_the_end_of_a_session_is_noticed_by_who_does_not_wait(
    wire: Wire, connection: psycopg.Connection[Any]
):
    """It is an OperationalError when the answers are looked for."""
    requests.submit(wire, pipeline="p")
    pid = wire.connection.info.backend_pid
    with connection.transaction():
        connection.execute("LOCK TABLE rush.run_request")
        with wire.sending():
            start(wire)
        assert not wire.arrived()
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert can_be_read(wire)
        with pytest.raises(psycopg.OperationalError):
            wait_for(wire.arrived, what="the end")
    assert wire.connection.closed


def test_nobody_waits_for_a_path_that_takes_no_more(
    database: str, connection: psycopg.Connection[Any]
):
    """Though some of the answers are here already; the rest is sent when there is room."""
    wire = Wire(connect(database, application_name="narrow"), "rush", patience=1)
    with contextlib.closing(wire.connection):
        big = "x" * 900_000
        connection.execute(
            "INSERT INTO rush.result (run_id, job, value) VALUES (1, 'a', %s)", [f'"{big}"']
        )
        with connection.transaction():
            connection.execute("LOCK TABLE rush.run_request")
            with wire.sending():
                before = [wire.send("results_before", run_id=1) for _ in range(2)]
                for _ in range(20):
                    last = start(wire, params=f'{{"a": "{big}"}}')
            wait_for(lambda: connection.execute(WAITING).fetchone(), what="the server to wait")
            assert not wire.arrived()
            assert wire.unsent
        wait_for(wire.arrived, what="the answers")
        assert not wire.unsent
        assert [rows()[0].value for rows in before] == [big, big]
        assert last()[0].id


def test_bells_are_heard_whenever_they_come(wire: Wire, connection: psycopg.Connection[Any]):
    """Those that come with an answer, and those that come while nothing was asked, once each."""
    wire.listen("bell")
    connection.execute("NOTIFY bell")
    requests.submit(wire, pipeline="p")
    assert wire.rung()
    assert not wire.rung()

    connection.execute("NOTIFY bell")
    assert can_be_read(wire)
    assert wire.hear()
    assert not wire.hear()
