"""The master's thread: it leads while the election says so, and is not lost by a bad moment."""

from __future__ import annotations

import os
import resource
import select
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from rush.config import Settings
from rush.domain import looks
from rush.domain.records import Handed
from rush.master import master as loop
from rush.master import requests
from rush.master.master import Master
from rush.master.retention import Retention
from rush.master.tasks import Round
from rush.store import pipelines
from rush.store.master_token import TermOver
from rush.store.wire import Wire
from rush.store.workers import Registration
from tests.support.kernel import CHAIN, DIAMOND, Kernel, outcome
from tests.support.waiting import wait_for

FOREVER = float("inf")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A master that does not look every half second whether other workers have died."""
    monkeypatch.setattr(loop, "BURY_EVERY", 60)


@pytest.fixture
def lead(shared: Kernel, database: str) -> Iterator[Callable[..., Master]]:
    """A master that leads in the kernel's term; it steps down at the end."""
    masters: list[Master] = []

    def connect() -> Wire:
        return Wire(psycopg.connect(database, autocommit=True), "rush")

    def lead(
        until: float = FOREVER,
        connect: Callable[[], Wire] = connect,
        bind: Callable[[Master], None] = lambda master: None,
        poll: float = 60,
    ) -> Master:
        master = Master(Settings(poll_interval=poll), connect)
        masters.append(master)
        bind(master)
        master.lead(shared.term, until, time.monotonic())
        return master

    yield lead
    for master in masters:
        master.step_down()
    wait_for(lambda: not threads(), what="the master's thread to end")


class Beside:
    """The worker in the master's process, with room for so many jobs: what it was told."""

    def __init__(self, registration: Registration, room: int) -> None:
        self.registration = registration
        self.room = room
        self.handed: list[Handed] = []
        self.learned: list[int] = []
        self.roused = 0

    def __call__(self, master: Master) -> None:
        master.bind(self.registration, self)

    def ring(self) -> None: ...

    def hand(self, handed: list[Handed]) -> None:
        self.handed += handed

    def reach(self, *, deep: bool) -> int:
        return self.room

    def rouse(self) -> None:
        self.roused += not self.handed

    def learn(self, job_ids: list[int]) -> None:
        self.learned += job_ids


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "master"]


def decided(kernel: Kernel, request: int) -> bool:
    return kernel.verdict(request)[0] == "Accepted"


def test_it_takes_what_is_asked_for_when_it_is_rung(shared: Kernel, lead):
    """
    A request is decided and its jobs are assigned, without a poll interval between them.
    """
    shared.define(CHAIN)
    worker = shared.worker()
    master = lead()

    request = shared.request()
    master.ring()

    wait_for(lambda: decided(shared, request), what="the verdict")
    wait_for(lambda: shared.held(worker), what="the job to be assigned")


def test_it_looks_though_nobody_rings(shared: Kernel, alone, lead):
    """
    Bells are only quicker: without any, what is asked for is found within the poll interval.
    """
    shared.define(CHAIN)
    shared.sql("DROP TRIGGER ring_master ON rush.run_request")
    lead(poll=1)
    wait_for(
        lambda: shared.one(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND state = 'idle'"
            " AND state_change < clock_timestamp() - interval '0.5 seconds'"
        ),
        what="the master to rest",
    )

    request = shared.request()

    wait_for(lambda: decided(shared, request), what="the verdict")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look is slow: what lies before the living is left out for seconds."""
    monkeypatch.setattr(looks, "SLOW", 0.0)
    monkeypatch.setattr(looks, "SELDOM", 1e5)


def test_a_request_is_decided_however_late_it_was_committed(shared: Kernel, alone, slow, lead):
    """
    Where looks are slow they begin where requests are not yet decided; now and then one goes over
    all, for a number that was given long before its commit.
    """
    shared.define(CHAIN)
    lead()
    shared.sql("SELECT setval(pg_get_serial_sequence('rush.run_request', 'id'), 5000)")
    for _ in range(4):
        # Each in a round of its own: two of them are looked back on before the last begins.
        request = shared.request()
        wait_for(lambda: decided(shared, request), what="the first verdicts")  # noqa: B023

    shared.sql("INSERT INTO rush.run_request (id, pipeline) VALUES (10, 'p')")
    request = shared.request()

    wait_for(lambda: decided(shared, request), what="the next verdict")
    wait_for(lambda: decided(shared, 10), what="the verdict about the late one")


def test_what_is_finished_is_released_however_late_it_was_committed(
    shared: Kernel, alone, slow, lead
):
    """The same for what workers have left to the master."""
    shared.define(DIAMOND)
    worker = shared.worker()
    run = shared.start()
    (a,) = shared.running(worker)
    shared.sql("SELECT setval(pg_get_serial_sequence('rush.finished', 'id'), 5000)")
    shared.report(worker, outcome(a))
    master = lead()
    wait_for(lambda: len(shared.held(worker)) == 2, what="the successors to be assigned")
    b, c = sorted(shared.held(worker), key=lambda claim: claim.job)

    shared.sql("SELECT setval(pg_get_serial_sequence('rush.finished', 'id'), 10)")
    shared.report(worker, outcome(b), outcome(c))
    master.ring()

    wait_for(lambda: shared.live(run) == {"d": "Ready"}, what="the join")


def test_what_is_ready_in_the_gap_is_handed_out(shared: Kernel, alone, slow, lead):
    """What comes to stand in line before where all were over, and without a bell."""
    shared.define(CHAIN, queue="new")
    run = shared.start()
    shared.worker()
    master = lead()
    shared.sql("UPDATE rush.run_state SET turn = 0")
    worker = shared.worker("late", queues=("new",))
    master.ring()

    wait_for(lambda: shared.held(worker), what="the job to be assigned")
    assert shared.live(run) == {"a": "Ready"}


def test_queues_that_are_new_are_served_with_the_next_request(
    shared: Kernel, alone, lead, monkeypatch: pytest.MonkeyPatch
):
    """
    A worker that came after the last look has queues of its own.
    """
    looked = threading.Event()
    monkeypatch.setattr(Retention, "keep_up", lambda self, round: looked.set())
    shared.define(CHAIN, queue="new")
    lead()
    assert looked.wait(10)
    worker = shared.worker(queues=("new",))

    request = shared.request()

    wait_for(lambda: decided(shared, request), what="the verdict")
    wait_for(lambda: shared.held(worker), what="the job to be assigned")


def test_what_an_old_term_has_sent_comes_to_nothing(shared: Kernel, database: str):
    """
    Fence, statements and commit travel together, and the fence fails for all of them. The session
    is as good as before.
    """
    shared.define(CHAIN)
    worker = shared.worker()
    shared.request()
    with psycopg.connect(database, autocommit=True) as connection:
        wire = Wire(connection, "rush")

        old = Round(session=wire, term=shared.term - 1, own=worker, room=5)
        with pytest.raises(TermOver):
            requests.admit(old)
        assert (old.handed, shared.one("SELECT count(*) FROM rush.run")) == ([], 0)

        present = Round(session=wire, term=shared.term, own=worker, room=5)
        assert requests.admit(present)
        assert [each.claim for each in present.handed] == shared.held(worker)


@pytest.mark.parametrize("room", [0, 1], ids=["assigned", "with its run"])
def test_workers_are_told_whatever_becomes_of_the_rest_of_the_round(
    shared: Kernel, alone, lead, monkeypatch: pytest.MonkeyPatch, room: int
):
    """
    What has been handed out is told before a later task can fail, or take long.
    """

    def keep_up(self: Retention, round: Round) -> None:
        raise ValueError("what nobody thought of")

    monkeypatch.setattr(Retention, "keep_up", keep_up)
    shared.define(CHAIN)
    worker = shared.worker()
    shared.request()
    beside = Beside(worker, room)

    lead(bind=beside)

    wait_for(lambda: beside.handed, what="the worker to be told")
    assert [each.claim for each in beside.handed] == shared.held(worker)
    # It was told before that it might be.
    assert beside.roused


def test_its_worker_learns_what_was_compiled(shared: Kernel, alone, lead):
    """Its first run is begun sooner; not where so many come at once that most may wait for long."""
    definition = {"jobs": [{"name": "a", "class_name": "x.Y"}, {"name": "b", "class_name": "x.Y"}]}
    beside = Beside(shared.worker(), room=0)
    master = lead(bind=beside)

    pipelines.apply(shared.session, "one", definition)
    wait_for(lambda: beside.learned, what="the worker to be told")
    assert beside.learned == [shared.one("SELECT id FROM rush.pipeline_job WHERE name = 'a'")]

    with shared.session.transaction():
        for number in range(loop.LEARNT_AT_ONCE + 1):
            pipelines.apply(shared.session, f"p{number}", definition)
    master.ring()
    wait_for(
        lambda: (
            not shared.one("SELECT count(*) FROM rush.pipeline_version WHERE compiled_at IS NULL")
        ),
        what="them to be compiled",
    )
    assert len(beside.learned) == 1


def test_runs_are_made_as_fast_as_the_only_worker_takes_them(
    shared: Kernel, alone, lead, monkeypatch: pytest.MonkeyPatch
):
    """
    With many requests and one worker that takes short jobs far ahead, no more runs are made than
    it has room for, until it rings; all of them are handed to it.
    """
    monkeypatch.setattr(loop, "FILLED_PAUSE", 60)
    shared.define({"a": []})
    worker = shared.worker()
    shared.sql("DELETE FROM rush.worker WHERE name <> %s", worker.name)
    for _ in range(250):
        shared.request()
    beside = Beside(worker, room=100)
    told = beside.handed

    master = lead(bind=beside)
    wait_for(lambda: master.wants_room < float("inf"), what="the master to wait for room")
    assert (len(told), shared.one("SELECT count(*) FROM rush.run")) == (100, 100)

    beside.room = 1000
    master.ring()

    wait_for(lambda: len(told) == 250, what="the rest")
    assert [each.claim.key for each in told] == sorted(each.claim.key for each in told)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """As many files are open as a worker with two hundred runners has."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 2048), limits[1]))
    null = os.open(os.devnull, os.O_RDONLY)
    opened = [os.dup(null) for _ in range(1100)]
    yield
    for descriptor in [null, *opened]:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_it_hears_on_whatever_descriptor_it_listens(shared: Kernel, many_descriptors, lead):
    """
    A request is decided when it rings, though its session's descriptor is a large number.
    """
    shared.define(CHAIN)
    lead()

    first = shared.request()
    wait_for(lambda: decided(shared, first), what="the verdict")
    second = shared.request()
    wait_for(lambda: decided(shared, second), what="the next verdict")


def test_trust_that_comes_back_late_finds_the_thread_still_there(shared: Kernel, lead):
    """
    While the term is not trusted nothing is done; a renewal that is confirmed late ends that.
    """
    shared.define(CHAIN)
    request = shared.request()

    master = lead(until=time.monotonic() - 1)
    for _ in range(2):
        # Heard the second time, it has done all that it would do for the first.
        master.ring()
        wait_for(lambda: not select.select([master._wake_reading], [], [], 0)[0], what="its turn")
    assert shared.verdict(request)[0] == "Pending"
    master.trust(FOREVER)

    wait_for(lambda: decided(shared, request), what="the verdict")


def test_an_error_that_nobody_thought_of_does_not_end_it(shared: Kernel, lead, database: str):
    """
    The election would go on renewing the term of a master that does nothing: so it goes on.
    """
    shared.define(CHAIN)
    request = shared.request()
    errors = [ValueError("what nobody thought of"), OSError("no route to host")]

    def connect() -> Wire:
        if errors:
            raise errors.pop()
        return Wire(psycopg.connect(database, autocommit=True), "rush")

    lead(connect=connect)

    wait_for(lambda: decided(shared, request), what="the verdict")


def test_it_ends_when_it_steps_down(shared: Kernel, lead):
    """
    Once the election says so the thread ends, and decides nothing more.
    """
    shared.define(CHAIN)
    lead().step_down()
    wait_for(lambda: not threads(), what="the thread to end")

    request = shared.request()

    assert shared.verdict(request)[0] == "Pending"


def test_it_ends_when_it_steps_down_as_it_listens(
    shared: Kernel, lead, monkeypatch: pytest.MonkeyPatch
):
    """
    The bell that tells it so is not lost, though a round begins at that very moment.
    """
    silence = Master._silence

    def step_down_first(master: Master, session: Wire | None) -> None:
        master.step_down()
        silence(master, session)

    monkeypatch.setattr(Master, "_silence", step_down_first)

    lead()

    wait_for(lambda: not threads(), what="the thread to end")


def test_it_ends_when_there_is_a_newer_term(shared: Kernel, lead):
    """
    A master that the election has not told of a newer term learns of it by the fence.
    """
    shared.define(CHAIN)
    shared.sql("UPDATE rush.master_token SET term = term + 1")
    request = shared.request()

    lead().ring()
    wait_for(lambda: not threads(), what="the thread to end")

    assert shared.verdict(request)[0] == "Pending"
