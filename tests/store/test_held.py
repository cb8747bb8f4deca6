"""What a worker says about the jobs it holds: heard once, from their holder alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from rush.domain.records import Claim, Key
from rush.store import held, workers
from rush.store.workers import Registration
from tests.support.kernel import (
    CHAIN,
    DIAMOND,
    Kernel,
    kernel,
    one_database,
    outcome,
    shared,
    worker,
)

__all__ = ["kernel", "one_database", "shared", "worker"]


def everything(kernel: Kernel) -> list[Any]:
    """All that a report could change."""
    tables = {
        "run_state": "run_id, job, round",
        "run": "id",
        "finished": "id",
        "archive": "run_id, job, attempt",
        "result": "run_id, job",
        "log": "token, part",
    }
    return [
        kernel.sql(f"SELECT * FROM rush.{table} ORDER BY {order}")
        for table, order in tables.items()
    ]


def test_a_report_is_heard_once(kernel: Kernel, worker):
    """
    Said again, because its answer was lost, a report is refused and changes nothing; its
    archive row tells that it was heard.
    """
    kernel.define(CHAIN)
    kernel.start()
    (claim,) = kernel.running(worker)
    said = outcome(claim, result='{"rows": 1}', log="line")
    assert kernel.report(worker, said).refused == []
    before = everything(kernel)

    again = kernel.report(worker, said)

    assert again.refused == [claim.token]
    assert (again.left, again.ended) == (0, 0)
    assert everything(kernel) == before
    assert held.archived(kernel.session, [claim]) == {claim.token}


def test_a_failure_is_heard_once(kernel: Kernel, worker):
    """
    A failure said twice is one attempt.
    """
    kernel.define(CHAIN)
    kernel.start()
    (claim,) = kernel.running(worker)
    said = outcome(claim, "Failed", traceback="Traceback …")
    kernel.report(worker, said)
    before = everything(kernel)

    assert kernel.report(worker, said).refused == [claim.token]
    assert everything(kernel) == before
    assert held.archived(kernel.session, [claim]) == {claim.token}


def others_words(
    kernel: Kernel, who: Registration, claim: Claim
) -> list[tuple[Registration, Claim]]:
    """The claim with each part of its fence wrong in turn."""
    return [
        (who, claim._replace(token=claim.token + 1)),
        (who, claim._replace(claim_id=claim.claim_id + 1)),
        (who, claim._replace(round=claim.round + 1)),
        (who, claim._replace(item=claim.item + 1)),
        (replace(who, generation=who.generation + 1), claim),
        (replace(who, generation=who.generation - 1), claim),
        (kernel.worker("another"), claim),
    ]


@pytest.mark.parametrize("part", range(7))
@pytest.mark.parametrize("begun", [False, True], ids=["handed out", "running"])
def test_every_part_of_the_fence_counts(kernel: Kernel, worker, begun: bool, part: int):
    """
    Whoever names another token, claim, round, item, generation or worker changes nothing.
    """
    kernel.define(CHAIN)
    kernel.start()
    (claim,) = kernel.claim(worker)
    if begun:
        kernel.begin(worker, claim)
    who, wrong = others_words(kernel, worker, claim)[part]
    before = everything(kernel)

    for state in ("Complete", "Failed", "Cancelled"):
        answer = kernel.report(who, outcome(wrong, state, result="1", log="line"))
        assert answer.refused == [wrong.token]
    kernel.begin(who, wrong)
    assert kernel.give_back(who, wrong) == 0
    assert not kernel.complete_within(who, wrong)
    if wrong.claim_id == claim.claim_id:
        kernel.append_log(who, wrong, "line")

    assert everything(kernel) == before
    assert held.archived(kernel.session, [wrong]) == set()
    assert kernel.complete(worker, claim).refused == []


def test_a_new_registration_does_not_speak_for_the_old_one(kernel: Kernel, worker):
    """
    A worker that has registered anew says nothing about what its earlier self still holds: that
    is lost, and goes to others.
    """
    kernel.define({"a": [], "b": []})
    kernel.start()
    begun, other = kernel.claim(worker, 2)
    kernel.begin(worker, begun)
    again = kernel.worker(worker.name)
    before = everything(kernel)

    for claim in (begun, other):
        for state in ("Complete", "Failed", "Cancelled"):
            assert kernel.report(again, outcome(claim, state)).refused == [claim.token]
        kernel.begin(again, claim)
        assert kernel.give_back(again, claim) == 0
        assert not kernel.complete_within(again, claim)
        kernel.append_log(again, claim, "line")

    assert everything(kernel) == before


def test_an_old_registration_claims_nothing(kernel: Kernel, worker):
    """
    Whoever has been followed by another under the same name gets no jobs any more.
    """
    kernel.define({"a": []})
    kernel.start()
    again = kernel.worker(worker.name)

    assert kernel.claim(worker) == []
    assert len(kernel.claim(again)) == 1


def test_of_a_batch_only_what_is_wrong_is_refused(kernel: Kernel, worker):
    """
    A report with stale outcomes among good ones is heard for the good ones.
    """
    kernel.define({"a": [], "b": [], "c": []})
    run = kernel.start()
    a, b, c = kernel.running(worker, 3)
    kernel.complete(worker, b)

    answer = kernel.complete(worker, a, b, c)

    assert answer.refused == [b.token]
    assert answer.left == 2
    assert kernel.ended(run) == ["a", "b", "c"]


def test_without_outcomes_a_report_is_a_claim(kernel: Kernel, worker):
    """
    A worker claims what it wants and no more, and holds it then.
    """
    kernel.define({name: [] for name in "abcde"})
    kernel.start(params={"x": 1})
    kernel.sql("INSERT INTO rush.job_parameter VALUES ('p', '*', 'y', '2'), ('p', 'a', 'y', '3')")

    claims = kernel.claim(worker, 3)

    assert len(claims) == 3
    assert sorted(kernel.held(worker), key=by_token) == sorted(claims, key=by_token)
    for claim in [*claims, *kernel.claim(worker, 9)]:
        assert json.loads(claim.params or "") == {"x": 1}
        assert claim.job_params == {"y": "3" if claim.key.job == "a" else "2"}


def by_token(claim: Claim) -> int:
    return claim.token


def test_what_others_hold_is_not_claimed(kernel: Kernel, worker):
    """
    Two workers never hold the same job.
    """
    kernel.define({"a": [], "b": [], "c": []})
    kernel.start()
    other = kernel.worker("worker2")

    mine, theirs = kernel.claim(worker, 2), kernel.claim(other, 9)

    assert {c.key.job for c in mine} | {c.key.job for c in theirs} == {"a", "b", "c"}
    assert len(mine) + len(theirs) == 3


# Going on -----------------------------------------------------------------------------------


def test_the_successor_goes_to_the_same_worker(kernel: Kernel, worker):
    """
    A chain's next job is handed to the worker that completes the one before it, in one statement.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    (a,) = kernel.running(worker)

    answer = kernel.complete(worker, a, want=1)

    (b,) = answer.claims
    assert (b.key, b.attempt, answer.left) == (Key(run, "b", 0, 1), 0, 0)
    assert b.token > a.token
    assert kernel.held(worker) == [b]
    assert kernel.one(
        "SELECT s.ready_at >= a.finished_at FROM rush.run_state s JOIN rush.archive a USING (run_id)"
    )


def test_the_end_of_a_chain_ends_its_run(kernel: Kernel, worker):
    """
    The last job of a chain ends the run without the master.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    claims = kernel.running(worker)
    for _ in range(2):
        claims = kernel.complete(worker, *claims, want=1).claims

    answer = kernel.complete(worker, *claims, want=1)

    assert (answer.ended, answer.left, answer.claims) == (1, 0, [])
    assert (kernel.state(run), kernel.run(run).open) == ("Complete", 0)
    assert kernel.nothing_left(run)


def test_hand_offs_and_claims_together_are_no_more_than_is_wanted(kernel: Kernel, worker):
    """
    What is handed on counts among what is wanted; beyond that it is left Ready, and the master told.
    """
    kernel.define(CHAIN)
    for _ in range(4):
        kernel.start()
    three = kernel.running(worker, 3)

    answer = kernel.complete(worker, *three, want=2)

    assert [claim.key.job for claim in answer.claims] == ["b", "b"]
    assert answer.left == 1
    assert len(kernel.claim(worker, 9)) == 2


def test_nothing_is_handed_to_a_worker_that_wants_nothing(kernel: Kernel, worker):
    """
    The successor is left Ready for whoever is next.
    """
    kernel.define(CHAIN)
    run = kernel.start()

    answer = kernel.complete(worker, *kernel.running(worker), want=0)

    assert (answer.claims, answer.left) == ([], 1)
    assert kernel.live(run) == {"b": "Ready"}


def test_a_worker_that_drains_is_handed_nothing(kernel: Kernel, worker):
    """
    Its outcomes are heard; it is given neither successors nor other jobs.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    kernel.start()
    (a,) = kernel.running(worker)
    workers.drain(kernel.session, worker.name)

    answer = kernel.complete(worker, a, want=5)

    assert (answer.refused, answer.claims) == ([], [])
    assert kernel.live(run) == {"b": "Ready"}


def test_a_successor_in_another_queue_is_left_to_those_who_serve_it(kernel: Kernel, worker):
    """
    A worker is never handed a job of a queue that it does not serve.
    """
    kernel.define(CHAIN, of={"b": {"queue": "special"}})
    kernel.start()

    answer = kernel.complete(worker, *kernel.running(worker), want=5)

    assert (answer.claims, answer.left) == ([], 1)
    special = kernel.worker("special", queues=("special",))
    assert [claim.key.job for claim in kernel.claim(special, 5)] == ["b"]


def test_a_more_urgent_job_comes_before_the_successor(kernel: Kernel, worker):
    """
    A hand-off yields to a Ready job of higher priority, and to no other.
    """
    kernel.define(CHAIN)
    kernel.define({"same": []}, "same")
    first = kernel.start()
    (a,) = kernel.running(worker)
    kernel.start("same")
    (b,) = kernel.complete(worker, a, want=1).claims
    assert b.key.job == "b"

    kernel.define({"urgent": []}, "urgent", priority=1)
    kernel.start("urgent")
    (claim,) = kernel.complete(worker, b, want=1).claims
    assert claim.key.job == "urgent"
    assert kernel.live(first) == {"c": "Ready"}


def test_what_was_given_back_is_not_taken_ahead_again(kernel: Kernel, worker):
    """
    Only a worker that is idle claims a job which another could not begin.
    """
    kernel.define({"a": []})
    kernel.start()
    kernel.give_back(worker, *kernel.claim(worker))

    assert kernel.claim(worker, idle=False) == []
    assert [claim.given_back for claim in kernel.claim(worker, idle=True)] == [True]


# Beginning and giving back ------------------------------------------------------------------


def test_running_means_that_a_runner_has_begun(kernel: Kernel, worker):
    """
    Marked, a job is Running in its first attempt, and its deadline counts from its start.
    """
    kernel.define(CHAIN, timeout_minutes=1)
    run = kernel.start()
    (claim,) = kernel.claim(worker)
    assert kernel.live(run) == {"a": "Ready"}

    kernel.begin(worker, claim)
    first = kernel.job(run, "a")
    kernel.begin(worker, claim)

    assert kernel.job(run, "a") == first
    assert (first.state, first.attempt, first.worker) == ("Running", 1, worker.name)
    assert (first.deadline_at - first.started_at).total_seconds() == pytest.approx(60, abs=1)


def test_what_is_given_back_has_cost_no_attempt(kernel: Kernel, worker):
    """
    Begun or not, a job that is given back is Ready as if it had never been handed out.
    """
    kernel.define({"a": [], "b": []})
    run = kernel.start()
    a, b = kernel.claim(worker, 2)
    kernel.begin(worker, a)

    assert kernel.give_back(worker, a, b) == 2
    assert kernel.give_back(worker, a, b) == 0

    assert kernel.live(run) == {"a": "Ready", "b": "Ready"}
    assert [kernel.job(run, job).attempt for job in "ab"] == [0, 0]
    assert kernel.archive(run) == []
    assert [claim.attempt for claim in kernel.claim(worker, 2)] == [0, 0]


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "not marked"])
@pytest.mark.parametrize("state", ["Complete", "Failed"])
def test_an_attempt_is_counted_once_marked_or_not(kernel: Kernel, worker, marked: bool, state):
    """
    A job that is over before it was ever marked Running has been attempted once all the same.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    (claim,) = kernel.claim(worker)
    if marked:
        kernel.begin(worker, claim)

    kernel.report(worker, outcome(claim, state))

    assert kernel.archive(run) == [("a", 1, 1, state)]
    assert kernel.one(
        "SELECT started_at IS NOT NULL AND started_at <= finished_at FROM rush.archive"
    )


def test_what_never_began_has_no_start(kernel: Kernel, worker):
    """
    An attempt that failed before a runner began it has an end, and no start.
    """
    kernel.define(CHAIN)
    kernel.start()
    (claim,) = kernel.claim(worker)

    kernel.report(worker, outcome(claim, "Failed", began=None, reason="not loaded"))

    (over,) = kernel.sql("SELECT * FROM rush.archive")
    assert (over.started_at, over.reason, over.attempt) == (None, "not loaded", 1)


def test_what_it_holds_is_the_same_to_whoever_asks(kernel: Kernel, worker):
    """
    A worker that asks hears of every job it holds, with the attempts begun before this one.
    """
    kernel.define({"a": [], "b": []}, retry_limit=1, retry_gap_minutes=0)
    kernel.start()
    a, b = kernel.claim(worker, 2)
    kernel.begin(worker, a)

    assert sorted(kernel.held(worker), key=by_token) == [a, b]
    assert kernel.held(replace(worker, generation=worker.generation + 1)) == []


def test_instants_are_those_of_the_statement(kernel: Kernel, worker):
    """
    In a transaction that has been open for long (this whole story is one), what happens has
    happened now, and not when that began.
    """
    kernel.define({"a": []}, timeout_minutes=1)
    kernel.start()
    (claim,) = kernel.claim(worker)

    kernel.begin(worker, claim)
    assert kernel.one("SELECT deadline_at > now() + interval '1 minute' FROM rush.run_state")
    assert kernel.complete_within(worker, claim)
    assert kernel.one("SELECT finished_at > ready_at FROM rush.archive")


def test_a_heartbeat_leaves_the_rows_of_jobs_alone(shared: Kernel, database: str):
    """
    A job's own transaction that looks at one instant only is not disturbed by its worker's lease.
    """
    shared.define({"a": []})
    worker = shared.worker()
    shared.start()
    (claim,) = shared.running(worker)
    with psycopg.connect(database) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT FROM rush.run_state")

        assert workers.heartbeat(shared.session, worker, lease=15, progress={})

        assert shared.seen_from(connection).complete_within(worker, claim)


LET_GO = """, worker = NULL, generation = NULL, token = NULL, claim_id = NULL,
             started_at = NULL, deadline_at = NULL"""


@pytest.mark.parametrize(
    ("constraint", "change"),
    [
        ("job_state_is_live", "state = 'Complete'" + LET_GO),
        ("attempt_is_a_count", "attempt = -1"),
        ("held_wholly_or_not", "token = NULL"),
        ("held_only_to_run", "state = 'Waiting', started_at = NULL, deadline_at = NULL"),
        ("failed_has_a_time", "state = 'Failed'" + LET_GO),
        ("running_is_begun", "deadline_at = NULL"),
        ("running_is_begun", "state = 'Ready'"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(kernel: Kernel, worker, constraint: str, change: str):
    """
    What somebody changes by hand cannot be what no statement would know how to go on with.
    """
    kernel.define({"a": []})
    kernel.start()
    kernel.running(worker)

    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        kernel.sql(f"UPDATE rush.run_state SET {change}")

    assert refused.value.diag.constraint_name == constraint


# What attempts leave --------------------------------------------------------------------------


def test_lines_said_twice_are_kept_once(kernel: Kernel, worker):
    """
    A part of a log that is said again, because the answer was lost, is not doubled.
    """
    kernel.define(CHAIN)
    kernel.start()
    (claim,) = kernel.running(worker)

    kernel.append_log(worker, claim, "one", part=0)
    kernel.append_log(worker, claim, "one", part=0)
    kernel.append_log(worker, claim, "two", part=1)
    assert kernel.complete_within(worker, claim)
    kernel.append_log(worker, claim, "two", part=1)
    kernel.append_log(worker, claim, "three", part=2)

    kept = kernel.sql("SELECT part, lines FROM rush.log ORDER BY part")
    assert [tuple(row) for row in kept] == [(0, "one"), (1, "two"), (2, "three")]


def test_lines_of_strangers_are_dropped(kernel: Kernel, worker):
    """
    Whoever does not hold an attempt, and did not, adds nothing to its log.
    """
    kernel.define(CHAIN)
    kernel.start()
    (claim,) = kernel.running(worker)
    other = kernel.worker("worker2")

    kernel.append_log(other, claim, "no")
    kernel.complete(worker, claim)
    kernel.append_log(other, claim, "no")

    assert kernel.one("SELECT count(*) FROM rush.log") == 0


def test_results_are_kept_for_the_jobs_that_follow(kernel: Kernel, worker):
    """
    What jobs have returned is there for the run; of a re-run job, what it returned last.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    (a,) = kernel.running(worker)
    (b,) = kernel.report(worker, outcome(a, result='{"rows": 1}'), want=1).claims
    assert kernel.complete_within(worker, b, result=[2])
    assert held.results_before(kernel.session, run) == {"a": {"rows": 1}, "b": [2]}

    kernel.work(worker)
    kernel.start(jobinstance=1, job="b")
    assert held.results_before(kernel.session, run) == {"a": {"rows": 1}}


def test_a_completion_within_a_transaction_goes_with_it(kernel: Kernel, worker):
    """
    Rolled back, it has not happened; committed, it has, with its result and its note for the master.
    """
    kernel.define(DIAMOND)
    run = kernel.start()
    (a,) = kernel.running(worker)
    before = everything(kernel)

    with kernel.session.connection.transaction(force_rollback=True):
        assert kernel.complete_within(worker, a, result=1)
    assert everything(kernel) == before

    assert kernel.complete_within(worker, a, result=1)
    assert not kernel.complete_within(worker, a, result=1)
    assert kernel.complete(worker, a).refused == [a.token]
    (over,) = kernel.sql("SELECT * FROM rush.archive")
    assert (over.state, over.attempt, over.code) == ("Complete", 1, "c0de")
    assert held.results_before(kernel.session, run) == {"a": 1}
    kernel.release()
    assert kernel.live(run) == {"b": "Ready", "c": "Ready"}
