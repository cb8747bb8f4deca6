"""A worker's conversation with the database: without waiting, and when that goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from rush.domain import looks
from rush.domain.records import Claim, Outcome
from rush.store.database import connect
from rush.store.wire import Wire
from rush.store.workers import Registration
from rush.worker import reports
from rush.worker.reports import Reply, Reporter, Request
from tests.chaos.proxy import CUT, LOSE, Fault, Message, Network, Proxy
from tests.support.kernel import CHAIN, DIAMOND, Kernel, outcome, shared
from tests.support.waiting import wait_for

__all__ = ["shared"]


class Talk:
    """A reporter of `worker1`, and somebody who turns as its worker would."""

    def __init__(self, kernel: Kernel, url: str, *, patience: float = 20) -> None:
        self.kernel = kernel
        self.me: Registration = kernel.worker("worker1")
        self.woken = threading.Event()

        def wire() -> Wire:
            return Wire(connect(url, application_name="reports"), "rush", patience=patience)

        self.reporter = Reporter(wire, self.me, self.woken.set)
        self.reporter.start()
        # The first of all opens the connection.
        assert self.ask(Request(ask_held=True)).held == []

    def say(self, request: Request) -> bool:
        """Whether it went without the thread."""
        self.reporter.say(request)
        return self.reporter.wire is not None

    def answer(self) -> Reply:
        return wait_for(self.reporter.heard, what="the reply", timeout=30)

    def ask(self, request: Request) -> Reply:
        self.reporter.say(request)
        return self.answer()

    def claim(self, want: int = 1) -> list[Claim]:
        return self.ask(Request(want=want, keep=want, idle=True)).answer.claims

    def report(self, *outcomes: Outcome, want: int = 0) -> Request:
        return Request(outcomes=list(outcomes), want=want, keep=want, idle=True)


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture
def proxy(network: Network, database: str) -> Proxy:
    return network.proxy(database)


@pytest.fixture
def talk(shared: Kernel, proxy: Proxy) -> Iterator[Talk]:
    made = Talk(shared, proxy.url)
    yield made
    made.reporter.stop()


def break_at(proxy: Proxy, query: str, toward: str, fault: Fault) -> None:
    """The fault, at the first message about that statement that goes there."""
    faults = [fault]

    def rule(message: Message) -> Fault | None:
        if faults and (message.query, message.toward) == (query, toward):
            return faults.pop()
        return None

    proxy.rule = rule


def test_what_only_reports_goes_without_the_thread(talk: Talk):
    """Sent, and answered, by whoever says it; nobody is woken for it."""
    talk.kernel.define(CHAIN)
    run = talk.kernel.start()
    (claim,) = talk.claim()
    talk.woken.clear()

    assert talk.say(talk.report(outcome(claim), want=1))
    assert talk.reporter.busy
    reply = talk.answer()

    assert [following.job for following in reply.answer.claims] == ["b"]
    assert reply.compiled[reply.answer.claims[0].job_id].name == "b"
    assert not talk.reporter.busy
    assert not talk.woken.is_set()
    assert talk.kernel.ended(run) == ["a"]


def test_a_job_that_nobody_knows_is_looked_up_by_the_thread(talk: Talk):
    """Sent without it, the reply comes from it, with what the job is."""
    talk.kernel.define(CHAIN)
    talk.kernel.start()

    assert talk.say(Request(want=1, idle=True))
    reply = talk.answer()

    assert talk.woken.is_set()
    (claim,) = reply.answer.claims
    assert reply.compiled[claim.job_id].name == "a"


def test_what_may_come_is_looked_up_before(talk: Talk):
    """A job, and what comes behind it: nobody has to ask when one of them is handed over."""
    talk.kernel.define(CHAIN)
    (a, b, c) = talk.kernel.one("SELECT array_agg(id ORDER BY position) FROM rush.pipeline_job")

    reply = talk.ask(Request(learn={a}))

    assert {job.id: job.name for job in reply.learned} == {a: "a", b: "b", c: "c"}
    assert {job.pipeline for job in reply.learned} == {"p"}
    talk.kernel.start()
    claims = talk.claim()
    assert talk.reporter.known(claims) == reply.compiled
    assert not talk.ask(Request(learn={a})).learned


def test_no_more_is_known_than_there_is_room_for(talk: Talk, monkeypatch: pytest.MonkeyPatch):
    """A worker of years does not keep every version there was; what is spoken of is looked up anew."""
    monkeypatch.setattr(reports, "KNOWN", 2)
    talk.kernel.define(CHAIN)
    talk.kernel.start()
    (first,) = talk.claim()
    talk.kernel.define({"d": []}, name="q")
    talk.kernel.start("q")

    reply = talk.ask(talk.report(outcome(first), want=2))

    claims = reply.answer.claims
    assert sorted(claim.job for claim in claims) == ["b", "d"]
    assert {job.name for job in reply.compiled.values()} == {"b", "c", "d"}


@pytest.mark.parametrize("toward", ["server", "client"])
@pytest.mark.parametrize("fault", [CUT, LOSE], ids=["cut", "lost"])
def test_a_report_whose_answer_is_lost_is_said_again(
    talk: Talk, proxy: Proxy, toward: str, fault: Fault
):
    """Whether it was committed or not, it counts once, and what is held comes to light."""
    talk.kernel.define(CHAIN)
    run = talk.kernel.start()
    (claim,) = talk.claim()
    talk.ask(talk.report(want=0))
    break_at(proxy, "complete", toward, fault)

    assert talk.say(talk.report(outcome(claim), want=1))
    reply = talk.answer()

    assert talk.kernel.ended(run) == ["a"]
    assert reply.overtaken == []
    assert reply.held is not None
    assert [each.job for each in reply.held] == ["b"]
    assert reply.held == talk.kernel.held(talk.me)


def test_an_answer_that_does_not_come_in_time_is_lost(shared: Kernel, proxy: Proxy):
    """The path swallows it: the connection is given up, and the report said again."""
    talk = Talk(shared, proxy.url, patience=2)
    shared.define(CHAIN)
    run = shared.start()
    (claim,) = talk.claim()
    break_at(proxy, "complete", "client", Fault(kind="stall", seconds=3600))

    assert talk.say(talk.report(outcome(claim), want=1))
    assert talk.reporter.due < float("inf")
    reply = talk.answer()

    assert shared.ended(run) == ["a"]
    assert reply.held == shared.held(talk.me)
    talk.reporter.stop()


def test_an_outcome_that_cannot_be_stored_fails_alone(talk: Talk):
    """The attempt whose result is no JSON has failed, with its log; the others of its report are complete."""
    talk.kernel.define({"a": [], "b": []})
    run = talk.kernel.start()
    good, bad = talk.claim(2)

    assert talk.say(talk.report(outcome(good), outcome(bad, result="{", log="its last words")))
    reply = talk.answer()

    assert reply.overtaken == []
    assert talk.kernel.ended(run) == [good.job]
    assert talk.kernel.ended(run, "Failed") == [bad.job]
    assert talk.kernel.one("SELECT log FROM rush.archive WHERE job = %s", bad.job) == (
        "its last words"
    )
    assert talk.say(talk.report(want=1)), "the connection is as good as before"
    talk.answer()


def test_an_outcome_that_another_attempt_has_overtaken_is_told(talk: Talk):
    """Refused, and in no archive: the thread has looked for it."""
    talk.kernel.define(CHAIN)
    talk.kernel.start()
    (claim,) = talk.claim()
    talk.kernel.give_back(talk.me, claim)

    assert talk.say(talk.report(outcome(claim)))
    reply = talk.answer()

    assert [each.claim for each in reply.overtaken] == [claim]
    assert reply.answer.refused == [claim.token]


def test_a_report_that_meets_a_deadlock_is_said_again(talk: Talk, connection: psycopg.Connection):
    """An error that passes: the same connection says the same once more."""
    talk.kernel.define(DIAMOND)
    run = talk.kernel.start()
    (claim,) = talk.claim()
    connection.execute(REFUSE_ONCE)

    assert talk.say(talk.report(outcome(claim)))
    reply = talk.answer()

    assert talk.kernel.ended(run) == ["a"]
    assert reply.held is None
    assert reply.answer.refused == []


#: The first row that is filed meets a deadlock: a sequence is not rolled back.
REFUSE_ONCE = """
    CREATE SEQUENCE met;
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('met') = 1 THEN
            RAISE EXCEPTION 'deadlock' USING ERRCODE = 'deadlock_detected';
        END IF;
        RETURN new;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON rush.finished FOR EACH ROW EXECUTE FUNCTION refuse();
"""


def test_while_held_jobs_may_be_asked_for_nothing_is_known(talk: Talk):
    """What the master hands over then is looked up: the answer may be older than it."""
    talk.kernel.define(CHAIN)
    talk.kernel.start()
    (claim,) = talk.claim()
    assert talk.reporter.known([claim]) is not None

    talk.reporter.say(Request(ask_held=True))
    assert talk.reporter.known([claim]) is None
    assert [each.token for each in talk.answer().held or ()] == [claim.token]
    assert talk.reporter.known([claim]) is not None

    assert talk.say(talk.report(outcome(claim)))
    assert talk.reporter.known([claim]) is not None
    talk.answer()


def test_the_server_may_be_gone_before_anything_is_said(talk: Talk, proxy: Proxy):
    """The connection was ended while nothing was asked: a new one says it."""
    talk.kernel.define(CHAIN)
    run = talk.kernel.start()
    (claim,) = talk.claim()
    proxy.cut()

    reply = talk.ask(talk.report(outcome(claim)))

    assert talk.kernel.ended(run) == ["a"]
    assert reply.held is not None


def test_a_read_only_server_is_left(shared: Kernel, database: str, caplog):
    """After a failover the old primary takes no writes: another connection leads elsewhere."""
    shared.define({"a": []})
    run = shared.start()
    name = shared.one("SELECT current_database()")
    shared.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    talk = Talk(shared, database)
    (claim,) = shared.claim(talk.me)
    talk.say(talk.report(outcome(claim)))
    wait_for(
        lambda: talk.reporter.heard() is None and "read-only" in caplog.text,
        what="the report to be turned away",
    )

    shared.sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")

    assert talk.answer().overtaken == []
    assert shared.ended(run) == ["a"]
    talk.reporter.stop()


def test_where_a_look_at_all_takes_long_what_is_new_is_looked_at(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
):
    """What is held is asked for from a token on, until a look at all is due again."""
    monkeypatch.setattr(looks, "SLOW", 0.0)
    monkeypatch.setattr(looks, "SELDOM", 1e6)
    talk.kernel.define(CHAIN)
    talk.kernel.start()
    talk.kernel.start()
    old, new = sorted(claim.token for claim in talk.claim(2))

    def held(after: int) -> list[int]:
        answer = talk.ask(Request(ask_held=True, held_after=after)).held
        assert answer is not None
        return sorted(claim.token for claim in answer)

    for _ in range(2):  # looks at all, and slow
        assert held(old) == [old, new]
    assert held(old) == [new]

    talk.reporter._hang_up()
    assert held(old) == [old, new]  # a new connection
