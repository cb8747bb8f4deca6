"""A worker's conversation, when answers are lost and servers change."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from rush.store.wire import Wire
from rush.store.workers import Registration
from rush.worker.reports import Reply, Reporter, Request
from tests.support.kernel import Kernel, outcome, shared
from tests.support.waiting import wait_for

__all__ = ["shared"]


class Speaker:
    """Says something and waits for the reply."""

    def __init__(self, database: str, registration: Registration) -> None:
        self._database = database
        self.wires: list[Wire] = []
        self.reporter = Reporter(self._connect, registration, lambda: None)
        self.reporter.start()

    def _connect(self) -> Wire:
        self.wires.append(Wire(psycopg.connect(self._database, autocommit=True), "rush"))
        return self.wires[-1]

    def hear(self) -> Reply:
        reply = wait_for(self.reporter.heard, what="the reply")
        assert reply is not None
        return reply

    def ask(self, request: Request) -> Reply:
        self.reporter.say(request)
        return self.hear()


@pytest.fixture
def speaker(database: str) -> Iterator[Callable[[Registration], Speaker]]:
    speakers: list[Speaker] = []

    def speaker(registration: Registration) -> Speaker:
        speakers.append(Speaker(database, registration))
        return speakers[-1]

    yield speaker
    for made in speakers:
        made.reporter.stop()
        for wire in made.wires:
            wire.connection.close()


def test_what_had_been_committed_is_not_called_overtaken(shared: Kernel, speaker):
    """
    A report that is refused because it had been heard is none that came too late: the archive tells.
    """
    shared.define({"a": [], "b": []})
    worker = shared.worker()
    shared.start()
    heard, late = shared.claim(worker, 2)
    shared.complete(worker, heard)
    shared.give_back(worker, late)

    reply = speaker(worker).ask(Request(outcomes=[outcome(heard), outcome(late)]))

    assert sorted(reply.answer.refused) == sorted([heard.token, late.token])
    assert [each.claim for each in reply.overtaken] == [late]


def test_a_new_connection_asks_what_is_held(shared: Kernel, speaker):
    """
    A claim that was committed and not heard of comes to light with the next connection.
    """
    shared.define({"a": []})
    worker = shared.worker()
    talk = speaker(worker)
    assert talk.ask(Request(want=1)).answer.claims == []
    shared.start()
    (claim,) = shared.claim(worker)
    assert talk.ask(Request(want=1)).held is None

    pid = talk.wires[-1].connection.info.backend_pid
    shared.sql("SELECT pg_terminate_backend(%s, 10000)", pid)

    assert talk.ask(Request(want=1)).held == [claim]


def test_a_read_only_server_is_left(shared: Kernel, speaker, caplog: pytest.LogCaptureFixture):
    """
    After a failover the old primary takes no writes: the report is made on another connection.
    """
    shared.define({"a": []})
    worker = shared.worker()
    run = shared.start()
    (claim,) = shared.claim(worker)
    name = shared.one("SELECT current_database()")
    shared.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    talk = speaker(worker)
    talk.reporter.say(Request(outcomes=[outcome(claim)]))
    wait_for(lambda: "read-only" in caplog.text, what="the report to be turned away")

    shared.sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")

    assert talk.hear().overtaken == []
    assert len(talk.wires) > 1
    assert shared.archive(run) == [("a", 1, 1, "Complete")]
