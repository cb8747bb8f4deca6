"""Who did what: from the pages, the API, the command line, programs and SQL alike."""

from __future__ import annotations

import getpass

import httpx
import psycopg
import pytest

from rush.client import Client
from rush.domain.deeds import Doer
from rush.errors import NotFoundError
from rush.store import audit
from tests.support.kernel import CHAIN, Kernel


def told(api: httpx.Client, **like: str) -> list[tuple[str, str, str, str]]:
    rows = api.get("/audit", params=like).json()["audit"]
    return [(row["via"], row["action"], row["target"], row["said"]) for row in rows]


def test_what_a_program_does_is_told(kernel: Kernel, database: str, api: httpx.Client) -> None:
    """
    By the user that it runs as, on which machine; what it only asks for by the database's role.
    What was misspelt was nothing.
    """
    kernel.define(CHAIN, "etl")
    with Client(database) as client:
        client.pause("etl", why="month's end")
        with pytest.raises(NotFoundError):
            client.drain("nobody")
        client.submit("etl", params={"api_key": "hush", "day": 1})
    run, pause = api.get("/audit").json()["audit"]
    assert pause["who"].startswith(f"{getpass.getuser()}@")
    assert (pause["via"], pause["why"], pause["said"]) == ("client", "month's end", "done")
    assert (run["via"], run["action"], run["is_request"]) == ("sql", "run", True)
    assert run["said"] == "not decided yet"
    assert run["detail"] == {"params": {"api_key": "•••", "day": 1}}


def test_what_sql_asks_for_is_told_by_its_role(kernel: Kernel, api: httpx.Client) -> None:
    """With what the master has said to it."""
    kernel.define(CHAIN, "etl")
    kernel.sql("INSERT INTO rush.run_request (pipeline) VALUES ('etl'), ('elt')")
    kernel.take()
    role = kernel.one("SELECT session_user")
    rows = {row["target"]: row for row in api.get("/audit").json()["audit"]}
    assert {row["who"] for row in rows.values()} == {role}
    assert rows["etl/1"]["said"] == "accepted"
    assert rows["elt"]["said"].startswith("rejected: ")
    kernel.work(kernel.worker())
    kernel.sql("INSERT INTO rush.run_request (pipeline, job, jobinstance) VALUES ('etl', 'b', 1)")
    kernel.take()
    assert told(api, action="retry") == [("sql", "retry", "etl/1", "accepted")]


def test_a_deed_is_told_once_with_what_became_of_its_requests(
    kernel: Kernel, database: str, api: httpx.Client
) -> None:
    """The requests of a deed are told by the deed."""
    kernel.define(CHAIN, "etl")
    with Client(database, doer=Doer(who="alice@laptop", via="command")) as client:
        with client.deed("run", "etl"):
            client.submit("etl")
        assert told(api) == [("command", "run", "etl", "not decided yet")]
        kernel.take()
        assert told(api) == [("command", "run", "etl", "accepted")]
        with client.deed("run", "etl", why="both"):
            client.submit("etl", jobinstance=1)
            client.submit("etl", jobinstance=9)
        kernel.take()
        kernel.take()
    row, *_ = api.get("/audit", params={"who": "alice@laptop"}).json()["audit"]
    assert (row["rejected"], row["accepted"], row["pending"]) == (1, 1, 0)
    assert row["said"].startswith("rejected: ")
    assert row["said"].endswith(" (1 other accepted)")


def test_a_deed_is_a_part_of_the_caller_s_transaction(kernel: Kernel, database: str) -> None:
    """What is rolled back was not done, and is not told."""
    kernel.define(CHAIN, "etl")
    with psycopg.connect(database) as connection:
        Client(connection).pause("etl")
        connection.rollback()
        assert audit.deeds(kernel.session) == ([], None)
        Client(connection).pause("etl")
        connection.commit()
    (row,), _ = audit.deeds(kernel.session)
    assert (row.action, row.outcome) == ("pause", "done")


def test_pages_of_the_audit_leave_nothing_out(kernel: Kernel, api: httpx.Client) -> None:
    """Deeds and requests, each once, whatever the clock has done between them."""
    kernel.define(CHAIN, "etl")
    for number in range(6):
        kernel.sql(
            "INSERT INTO rush.audit (at, who, via, action, target)"
            " VALUES (now() + (%s %% 3) * interval '1 hour', 'a', 'local', 'pause', %s)",
            number,
            f"deed{number}",
        )
        kernel.sql(
            "INSERT INTO rush.run_request (pipeline, created_at)"
            " VALUES (%s, now() - (%s %% 2) * interval '1 hour')",
            f"request{number}",
            number,
        )
    seen, cursor = [], None
    while True:
        page = api.get(
            "/audit", params={"limit": 5} | ({"cursor": cursor} if cursor else {})
        ).json()
        seen += [row["target"] for row in page["audit"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(f"{kind}{n}" for kind in ("deed", "request") for n in range(6))
    assert api.get("/audit", params={"cursor": "nonsense"}).status_code == 422


def test_the_events_of_a_run_say_who_asked(kernel: Kernel, database: str) -> None:
    """
    By the deed that has made a request, else by the database's role; why, and why not. So too when
    very many have asked for other things since.
    """
    kernel.define(CHAIN, "etl", retry_limit=0)
    with Client(database, doer=Doer(who="alice@laptop", via="command")) as client:
        with client.deed("run", "etl", why="month's end"):
            request = client.submit("etl").request_id
        run = kernel.accepted(request)
        kernel.work(kernel.worker(), failing=["a"])
        with client.deed("retry", "etl/1", why="mended"):
            client.run(run).retry(from_beginning=True)
        kernel.take()
    kernel.work(kernel.worker("worker2"), failing=["a"])
    kernel.sql("INSERT INTO rush.run_request (pipeline, job, jobinstance) VALUES ('etl', 'b', 1)")
    kernel.take()
    role = kernel.one("SELECT session_user")

    events = kernel.session.many("run_events", run_id=run, limit=100, window=0)

    asked = [(each.what, each.job, each.said) for each in reversed(events) if "ask" in each.what]
    assert asked[:2] == [
        ("asked to run", None, "by alice@laptop: month's end"),
        ("asked to run again", None, "by alice@laptop: mended"),
    ]
    (again,) = asked[2:]
    assert again[:2] == ("asked to run again", "b")
    assert again[2].startswith(f"by the database's role {role}")


def test_a_definition_that_changes_nothing_is_no_deed(kernel: Kernel, database: str) -> None:
    """Who applies all files each morning does not fill the audit: only what is new is told."""
    definition = {"jobs": [{"name": "a", "class_name": "jobs.any.Any", "params": {"x": 1}}]}
    truth = {"jobs": [definition["jobs"][0] | {"params": {"x": True}}]}
    with Client(database) as client:
        assert client.apply("etl", definition) == (True, 1)
        assert client.apply("etl", definition) == (False, 1)
        assert client.apply("etl", truth) == (True, 2)
    assert kernel.one("SELECT count(*) FROM rush.audit WHERE action = 'apply'") == 2
