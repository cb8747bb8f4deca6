"""Rush from Python: asking, waiting, reading, also within the caller's own transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from rush import Client, Run
from rush import client as client_module
from rush.domain.states import JobState
from rush.errors import (
    ConfigurationError,
    DatabaseError,
    DefinitionError,
    GaveUpWaiting,
    NotFoundError,
    RefusedError,
    SchemaError,
)
from tests.support.factories import Factories
from tests.support.meanwhile import Meanwhile, doing_meanwhile, pending
from tests.support.waiting import wait_for

SIMPLE = {"jobs": [{"name": "only", "class_name": "jobs.any.Any"}]}


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
        "SELECT pipeline, job, jobinstance, action, params FROM rush.run_request ORDER BY id"
    ).fetchall()


# Asking ---------------------------------------------------------------------------------


def test_a_request_says_what_was_asked_for(client, connection):
    """
    What is submitted stands in the table as it was asked for, and is Pending.
    """
    run = client.submit("etl", job="load", jobinstance=7, params={"day": "2026-11-25", "n": [1]})

    assert requests_in(connection) == [("etl", "load", 7, "start", {"day": "2026-11-25", "n": [1]})]
    assert (run.state, run.id, run.jobinstance) == ("Pending", None, None)
    assert repr(run) == f"<Run request {run.request_id}>"
    assert run.jobs() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pipeline": "a/b"}, 'pipeline "a/b": must hold only letters'),
        ({"job": ""}, 'job "": must not be empty'),
        ({"jobinstance": 0}, "jobinstance must be from 1 to"),
        ({"jobinstance": 2**31}, "jobinstance must be from 1 to"),
        ({"params": {"a": float("nan")}}, "a: must be a number of JSON, not NaN"),
        ({"params": {"a": "\0"}}, r"a: must not hold the character \\u0000"),
        ({"params": {"a": object()}}, "a: must be a value of JSON, not a Python object"),
        ({"params": {"a": "x" * 2**20}}, "must not be larger than 1 MiB"),
        ({"idempotency_key": ""}, "must have 1 to 200 characters, not 0"),
        ({"idempotency_key": "k" * 201}, "must have 1 to 200 characters, not 201"),
        ({"idempotency_key": "\0"}, "must not hold the character"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_it_is_sent(
    client, connection, arguments, message
):
    """
    A name, a number, parameters or a key that cannot be right is an error, and no request is made.
    """
    with pytest.raises(ConfigurationError, match=message):
        client.submit(**{"pipeline": "etl"} | arguments)

    assert requests_in(connection) == []


def test_params_are_measured_alike_by_client_and_table(client):
    """
    What is as large as may be, in characters as PostgreSQL writes it, is taken by both, and not one more.
    """
    room = 1024 * 1024 - len('{"a": ""}')
    client.submit("etl", params={"a": "é" * room})

    with pytest.raises(ConfigurationError, match="params: must not be larger than 1 MiB"):
        client.submit("etl", params={"a": "é" * (room + 1)})


def test_the_same_key_is_the_same_run(client, connection):
    """
    A key that was used for the same request gives the run that was asked for first.
    """
    first = client.submit("etl", params={"a": 1, "b": (2,)}, idempotency_key="k")
    again = client.submit("etl", params={"b": [2], "a": 1}, idempotency_key="k")

    assert again.request_id == first.request_id
    assert len(requests_in(connection)) == 1


def test_the_same_key_after_the_run_began(client, factories):
    """
    A key gives its run though the request has been given a number since.
    """
    factories.pipeline("etl")
    first = client.submit("etl", idempotency_key="k")
    factories.decide(first.request_id, run=factories.run("etl"))

    assert client.submit("etl", idempotency_key="k").name == "etl/1"


@pytest.mark.parametrize(
    "other",
    [{"params": {"a": True}}, {"job": "load"}, {"jobinstance": 3}, {"pipeline": "other"}],
)
def test_a_key_that_stands_for_something_else_is_refused(client, connection, other):
    """
    A key that was used for another request is an error, and asks for nothing.
    """
    asked = {"pipeline": "etl", "params": {"a": 1}}
    client.submit(**asked, idempotency_key="k")

    with pytest.raises(RefusedError, match='the idempotency key "k" was used for something else'):
        client.submit(**asked | other, idempotency_key="k")

    assert len(requests_in(connection)) == 1


def test_a_request_commits_with_the_caller(database, connection):
    """
    In the caller's transaction a request is there when that commits, and gone when it does not.
    """
    with psycopg.connect(database) as own:
        Client(own).submit("rolled_back")
        own.rollback()
        Client(own).submit("kept")
        assert requests_in(connection) == []
        own.commit()

    assert [pipeline for pipeline, *_ in requests_in(connection)] == ["kept"]


def test_what_is_asked_for_often_is_prepared(client, connection):
    """
    In a session of the client's own; nothing is left behind in one of the caller's.
    """
    for asking in (client, Client(connection)):
        for _ in range(10):
            asking.submit("etl")

    prepared = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%run_request%'"
    sessions = client._session.connection, connection
    assert [session.execute(prepared).fetchone()[0] for session in sessions] == [1, 0]


def test_closing_leaves_the_callers_connection_open(connection):
    """
    A client closes no connection but its own.
    """
    with Client(connection):
        pass

    assert not connection.closed


# Waiting --------------------------------------------------------------------------------


def test_waiting_ends_with_the_run(client, factories, meanwhile):
    """
    A run is waited for through its request, until it is Complete, and then it can be read.
    """
    factories.pipeline("etl")
    run = client.submit("etl")

    def master(others: Factories) -> None:
        made = others.run("etl", jobinstance=7)
        others.decide(pending(others), run=made)
        others.attempt(made, "extract")
        others.result(made, "extract", {"rows": 3})
        others.end(made)

    meanwhile(master)

    assert run.wait(timeout=10) is run
    assert (run.state, run.name, run.jobinstance) == ("Complete", "etl/7", 7)
    assert run.result("extract") == {"rows": 3}
    assert [job.state for job in run.jobs()] == [JobState.Complete, None]


def test_a_bell_ends_the_waiting_at_once(client, factories, meanwhile, monkeypatch):
    """
    Who waits is woken by the bell, long before it would have looked by itself.
    """
    monkeypatch.setattr("rush.store.bells.FIRST_PAUSE", 60)
    factories.pipeline("etl")
    made = factories.run("etl")
    run = client.run("etl/1")

    def end(others: Factories) -> None:
        wait_for(
            lambda: others.session.connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rush client'"
                " AND query LIKE '%run_by_id%' AND state = 'idle'"
            ).fetchone()[0],
            what="the client to have looked once",
        )
        others.end(made)
        others.session.notify("rush:runs")

    meanwhile(end)

    began = time.monotonic()
    assert run.wait(timeout=60).state == "Complete"
    assert time.monotonic() < began + 20


def test_a_rejected_request_ends_the_waiting(client, factories):
    """
    The master's reason is what waiting raises, and reading too.
    """
    run = client.submit("etl")
    factories.decide(run.request_id, reason="there is no pipeline etl")

    for read in (run.wait, run.wait, run.read, lambda: run.jobinstance):
        with pytest.raises(RefusedError, match=r"^there is no pipeline etl$"):
            read()
    assert (run.state, run.id) == ("Rejected", None)


def test_a_request_rejected_about_a_run_has_not_become_it(client, factories):
    """
    A request that was refused because of a run does not pass for that run.
    """
    factories.pipeline("etl")
    made = factories.run("etl")
    run = client.submit("etl", jobinstance=1)
    factories.decide(run.request_id, reason="still running")
    factories.session.connection.execute("UPDATE rush.run_request SET run_id = %s", [made.id])

    assert (run.id, run.state) == (None, "Rejected")


@pytest.mark.parametrize("state", ["Stuck", "Cancelled"])
def test_a_run_that_rests_is_not_waited_for(client, factories, state):
    """
    Waiting ends when nothing more happens by itself.
    """
    factories.pipeline("etl")
    factories.run("etl", state=state)

    assert client.run("etl/1").wait(timeout=0).state == state


def test_a_run_being_cancelled_is_waited_for(client, factories):
    """
    A Stuck run that is being cancelled is not at rest yet.
    """
    factories.pipeline("etl")
    factories.run("etl", state="Stuck", cancelling=True)

    with pytest.raises(GaveUpWaiting, match="etl/1 is still Stuck after 0 s"):
        client.run("etl/1").wait(timeout=0)


def test_giving_up_says_what_was_waited_for(client, factories):
    """
    When the time is over, the error says how far it came, and asks for a worker where none took it.
    """
    factories.pipeline("etl")
    factories.run("etl")

    with pytest.raises(GaveUpWaiting, match=r"^etl/1 is still Running after 0.05 s$"):
        client.run("etl/1").wait(timeout=0.05)
    with pytest.raises(GaveUpWaiting, match=r"is still Pending after 0 s; is a worker alive\?$"):
        client.submit("etl").wait(timeout=0)


def test_waiting_in_a_transaction_is_refused(database, factories):
    """
    What nobody sees cannot be waited for; once committed it can, on the same connection.
    """
    factories.pipeline("etl")
    with psycopg.connect(database) as own:
        run = Client(own).submit("etl")
        with pytest.raises(ConfigurationError, match="commit first"):
            run.wait()
        own.commit()
        made = factories.run("etl", state="Complete")
        factories.decide(run.request_id, run=made)

        assert run.wait(timeout=10).state == "Complete"
        assert own.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_the_callers_notifications_stay_the_callers(database, factories):
    """
    Waiting on the caller's connection takes nothing that the caller listens for.
    """
    factories.pipeline("etl")
    factories.run("etl")
    with psycopg.connect(database, autocommit=True) as own:
        own.execute("LISTEN rush_runs")
        own.execute("NOTIFY rush_runs, 'mine'")
        with pytest.raises(GaveUpWaiting):
            Client(own).run("etl/1").wait(timeout=0.05)

        assert [each.payload for each in own.notifies(timeout=1, stop_after=1)] == ["mine"]


# Runs -----------------------------------------------------------------------------------


def test_a_run_is_named_by_id_or_number(client, factories):
    """
    `12`, 12 and `etl/7` lead to a run; what is neither, or leads to none, says so.
    """
    factories.pipeline("etl")
    made = factories.run("etl", jobinstance=7)

    assert {client.run(ref).id for ref in (made.id, str(made.id), "etl/7")} == {made.id}
    for missing in (made.id + 1, "etl/8", "other/7"):
        with pytest.raises(NotFoundError, match=f"there is no run {missing}"):
            client.run(missing)
    for wrong in ("etl", "etl/", "/7", "etl/7/8", "-1", "etl/x", ""):
        with pytest.raises(ConfigurationError, match="a run is named by its id or like etl/7"):
            client.run(wrong)


def test_cancel_and_retry_ask_the_master(client, factories, connection):
    """
    Cancelling and running again are requests about the run, for each of its Stuck jobs.
    """
    factories.pipeline("etl", {"a": [], "b": [], "c": []})
    made = factories.run("etl", state="Stuck", stuck=2)
    for job in "ab":
        factories.job(made, job, state="Stuck")
    run = client.run("etl/1")

    assert run.retry() == ["a", "b"]
    assert run.retry("c") == ["c"]
    assert run.retry(from_beginning=True) == []
    run.cancel()

    assert [(job, number, action) for _, job, number, action, _ in requests_in(connection)] == [
        ("a", 1, "start"),
        ("b", 1, "start"),
        ("c", 1, "start"),
        (None, 1, "start"),
        (None, 1, "cancel"),
    ]
    assert not run.wait_for_verdict(timeout=0)


def test_a_retry_is_waited_for_with_its_verdict(client, factories):
    """
    A Stuck run that was asked to run again is not at rest before the master has answered.
    """
    factories.pipeline("etl")
    made = factories.run("etl", state="Stuck", stuck=1)
    factories.job(made, "extract", state="Stuck")
    run = client.run("etl/1")
    run.retry()

    with pytest.raises(GaveUpWaiting):
        run.wait(timeout=0)
    factories.decide(pending(factories), reason="it is paused")
    with pytest.raises(RefusedError, match=r"^it is paused$"):
        run.wait(timeout=0)
    assert run.wait(timeout=0).state == "Stuck"


def test_a_run_without_stuck_jobs_runs_again_only_when_told_how(client, factories, connection):
    """
    A Complete run does not begin again by mistake, and a job that it does not have is none.
    """
    factories.pipeline("etl")
    factories.run("etl", state="Complete")
    run = client.run("etl/1")

    with pytest.raises(RefusedError, match="etl/1 is Complete and nothing of it is Stuck"):
        run.retry()
    with pytest.raises(NotFoundError, match='etl/1 has no job "lod"; it has extract, load'):
        run.retry("lod")
    assert requests_in(connection) == []


def test_results(client, factories):
    """
    A job's result is what it returned: None where it returned nothing, an error where it has not.
    """
    factories.pipeline("etl")
    made = factories.run("etl")
    factories.attempt(made, "extract")
    run = client.run("etl/1")

    assert run.result("extract") is None
    with pytest.raises(NotFoundError, match="load of etl/1 has no result: it is not begun"):
        run.result("load")
    with pytest.raises(NotFoundError, match='has no job "other"'):
        run.result("other")


def test_logs_are_merged_by_time(client, factories):
    """
    The lines of several attempts come in the order of time, with the further lines of a record in it.
    """
    factories.pipeline("etl")
    made = factories.run("etl")
    factories.log(
        made,
        "extract",
        "2026-11-25T08:00:01.000Z INFO first",
        "2026-11-25T08:00:03.000Z ERROR third",
        "    Traceback",
        "      inner",
        token=2,
    )
    factories.log(made, "load", "2026-11-25T08:00:02.000Z INFO second", token=1, attempt=2)

    lines = list(client.run("etl/1").logs())

    assert [(line.job, line.attempt, line.level, line.text) for line in lines] == [
        ("extract", 1, "INFO", "first"),
        ("load", 2, "INFO", "second"),
        ("extract", 1, "ERROR", "third\nTraceback\n  inner"),
    ]
    assert [line.text for line in client.run("etl/1").logs("load", attempt=2)] == ["second"]


def test_an_attempts_lines_keep_their_order(client, factories):
    """
    Lines of one attempt are never turned round, though its clock was set back between them.
    """
    factories.pipeline("etl")
    made = factories.run("etl")
    factories.log(made, "extract", "2026-11-25T08:00:09.000Z INFO a", token=1, part=0, kept=-2)
    factories.log(made, "extract", "2026-11-25T08:00:01.000Z INFO b", token=1, part=1, kept=-1)

    assert [line.text for line in client.run("etl/1").logs()] == ["a", "b"]


def test_following_gives_each_line_once(client, factories, meanwhile):
    """
    Following goes on until the run has ended: no line is missed, and a part kept twice is told once.
    """
    factories.pipeline("etl")
    made = factories.run("etl")
    heard = threading.Event()

    def job(others: Factories) -> None:
        for part in range(20):
            others.log(made, "extract", f"line {part}", token=7, part=part)
            others.log(made, "extract", f"line {part}", token=7, part=part)
        assert heard.wait(10)
        others.log(made, "load", "last line", token=3)
        others.end(made)

    meanwhile(job)
    texts = []
    for line in client.run("etl/1").logs(follow=True):
        texts.append(line.text)
        heard.set()

    assert texts == [f"line {part}" for part in range(20)] + ["last line"]


# Pipelines ------------------------------------------------------------------------------


def test_pipelines_are_applied_paused_and_listed(client, factories):
    """
    A definition makes a version when it has changed, and a pause shows in the list.
    """
    assert client.apply("etl", SIMPLE) == (True, 1)
    assert client.apply("etl", SIMPLE) == (False, 1)
    client.pause("etl")

    (row,) = client.pipelines()
    assert (row.name, row.version, row.paused) == ("etl", 1, True)

    client.resume("etl")
    client.pause(None)
    assert not client.pipelines()[0].paused
    client.resume(None)
    with pytest.raises(NotFoundError, match='there is no pipeline "other"'):
        client.pause("other")


def test_a_definition_that_cannot_run_is_not_applied(client):
    """
    Every problem of a definition is told, and nothing is stored.
    """
    with pytest.raises(DefinitionError) as caught:
        client.apply("etl", {"jobs": [{"name": "a"}, {"name": "a b", "class_name": "j.A"}]})

    assert len(caught.value.problems) == 2
    assert client.pipelines() == []


def test_workers_are_listed(client, factories):
    """
    The client knows the workers that there are.
    """
    factories.worker("worker1")

    assert [worker.name for worker in client.workers()] == ["worker1"]


# Where there is no Rush ------------------------------------------------------------------


def test_a_database_without_rush_says_what_to_do(empty_database):
    """
    Where the tables are missing, the error says so and names the command that makes them.
    """
    with Client(empty_database) as client, pytest.raises(SchemaError, match="rush db migrate"):
        client.pipelines()


def test_a_closed_client_stays_closed(client):
    """
    Who reads from a client that was closed gets an error, and no connection that nobody closes.
    """
    client.close()

    with pytest.raises(DatabaseError, match="the connection is closed"):
        client.pipelines()


def test_the_public_names_are_the_clients():
    """
    `from rush import Client, Run` gives the classes of this module.
    """
    assert (Client, Run) == (client_module.Client, client_module.Run)
