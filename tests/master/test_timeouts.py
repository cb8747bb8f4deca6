"""What has taken too long, and what was with workers that have died."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest

from rush.master.timeouts import Timeouts
from rush.store import workers
from rush.store.workers import Registration
from tests.support.kernel import CHAIN, POISON_LIMIT, Kernel, outcome
from tests.support.waiting import wait_for


def test_the_overdue_fail_once(kernel: Kernel, worker):
    """
    A job fails when its deadline and the grace are over, once, and not before.
    """
    kernel.define(CHAIN, timeout_minutes=1)
    run = kernel.start()
    kernel.running(worker)

    assert kernel.fail_overdue(after=60, grace=5) == []
    assert kernel.fail_overdue(after=64, grace=5) == []
    assert len(kernel.fail_overdue(after=66, grace=5)) == 1
    assert kernel.fail_overdue(after=66, grace=5) == []

    assert kernel.live(run) == {"a": "Failed"}
    (over,) = kernel.sql("SELECT * FROM rush.archive")
    assert (over.state, over.reason, over.worker) == ("Failed", "timeout", "worker1")
    assert over.error == (
        "still running at its deadline, 00:01:00 after its start, and worker1 has not reported it"
    )


def test_a_deadline_counts_from_the_start_not_from_the_telling(kernel: Kernel, worker):
    """
    A job that had run for a while when it was marked is due that much earlier.
    """
    kernel.define(CHAIN, timeout_minutes=1)
    kernel.start()
    kernel.begin(worker, *kernel.claim(worker), ago=30)

    assert kernel.fail_overdue(after=34, grace=5) == []
    assert len(kernel.fail_overdue(after=36, grace=5)) == 1


def test_what_has_not_begun_has_no_deadline(kernel: Kernel, worker):
    """
    A job that is handed out and not begun is never overdue.
    """
    kernel.define(CHAIN, timeout_minutes=1)
    kernel.start()
    kernel.claim(worker)

    assert kernel.fail_overdue(after=1e6) == []


def test_a_report_after_the_deadline_is_refused(kernel: Kernel, worker):
    """
    What its worker says about a job that was failed for it changes nothing.
    """
    kernel.define(CHAIN, timeout_minutes=1)
    run = kernel.start()
    (claim,) = kernel.running(worker)
    kernel.fail_overdue(after=120)

    assert kernel.complete(worker, claim).refused == [claim.token]
    assert kernel.live(run) == {"a": "Failed"}


def test_what_a_dead_worker_had_begun_has_failed(kernel: Kernel, worker):
    """
    A running job whose worker dies is Failed as lost: an attempt that counts.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    kernel.running(worker)

    kernel.bury(worker)

    lost = kernel.job(run, "a")
    assert (lost.state, lost.attempt, lost.losses, lost.worker) == ("Failed", 1, 1, None)
    (over,) = kernel.sql("SELECT * FROM rush.archive")
    assert (over.state, over.reason, over.attempt, over.worker) == ("Failed", "lost", 1, "worker1")


def test_what_a_dead_worker_had_not_begun_goes_to_others(kernel: Kernel, worker):
    """
    A job that was handed out and not begun is Ready again; no attempt is counted.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    kernel.claim(worker)

    kernel.bury(worker)

    ready = kernel.job(run, "a")
    assert (ready.state, ready.attempt, ready.losses, ready.worker) == ("Ready", 0, 1, None)
    assert kernel.archive(run) == []
    (claim,) = kernel.claim(kernel.worker("worker2"))
    assert (claim.attempt, claim.given_back) == (0, True)


def test_it_waits_when_its_pipeline_is_paused(kernel: Kernel, worker):
    """
    What a dead worker leaves in a paused pipeline is not handed out before that goes on.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    kernel.claim(worker)
    kernel.pause("p")

    kernel.bury(worker)
    assert kernel.live(run) == {"a": "Waiting"}
    assert kernel.wake(after=1e6) == 0

    kernel.pause("p", False)
    kernel.wake()
    assert kernel.live(run) == {"a": "Ready"}


def test_nobody_inherits_from_the_living(kernel: Kernel, worker):
    """
    What a live worker holds, draining or not, stays with it.
    """
    kernel.define({"a": [], "b": []})
    kernel.start()
    kernel.running(worker, 1)
    kernel.claim(worker)
    workers.drain(kernel.session, worker.name)

    assert kernel.inherit() == []
    assert len(kernel.held(worker)) == 2


def test_what_belongs_to_no_worker_at_all_is_inherited(kernel: Kernel, worker):
    """
    Jobs whose holder has left the table, or was never in it, go to others.
    """
    kernel.define({"a": [], "b": []})
    run = kernel.start()
    kernel.running(worker, 1)
    kernel.claim(worker)

    workers.leave(kernel.session, worker)
    kernel.inherit()

    assert sorted(kernel.live(run).values()) == ["Failed", "Ready"]


def test_a_new_registration_does_not_hold_what_the_old_one_held(kernel: Kernel, worker):
    """
    A worker that registers anew under its name finds its former jobs lost, not its own.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    kernel.running(worker)
    again = kernel.worker(worker.name)

    assert again.generation > worker.generation
    assert kernel.held(again) == []
    kernel.inherit()
    assert kernel.live(run) == {"a": "Failed"}


def test_a_worker_whose_lease_is_over_is_dead(kernel: Kernel):
    """
    The lease is judged by the database's clock, and only where leases are judged.
    """
    worker = kernel.worker(lease=15)
    session = kernel.session

    assert workers.declare_dead(session, [], now=kernel.later(14)) == []
    assert workers.declare_dead(session, [], leases=False, now=kernel.later(16)) == []
    assert workers.declare_dead(session, [], now=kernel.later(16)) == [worker.name]
    assert workers.heartbeat(session, worker, lease=15, progress={}) is None


def test_a_named_registration_is_not_confused_with_its_successor(kernel: Kernel, worker):
    """
    A death that is declared of an earlier generation does not kill the present one.
    """
    again = kernel.worker(worker.name)

    kernel.bury(worker)

    assert workers.heartbeat(kernel.session, again, lease=15, progress={}) is not None


def test_a_resumed_worker_changes_nothing(kernel: Kernel, worker):
    """
    Whatever a worker says that was declared dead while it was frozen, nothing comes of it.
    """
    kernel.define({"a": [], "b": [], "c": []}, retry_limit=5, retry_gap_minutes=0)
    run = kernel.start()
    a, b, c = kernel.claim(worker, 3)
    kernel.begin(worker, a, b)
    kernel.bury(worker)
    kernel.retry()
    kernel.wake()
    before = kernel.sql("SELECT * FROM rush.run_state ORDER BY job")

    kernel.begin(worker, c)
    answer = kernel.report(worker, outcome(a), outcome(b, "Failed"), want=3)
    assert sorted(answer.refused) == sorted([a.token, b.token])
    assert answer.claims == []
    assert kernel.give_back(worker, c) == 0
    assert not kernel.complete_within(worker, c)

    assert kernel.sql("SELECT * FROM rush.run_state ORDER BY job") == before
    assert kernel.archive(run) == [(job, 1, 1, "Failed") for job in sorted([a.key.job, b.key.job])]


def test_it_changes_nothing_when_others_have_gone_on(kernel: Kernel, worker):
    """
    Nor does it when the same worker, under a new generation, runs the same job by now.
    """
    kernel.define(CHAIN, retry_limit=5, retry_gap_minutes=0)
    run = kernel.start()
    (old,) = kernel.running(worker)
    kernel.bury(worker)
    kernel.retry()
    kernel.wake()
    again = kernel.worker(worker.name)
    (new,) = kernel.running(again)

    assert kernel.complete(worker, old).refused == [old.token]
    assert kernel.complete(again, old).refused == [old.token]
    assert kernel.live(run) == {"a": "Running"}
    assert kernel.complete(again, new).refused == []


def test_a_completion_that_is_under_way_wins_over_a_death(shared: Kernel, database: str):
    """
    A job's own transaction that commits after its worker was declared dead has happened.
    """
    shared.define({"a": []})
    worker = shared.worker()
    run = shared.start()
    (claim,) = shared.running(worker)
    with psycopg.connect(database) as connection:
        assert shared.seen_from(connection).complete_within(worker, claim)
        assert shared.bury(worker) == []

    assert shared.inherit() == []
    shared.release()
    assert shared.state(run) == "Complete"
    assert shared.archive(run) == [("a", 1, 1, "Complete")]


def test_a_death_waits_for_a_report_that_is_under_way(shared: Kernel, database: str):
    """
    What a worker is just reporting counts, and nothing of it is inherited: the declaration of its
    death comes after the report, or before it.
    """
    shared.define(CHAIN)
    worker = shared.worker()
    run = shared.start()
    (a,) = shared.running(worker)
    pid = shared.session.connection.info.backend_pid
    with (
        psycopg.connect(database) as connection,
        psycopg.connect(database, autocommit=True) as onlooker,
        ThreadPoolExecutor(1) as threads,
    ):
        (b,) = shared.seen_from(connection).complete(worker, a, want=1).claims
        buried = threads.submit(shared.bury, worker)
        wait_for(
            lambda: (
                onlooker.execute(
                    "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'",
                    [pid],
                ).rowcount
                or buried.done()
            ),
            what="the declaration to wait",
        )
        assert not buried.done()
        connection.commit()
        inherited = buried.result(timeout=10)

    assert [(row.job, row.state) for row in inherited] == [("b", "Ready")]
    assert shared.archive(run) == [("a", 1, 1, "Complete")]
    assert shared.complete(worker, b).refused == [b.token]


# The early sign ---------------------------------------------------------------------------


@pytest.fixture
def enter(shared: Kernel, database: str) -> Iterator[Callable[[str], Leaving]]:
    """Registers workers, each on a connection of its own."""
    with ExitStack() as stack:

        def enter(name: str) -> Leaving:
            connection = stack.enter_context(psycopg.connect(database, autocommit=True))
            worker = shared.seen_from(connection).worker(name)
            return Leaving(shared, connection, worker)

        yield enter


class Leaving:
    def __init__(
        self, kernel: Kernel, connection: psycopg.Connection, worker: Registration
    ) -> None:
        self.kernel = kernel
        self.connection = connection
        self.worker = worker

    def vanish(self) -> None:
        """The session ends, and the server knows."""
        self.connection.close()
        key = (self.worker.name, self.worker.generation)
        wait_for(
            lambda: key in workers.sessions_gone(self.kernel.session),
            what="the session to be gone",
        )

    @property
    def state(self) -> str:
        return self.kernel.one("SELECT state FROM rush.worker WHERE name = %s", self.worker.name)


def prompt(*, gone_for: float = 0, outage_grace: float = 0) -> Timeouts:
    """The task of a master that has just begun, and waits for nothing unless told to."""
    return Timeouts(
        grace=5, poison_limit=POISON_LIMIT, gone_for=gone_for, outage_grace=outage_grace
    )


def test_a_worker_whose_session_is_gone_is_dead(shared: Kernel, enter):
    """
    A session's end is believed when the worker is alone with it, after a while; what it held goes on.
    """
    shared.define({"a": []})
    run = shared.start()
    lost = enter("lost")
    shared.running(lost.worker)
    lost.vanish()

    prompt(gone_for=3600).bury(shared.round())
    assert (lost.state, shared.live(run)) == ("Alive", {"a": "Running"})
    prompt().bury(shared.round())
    assert (lost.state, shared.live(run)) == ("Dead", {"a": "Failed"})


def test_workers_that_vanish_together_are_not_believed_dead(shared: Kernel, enter):
    """
    It was the net, or the server: also the last of them that comes back is waited for.
    """
    timeouts = prompt()
    one, two = enter("one"), enter("two")
    one.vanish()
    two.vanish()

    timeouts.bury(shared.round())
    assert (one.state, two.state) == ("Alive", "Alive")
    workers.note_session(shared.session, one.worker)
    timeouts.bury(shared.round())
    assert (one.state, two.state) == ("Alive", "Alive")

    # Once it was back, its next end is a sign again.
    workers.note_session(shared.session, two.worker)
    timeouts.bury(shared.round())
    again = enter("two")
    again.vanish()
    timeouts.bury(shared.round())
    assert (one.state, again.state) == ("Alive", "Dead")


def test_nobody_is_judged_soon_after_the_server_began(shared: Kernel, enter):
    """
    After a restart of the server neither sessions nor leases say anything for a while.
    """
    lost = enter("lost")
    lost.vanish()
    shared.sql("UPDATE rush.worker SET lease_expires_at = 'epoch' WHERE name = 'lost'")

    prompt(outage_grace=1e9).bury(shared.round())

    assert lost.state == "Alive"


def test_leases_are_not_judged_soon_after_the_master_began(shared: Kernel, enter):
    """
    A new master gives those who may have been cut off with the old one time to renew.
    """
    late = enter("late")
    shared.sql("UPDATE rush.worker SET lease_expires_at = 'epoch' WHERE name = 'late'")
    server_up = workers.workers_alive(shared.session).server_up.total_seconds()

    prompt(outage_grace=server_up / 2).bury(shared.round())
    assert late.state == "Alive"
    prompt().bury(shared.round())
    assert late.state == "Dead"


def test_leases_are_not_judged_after_a_look_that_took_long(shared: Kernel, enter):
    """
    A master that could not look, since a table was locked, gives all others time to renew.
    """
    late = enter("late")
    server_up = workers.workers_alive(shared.session).server_up.total_seconds()
    timeouts = prompt(outage_grace=server_up / 2)
    settled = timeouts._since - server_up
    timeouts._since = settled
    timeouts.bury(shared.round())
    assert timeouts._since == settled
    shared.sql("UPDATE rush.worker SET lease_expires_at = 'epoch' WHERE name = 'late'")

    timeouts._looked_at -= 60
    timeouts.bury(shared.round())
    assert late.state == "Alive"

    timeouts._since = settled
    timeouts.bury(shared.round())
    assert late.state == "Dead"
