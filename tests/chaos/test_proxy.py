"""The proxy breaks what it is told to break, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.chaos.proxy import CUT, CUT_AFTER, LOSE, Fault, Message, Network, Proxy, Rule
from tests.support.waiting import wait_for

NAME = "under test"


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    with Network() as network:
        yield network.proxy(database)


def connect(proxy: Proxy) -> psycopg.Connection:
    return psycopg.connect(proxy.url, application_name=NAME, autocommit=True)


def at(kind: str, query: str, fault: Fault, toward: str = "server") -> Rule:
    """The fault, at every message of that kind about that statement."""

    def rule(message: Message) -> Fault | None:
        wanted = (message.kind, message.query, message.toward) == (kind, query, toward)
        return fault if wanted else None

    return rule


def insert(connection: psycopg.Connection, number: int = 1, *, prepare: bool = False) -> None:
    """In one exchange; in two where it is prepared for the first time."""
    connection.execute("-- mark\nINSERT INTO marks VALUES (%s)", [number], prepare=prepare)


@pytest.fixture
def marks(connection: psycopg.Connection) -> psycopg.Connection:
    """Straight to the server, where there is a table for marks."""
    connection.execute("CREATE TABLE marks (number int)")
    return connection


def count(marks: psycopg.Connection) -> int:
    row = marks.execute("SELECT count(*) FROM marks").fetchone()
    assert row is not None
    return row[0]


def test_what_is_not_broken_arrives(proxy: Proxy, marks: psycopg.Connection) -> None:
    """Statements of every shape pass, each message under its statement's name, also once it is prepared."""
    seen: list[Message] = []
    proxy.watch = seen.append
    with connect(proxy) as connection:
        for number in range(3):
            insert(connection, number, prepare=True)
        with connection.pipeline(), connection.transaction():
            insert(connection, 3, prepare=True)
            connection.execute("-- other\nSELECT 1")
        rows = connection.execute(
            "SELECT repeat('x', 100000) FROM generate_series(1, 20)"
        ).fetchall()
    assert [len(row[0]) for row in rows] == [100000] * 20
    assert count(marks) == 4
    executed = [m.query for m in seen if m.toward == "server" and m.kind == "E"]
    assert executed.count("mark") == 4
    ends = [m.query for m in seen if m.toward == "client" and m.kind == "C"]
    assert ends.count("mark") == 4
    assert ends.index("BEGIN") < ends.index("other") < ends.index("COMMIT")
    assert {m.session for m in seen} == {NAME}


@pytest.mark.parametrize(
    ("kind", "toward", "fault", "kept"),
    [
        ("E", "server", CUT, 0),
        ("S", "server", CUT, 0),
        ("E", "server", LOSE, 0),
        ("S", "server", LOSE, 1),
        ("C", "client", CUT, 1),
        ("C", "client", LOSE, 1),
        ("Z", "client", CUT_AFTER, 1),
    ],
)
def test_a_statement_is_cut_at_a_message(
    proxy: Proxy, marks: psycopg.Connection, kind: str, toward: str, fault: Fault, kept: int
) -> None:
    """What had arrived whole is done, what had not is not, and the client knows of neither."""
    unheard: list[str] = []
    proxy.unheard = lambda session, queries: unheard.extend(queries)
    with connect(proxy) as connection:
        proxy.rule = at(kind, "mark", fault, toward)
        with pytest.raises(psycopg.OperationalError):
            insert(connection)
            insert(connection)
    wait_for(lambda: not proxy.wires, what="the wire to be gone")
    assert count(marks) == kept
    expected = ["mark"] if kept and fault is not CUT_AFTER else []
    assert unheard == expected


def test_what_is_in_a_transaction_is_committed_with_its_end(
    proxy: Proxy, marks: psycopg.Connection
) -> None:
    """Of a transaction whose COMMIT got no answer, it is the COMMIT that nobody heard of."""
    unheard: list[str] = []
    done: list[str] = []
    proxy.unheard = lambda session, queries: unheard.extend(queries)
    proxy.done = lambda session, queries: done.extend(queries)
    with connect(proxy) as connection:
        proxy.rule = lambda message: LOSE if message.commits else None
        with pytest.raises(psycopg.OperationalError), connection.transaction():
            insert(connection)
    wait_for(lambda: done == ["COMMIT"], what="the server's answer")
    assert unheard == ["COMMIT"]
    assert count(marks) == 1


def test_a_lost_reply_is_known_to_have_been_done(proxy: Proxy, marks: psycopg.Connection) -> None:
    """The proxy sees, when the client is gone already, that the server has committed."""
    done: list[str] = []
    proxy.done = lambda session, queries: done.extend(queries)
    with connect(proxy) as connection:
        proxy.rule = at("S", "mark", LOSE)
        with pytest.raises(psycopg.OperationalError):
            insert(connection)
    wait_for(lambda: done == ["mark"], what="the server's answer")


@pytest.mark.parametrize("kind", ["stall", "delay"])
def test_a_stalled_wire_goes_on_when_it_is_healed(
    proxy: Proxy, marks: psycopg.Connection, kind: str
) -> None:
    """A message that is held comes late, once, and in its place."""
    with connect(proxy) as connection:
        held: list[Message] = []
        stall = at("E", "mark", Fault(kind=kind, seconds=60))  # type: ignore[arg-type]

        def once(message: Message) -> Fault | None:
            fault = None if held else stall(message)
            if fault is not None:
                held.append(message)
                network_loop.call_later(
                    0.05, lambda: [w.release("server", "client") for w in proxy.wires]
                )
            return fault

        network_loop = next(iter(proxy.wires)).loop
        proxy.rule = once
        insert(connection)
        assert len(held) == 1
        insert(connection)
    assert count(marks) == 2


def test_whoever_comes_is_turned_away_while_it_is_shut(proxy: Proxy, database: str) -> None:
    """A way that is shut resets what there is and what comes, until it is healed."""
    with connect(proxy) as connection:
        proxy.shut()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError):
            connect(proxy)
        proxy.heal()
        with connect(proxy) as again:
            assert again.execute("SELECT 1").fetchone() == (1,)


def test_latency_makes_everything_slower(proxy: Proxy) -> None:
    """Messages are late, and nothing is lost or changes places."""
    proxy.latency = 0.01
    with connect(proxy) as connection:
        for number in range(5):
            assert connection.execute("SELECT %s::int", [number]).fetchone() == (number,)


def test_an_answer_knows_how_many_things_were_given(
    proxy: Proxy, marks: psycopg.Connection
) -> None:
    """
    The elements of an array are counted, prepared or not; and what is said again after an error, or
    on a new wire, is known for what may have been said before.
    """
    seen: list[tuple[int, bool]] = []

    def watch(message: Message) -> None:
        if message.toward == "client" and message.kind == "C" and message.query == "mark":
            seen.append((message.items, message.first))

    proxy.watch = watch
    statement = "-- mark\nINSERT INTO marks SELECT * FROM unnest(%s::text::int[])"
    with connect(proxy) as connection:
        connection.execute(statement, ["{1,2,3}"])
        connection.execute(statement, ["{}"], prepare=True)
        connection.execute(statement, ["{4,5}"], prepare=True)
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT FROM nothing")
        connection.execute(statement, ["{6}"], prepare=True)
    assert seen == [(3, True), (0, False), (2, False), (1, True)]
