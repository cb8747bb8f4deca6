"""What is asked for: accepted once, or refused with a reason, whatever the rows say."""

from __future__ import annotations

import json

import psycopg
import pytest

from rush.store import pipelines, requests
from tests.support.kernel import CHAIN, DIAMOND, Kernel, outcome


def test_the_shortest_form_starts_the_next_run(kernel: Kernel):
    """
    A row that names a pipeline and nothing else becomes a run, from its first jobs on.
    """
    kernel.define(DIAMOND)
    kernel.sql("INSERT INTO rush.run_request (pipeline) VALUES ('p'), ('p')")

    kernel.take()

    rows = kernel.sql("SELECT status, jobinstance, run_id FROM rush.run_request ORDER BY id")
    assert [(row.status, row.jobinstance) for row in rows] == [("Accepted", 1), ("Accepted", 2)]
    for row in rows:
        assert kernel.live(row.run_id) == {"a": "Ready"}
        assert (kernel.run(row.run_id).state, kernel.run(row.run_id).open) == ("Running", 1)


def test_any_unused_number_is_good(kernel: Kernel):
    """
    A run gets the number that was asked for, and the next one goes on from the highest.
    """
    kernel.define(CHAIN)

    assert kernel.run(kernel.start(jobinstance=7)).jobinstance == 7
    assert kernel.run(kernel.start()).jobinstance == 8
    assert kernel.run(kernel.start(jobinstance=3)).jobinstance == 3
    assert kernel.run(kernel.start()).jobinstance == 9


def test_numbers_of_one_batch_do_not_collide(kernel: Kernel):
    """
    Next numbers and explicit ones, of several pipelines, in one batch: each run has its own.
    """
    kernel.define(CHAIN)
    kernel.define(CHAIN, "q")
    asked = [None, 5, None, 2, None]
    ids = [kernel.request(jobinstance=number) for number in asked]
    other = kernel.request("q")

    kernel.take()

    got = [kernel.run(kernel.accepted(each)).jobinstance for each in ids]
    assert got == [1, 5, 6, 2, 7]
    assert kernel.run(kernel.accepted(other)).jobinstance == 1


def test_of_two_requests_for_one_number_the_first_wins(kernel: Kernel):
    """
    Two requests for one number in one batch are told apart: the later is a duplicate.
    """
    kernel.define(CHAIN)
    first, second = kernel.request(jobinstance=4), kernel.request(jobinstance=4)

    run = kernel.accepted(first)

    assert kernel.verdict(second) == ("Pending", None, None)
    assert kernel.refused(second) == "p/4 is still running: a run cannot be started twice"
    assert kernel.verdict(second)[2] == run


def test_an_unknown_pipeline_is_refused(kernel: Kernel):
    """
    The reason names what is not there.
    """
    assert kernel.refused(kernel.request("nope")) == "there is no pipeline nope"


def test_a_broken_definition_is_refused_with_what_is_wrong(kernel: Kernel):
    """
    A definition that cannot run says why, in every request for it; a better one runs.
    """
    kernel.define({"a": ["b"], "b": ["a"]})

    reason = kernel.refused(kernel.request())
    assert reason.startswith("the definition of p cannot run: ")
    assert "a" in reason
    assert "b" in reason
    assert kernel.one("SELECT error FROM rush.pipeline_version") in reason

    kernel.define({"a": [], "b": ["a"]})
    kernel.start()


def test_a_request_waits_for_a_definition_that_is_not_compiled(kernel: Kernel):
    """
    A definition that comes between the compiling and the taking is not called broken.
    """
    definition = {"jobs": [{"name": "a", "class_name": "jobs.any.Any"}]}
    pipelines.apply(kernel.session, "p", definition)
    request = kernel.request()

    kernel.take()
    assert kernel.verdict(request) == ("Pending", None, None)

    kernel.compile()
    kernel.accepted(request)


def test_an_unknown_job_is_refused(kernel: Kernel):
    """
    A job that the run's version does not have is refused, though a later version has it.
    """
    kernel.define(CHAIN)
    assert kernel.refused(kernel.request(job="z")) == "p has no job z"

    kernel.start(jobinstance=1)
    kernel.define({**CHAIN, "z": ["c"]})

    assert kernel.refused(kernel.request(job="z", jobinstance=1)) == "p has no job z"
    assert kernel.live(kernel.start(job="z")) == {"z": "Ready"}


def test_a_run_keeps_its_version(kernel: Kernel, worker):
    """
    A definition that changes in mid-run changes nothing about that run.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    kernel.define({"x": []})

    kernel.work(worker)

    assert kernel.state(run) == "Complete"
    assert kernel.ended(run) == ["a", "b", "c"]


@pytest.mark.parametrize("job", [None, "a", "b"])
def test_a_running_run_is_a_duplicate(kernel: Kernel, job: str | None):
    """
    What is still running cannot be started again, from whichever job.
    """
    kernel.define(CHAIN)
    run = kernel.start()

    request = kernel.request(jobinstance=1, job=job)

    assert kernel.refused(request) == "p/1 is still running: a run cannot be started twice"
    assert kernel.verdict(request)[2] == run


def test_a_complete_run_runs_again(kernel: Kernel, worker):
    """
    Asked for again without a job, a run begins at its beginning, in a new round.
    """
    kernel.define(DIAMOND)
    run = kernel.start()
    kernel.work(worker)

    assert kernel.start(jobinstance=1) == run
    assert kernel.live(run) == {"a": "Ready"}
    assert kernel.run(run).finished_at is None
    kernel.work(worker)

    assert kernel.state(run) == "Complete"
    assert kernel.archive(run) == [
        (job, attempt, attempt, "Complete") for job in "abcd" for attempt in (1, 2)
    ]
    assert kernel.nothing_left(run)


@pytest.mark.parametrize(
    ("graph", "start", "again"),
    [
        (CHAIN, "b", "bc"),
        (CHAIN, "c", "c"),
        (DIAMOND, "b", "bd"),
        (DIAMOND, "d", "d"),
        (DIAMOND, "a", "abcd"),
    ],
)
def test_a_run_runs_again_from_a_job_in_the_middle(
    kernel: Kernel, worker, graph, start: str, again: str
):
    """
    A re-run runs that job and all that depend on it, once, and nothing else.
    """
    kernel.define(graph)
    run = kernel.start()
    kernel.work(worker)

    kernel.start(jobinstance=1, job=start)
    kernel.work(worker)

    assert kernel.state(run) == "Complete"
    assert [job for job, round, _, _ in kernel.archive(run) if round == 2] == list(again)


@pytest.mark.parametrize("job", [None, "b"])
def test_a_stuck_run_runs_again(kernel: Kernel, worker, job: str | None):
    """
    A Stuck run is Running again, from the job that is Stuck or from the beginning.
    """
    kernel.define(DIAMOND)
    run = kernel.start()
    kernel.work(worker, failing="b")
    assert (kernel.state(run), kernel.live(run)) == ("Stuck", {"b": "Stuck"})

    kernel.start(jobinstance=1, job=job)
    assert kernel.state(run) == "Running"
    kernel.work(worker)

    assert kernel.state(run) == "Complete"
    assert [j for j, round, _, _ in kernel.archive(run) if round == 2] == list(
        "abcd" if job is None else "bd"
    )
    assert kernel.nothing_left(run)


def test_a_stuck_run_runs_again_before_or_beside_what_is_stuck(kernel: Kernel, worker):
    """
    Re-run before a Stuck job, that runs too; re-run beside it, it stays, and the run is Stuck again.
    """
    kernel.define({**DIAMOND, "side": [], "after": ["side"]})
    run = kernel.start()
    kernel.work(worker, failing="b")

    kernel.start(jobinstance=1, job="side")
    kernel.work(worker)
    assert (kernel.state(run), kernel.live(run)) == ("Stuck", {"b": "Stuck"})
    assert [job for job, round, _, _ in kernel.archive(run) if round == 2] == ["after", "side"]

    kernel.start(jobinstance=1, job="a")
    kernel.work(worker)
    assert kernel.state(run) == "Complete"
    assert [job for job, round, _, _ in kernel.archive(run) if round == 3] == list("abcd")


def test_a_join_waits_for_what_is_stuck_and_for_what_runs_again(kernel: Kernel, worker):
    """
    Re-run beside a Stuck job with which it joins: the join waits for both.
    """
    kernel.define(DIAMOND)
    run = kernel.start()
    kernel.work(worker, failing="b")

    kernel.start(jobinstance=1, job="c")
    kernel.work(worker)
    assert (kernel.state(run), kernel.live(run)) == ("Stuck", {"b": "Stuck"})

    kernel.start(jobinstance=1, job="b")
    kernel.work(worker)
    assert kernel.state(run) == "Complete"
    assert kernel.ended(run) == ["a", "b", "c", "c", "d"]


@pytest.mark.parametrize("when", ["runs", "is finished", "is consumed"])
def test_a_stuck_job_is_asked_for_while_another_branch_goes_on(kernel: Kernel, worker, when: str):
    """
    A Stuck job starts again while the other branch is anywhere on its way; they join once.
    """
    kernel.define(DIAMOND)
    run = kernel.start()
    kernel.work(worker, only=1)
    kernel.release()
    b, c = sorted(kernel.claim(worker, 2), key=lambda claim: claim.key.job)
    kernel.begin(worker, b, c)
    kernel.fail(worker, b)
    kernel.retry()
    assert (kernel.state(run), kernel.live(run)["b"]) == ("Running", "Stuck")
    if when != "runs":
        kernel.complete(worker, c)
    if when == "is consumed":
        kernel.release()

    if when == "is consumed":
        assert kernel.state(run) == "Stuck"
    assert kernel.start(jobinstance=1, job="b") == run
    if when == "runs":
        assert kernel.complete(worker, c).refused == []
    kernel.work(worker)

    assert kernel.state(run) == "Complete"
    assert kernel.ended(run) == ["a", "b", "c", "d"]
    assert kernel.nothing_left(run)


def test_a_re_run_behind_a_stuck_job_is_refused(kernel: Kernel, worker):
    """
    What comes after a Stuck job cannot start before it; the reason says where to start.
    """
    kernel.define({"a": [], "b": ["a"], "c": ["b"], "d": ["c"]})
    run = kernel.start()
    kernel.work(worker, failing="b")

    request = kernel.request(jobinstance=1, job="d")

    assert kernel.refused(request) == "it comes after b, which is Stuck: run again from b"
    assert (kernel.state(run), kernel.live(run)) == ("Stuck", {"b": "Stuck"})


def test_a_cancelled_run_runs_again_with_all_that_was_stopped(kernel: Kernel, worker):
    """
    Re-run from one branch, what a cancel had stopped in the others runs too: the join needs it.
    """
    kernel.define(DIAMOND)
    run = kernel.start()
    kernel.work(worker, only=1)
    kernel.release()
    kernel.cancel(run)
    kernel.sweep()
    assert kernel.state(run) == "Cancelled"
    assert kernel.ended(run, "Cancelled") == ["b", "c"]

    kernel.start(jobinstance=1, job="b")
    kernel.work(worker)

    assert kernel.state(run) == "Complete"
    assert kernel.ended(run) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("job", [None, "b", "c", "d"])
def test_what_a_cancel_kept_from_being_released_is_not_passed_over(
    kernel: Kernel, worker, job: str | None
):
    """
    A job that completes while its run is cancelled releases nothing; a re-run misses nothing.
    """
    kernel.define(DIAMOND)
    run = kernel.start()
    (a,) = kernel.running(worker)
    kernel.cancel(run)
    kernel.complete(worker, a)
    kernel.release()
    kernel.sweep()
    assert kernel.state(run) == "Cancelled"

    kernel.start(jobinstance=1, job=job)
    kernel.work(worker)

    assert kernel.state(run) == "Complete"
    assert set(kernel.ended(run)) == set("abcd")
    assert last_of_all(kernel, run) == "d"


def test_what_runs_again_after_a_cancel_is_not_started_twice(kernel: Kernel, worker):
    """
    A Stuck job asked for in a run that was cancelled once leaves alone what runs beside it.
    """
    kernel.define({"a": [], "b": []})
    run = kernel.start()
    kernel.cancel(run)
    kernel.sweep()
    kernel.start(jobinstance=1)
    a, b = sorted(kernel.running(worker, 2), key=lambda claim: claim.key.job)
    kernel.fail(worker, a)
    kernel.retry()
    assert kernel.live(run) == {"a": "Stuck", "b": "Running"}

    kernel.start(jobinstance=1, job="a")

    assert kernel.live(run) == {"a": "Ready", "b": "Running"}
    assert kernel.complete(worker, b).refused == []
    kernel.work(worker)
    assert kernel.state(run) == "Complete"


def test_a_new_run_may_start_at_a_later_job(kernel: Kernel, worker):
    """
    What comes before the start, and beside it, is Skipped and counts as satisfied.
    """
    graph = {**DIAMOND, "e": ["d"], "side": [], "after": ["side", "e"]}
    kernel.define(graph)

    run = kernel.start(job="b")

    assert kernel.live(run) == {"b": "Ready"}
    assert kernel.ended(run, "Skipped") == ["a", "c", "side"]
    kernel.work(worker)
    assert kernel.state(run) == "Complete"
    assert kernel.ended(run) == ["after", "b", "d", "e"]
    assert kernel.nothing_left(run)


def test_a_chain_may_start_at_its_end(kernel: Kernel, worker):
    """
    The last job of a chain alone makes a run, which its worker ends.
    """
    kernel.define(CHAIN)
    run = kernel.start(job="c")

    assert kernel.complete(worker, *kernel.running(worker)).ended == 1

    assert kernel.state(run) == "Complete"
    assert kernel.ended(run, "Skipped") == ["a", "b"]


def test_what_was_skipped_can_be_run(kernel: Kernel, worker):
    """
    A run that started at a later job runs from its beginning when it is asked to.
    """
    kernel.define(CHAIN)
    run = kernel.start(job="c")
    kernel.work(worker)

    kernel.start(jobinstance=1)
    kernel.work(worker)

    assert kernel.state(run) == "Complete"
    assert kernel.ended(run) == ["a", "b", "c", "c"]


def test_parameters_of_a_re_run_are_laid_over_the_runs(kernel: Kernel, worker):
    """
    A re-run keeps the run's parameters, and those that it brings win.
    """
    kernel.define(CHAIN)
    run = kernel.start(params={"x": 1, "y": 1})
    kernel.work(worker)

    kernel.start(jobinstance=1, params={"y": 2, "z": 2})
    assert kernel.run(run).params == {"x": 1, "y": 2, "z": 2}
    assert json.loads(kernel.claim(worker)[0].params or "") == {"x": 1, "y": 2, "z": 2}


def test_attempts_go_on_rising_and_retries_are_fresh(kernel: Kernel, worker):
    """
    After a re-run attempts are numbered on, and there are as many retries as at first.
    """
    kernel.define(CHAIN, retry_limit=2, retry_gap_minutes=0)
    run = kernel.start()
    kernel.work(worker, failing="b")
    assert kernel.state(run) == "Stuck"

    kernel.start(jobinstance=1, job="b")
    kernel.work(worker, failing="b")
    assert kernel.state(run) == "Stuck"

    assert [row for row in kernel.archive(run) if row[0] == "b"] == [
        ("b", 1 if attempt <= 3 else 2, attempt, "Failed") for attempt in range(1, 7)
    ]
    kernel.start(jobinstance=1, job="a")
    kernel.work(worker)
    assert [row for row in kernel.archive(run) if row[1] == 3] == [
        ("a", 3, 2, "Complete"),
        ("b", 3, 7, "Complete"),
        ("c", 3, 1, "Complete"),
    ]


def test_after_the_last_number_there_is_no_next(kernel: Kernel):
    """
    A request that no number is left for is refused alone: the others of its batch are taken.
    """
    kernel.define(CHAIN)
    kernel.define(CHAIN, "q")
    kernel.start(jobinstance=2147483647)
    before = [kernel.request("q") for _ in range(3)]
    bad = kernel.request()
    after = [kernel.request("q") for _ in range(5)]

    for _ in range(20):
        kernel.take()

    assert kernel.verdict(bad)[:2] == (
        "Rejected",
        "it cannot be taken: the pipeline's last run has the highest number there is: say which jobinstance",
    )
    assert [kernel.verdict(each)[0] for each in before + after] == ["Accepted"] * 8


def test_a_number_before_the_last_is_found_for_those_who_came_first(kernel: Kernel):
    """
    The highest number of all, asked for in the same batch, takes nothing from an earlier request.
    """
    kernel.define(CHAIN)
    first, last = kernel.request(), kernel.request(jobinstance=2147483647)

    for _ in range(5):
        kernel.take()

    assert kernel.run(kernel.accepted(first)).jobinstance == 1
    assert kernel.run(kernel.accepted(last)).jobinstance == 2147483647


def test_a_cancel_says_which_run(kernel: Kernel, worker):
    """
    A cancel without a number, of no run, or of one that has ended is refused.
    """
    kernel.define(CHAIN)
    kernel.start()
    kernel.work(worker)

    assert (
        kernel.refused(kernel.request(action="cancel"))
        == "a cancel must say which run: give its jobinstance"
    )
    assert kernel.refused(kernel.request(action="cancel", jobinstance=2)) == "there is no run p/2"
    assert (
        kernel.refused(kernel.request(action="cancel", jobinstance=1))
        == "p/1 has ended: it is Complete"
    )


def test_a_cancel_and_a_re_run_in_one_batch_are_decided_in_order(kernel: Kernel, worker):
    """
    A re-run asked for right after a cancel waits for that, and is told to ask again.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    kernel.work(worker, failing="b")
    cancel = kernel.request(action="cancel", jobinstance=1)
    again = kernel.request(jobinstance=1)

    assert kernel.accepted(cancel) == run
    assert kernel.refused(again) == "p/1 is being cancelled: ask again when it is Cancelled"


def test_a_deleted_pipeline_is_unknown(kernel: Kernel):
    """
    A request whose pipeline has been deleted since is refused.
    """
    kernel.define(CHAIN)
    request = kernel.request()
    kernel.sql("DELETE FROM rush.pipeline")

    assert kernel.refused(request) == "there is no pipeline p"


def test_a_run_outlives_its_pipeline(kernel: Kernel, worker):
    """
    A run goes on, and can be run again, when its pipeline has been deleted.
    """
    kernel.define(DIAMOND)
    run = kernel.start()
    kernel.sql("DELETE FROM rush.pipeline")

    kernel.work(worker)
    assert kernel.state(run) == "Complete"
    kernel.start(jobinstance=1, job="b")
    kernel.work(worker)
    assert kernel.state(run) == "Complete"


def test_a_pipeline_deleted_in_the_middle_of_a_decision_starts_its_run(
    shared: Kernel, database: str
):
    """
    A pipeline that goes between the judging and the admitting leaves no run without jobs.
    """
    shared.define(CHAIN)
    request = shared.request()

    with shared.round().transaction() as session:
        (pending,) = requests.pending_requests(session, limit=1)
        with psycopg.connect(database, autocommit=True) as other:
            other.execute("DELETE FROM rush.pipeline")
        requests.admit(session, [(request, pending.version_id)])

    assert shared.live(shared.accepted(request)) == {"a": "Ready"}


def test_what_somebody_is_holding_is_left_for_later(shared: Kernel, database: str):
    """
    A request whose row is locked is left alone, and the master rests meanwhile.
    """
    shared.define(CHAIN)
    request = shared.request()
    with psycopg.connect(database) as other:
        other.execute("SELECT FROM rush.run_request FOR UPDATE")
        assert shared.take().more is False
        assert shared.verdict(request)[0] == "Pending"

    shared.accepted(request)


@pytest.mark.parametrize(
    ("constraint", "columns"),
    [
        ("request_pipeline_is_plain", {"pipeline": "../p"}),
        ("request_pipeline_is_plain", {"pipeline": ""}),
        ("request_pipeline_is_plain", {"pipeline": "p\n"}),
        ("request_job_is_plain", {"job": "a b"}),
        ("request_jobinstance_is_positive", {"jobinstance": 0}),
        ("request_jobinstance_is_positive", {"jobinstance": -1}),
        ("request_action_is_known", {"action": "restart"}),
        ("request_params_are_an_object", {"params": "[1]"}),
        ("request_params_are_not_huge", {"params": json.dumps({"x": "x" * 1048576})}),
        ("request_status_is_known", {"status": "pending", "decided_at": "2026-01-01"}),
        ("request_undecided_while_pending", {"status": "Accepted", "run_id": 1}),
        ("request_undecided_while_pending", {"decided_at": "2026-01-01"}),
        ("request_rejected_with_reason", {"status": "Rejected", "decided_at": "2026-01-01"}),
        ("request_accepted_has_run", {"status": "Accepted", "decided_at": "2026-01-01"}),
        ("request_idempotency_key_is_short", {"idempotency_key": ""}),
        ("request_idempotency_key_is_short", {"idempotency_key": "k" * 201}),
    ],
)
def test_a_row_that_makes_no_sense_is_refused_at_once(kernel: Kernel, constraint, columns):
    """
    What is wrong in itself never becomes a row; the constraint's name says what it was.
    """
    columns = {"pipeline": "p"} | columns
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        kernel.sql(
            f"INSERT INTO rush.run_request ({', '.join(columns)})"
            f" VALUES ({', '.join(['%s'] * len(columns))})",
            *columns.values(),
        )
    assert refused.value.diag.constraint_name == constraint


def test_a_key_is_taken_once(kernel: Kernel):
    """
    The same idempotency key twice is one request.
    """
    kernel.define(CHAIN)
    kernel.start(idempotency_key="k")

    assert requests.submit(kernel.session, pipeline="p", idempotency_key="k") is None
    assert kernel.one("SELECT count(*) FROM rush.run") == 1


@pytest.mark.parametrize("graph", [CHAIN, DIAMOND], ids=["chain", "diamond"])
def test_a_late_report_of_an_earlier_round_changes_nothing(kernel: Kernel, worker, graph):
    """
    What was running when its run was begun anew reports to nobody.
    """
    kernel.define(graph)
    run = kernel.start()
    (a,) = kernel.running(worker)
    kernel.bury(worker)
    kernel.retry()
    assert kernel.state(run) == "Stuck"
    again = kernel.worker()
    kernel.start(jobinstance=1)

    assert kernel.report(worker, outcome(a)).refused == [a.token]
    assert kernel.live(run) == {"a": "Ready"}
    kernel.work(again)
    assert kernel.state(run) == "Complete"


def last_of_all(kernel: Kernel, run: int) -> str:
    return kernel.one(
        "SELECT job FROM rush.archive WHERE run_id = %s AND state = 'Complete' ORDER BY token DESC",
        run,
    )


def test_a_re_run_is_opened_in_the_round_that_was_judged(kernel: Kernel, worker):
    """
    Judged by two masters' sessions at once, re-runs of one run begin one round: the second is
    left to be judged again.
    """
    kernel.define(CHAIN)
    run = kernel.start()
    kernel.work(worker)
    first, second = (kernel.request(jobinstance=1) for _ in range(2))

    assert requests.reopen(kernel.session, [(first, run, 1)]) == {first}
    assert requests.reopen(kernel.session, [(second, run, 1)]) == set()
    requests.open_round(kernel.session, [(run, None)])

    assert kernel.run(run).round == 2
    assert kernel.verdict(second)[0] == "Pending"
    assert "still running" in kernel.refused(second)


def test_a_cancel_is_judged_after_the_request_that_it_follows(kernel: Kernel, worker):
    """
    A run that is asked for, or asked for again, and cancelled in one breath is Cancelled.
    """
    kernel.define(CHAIN)
    for cause in ("a new run", "a re-run"):
        kernel.request(jobinstance=7)
        cancel = kernel.request(jobinstance=7, action="cancel")
        kernel.take()
        assert kernel.verdict(cancel)[0] == "Pending", cause

        run = kernel.accepted(cancel)
        kernel.sweep()

        assert kernel.state(run) == "Cancelled", cause


# What cannot be stored ----------------------------------------------------------------


def test_one_bad_request_of_a_hundred(kernel: Kernel):
    """
    A request that the database cannot turn into a run is refused with its reason; 99 others proceed.
    """
    kernel.define(CHAIN)
    kernel.define(CHAIN, "full")
    kernel.start("full", jobinstance=2**31 - 1)
    good = [kernel.request() for _ in range(60)]
    bad = kernel.request("full")
    good += [kernel.request() for _ in range(39)]

    while kernel.one("SELECT count(*) FROM rush.run_request WHERE status = 'Pending'"):
        kernel.take()

    assert kernel.verdict(bad) == (
        "Rejected",
        "it cannot be taken: the pipeline's last run has the highest number there is: "
        "say which jobinstance",
        None,
    )
    assert {kernel.verdict(request)[0] for request in good} == {"Accepted"}


def test_one_bad_definition_of_a_hundred(kernel: Kernel):
    """
    A definition that the database does not store is refused with its reason; 99 others are compiled.
    """
    kernel.sql("ALTER TABLE rush.pipeline_job ADD CONSTRAINT not_cursed CHECK (name <> 'cursed')")
    for number in range(100):
        job = {"name": "cursed" if number == 60 else "a", "class_name": "jobs.any.Any"}
        kernel.sql(
            "INSERT INTO rush.pipeline VALUES (%s, %s)", f"p{number}", json.dumps({"jobs": [job]})
        )

    while kernel.one("SELECT count(*) FROM rush.pipeline_version WHERE compiled_at IS NULL"):
        kernel.compile()

    (refused,) = kernel.sql("SELECT pipeline, error FROM rush.pipeline_version WHERE error <> ''")
    assert refused.pipeline == "p60"
    assert refused.error == (
        'it cannot be stored: new row for relation "pipeline_job" violates check constraint "not_cursed"'
    )
    assert (
        kernel.one("SELECT count(*) FROM rush.pipeline_job WHERE class_name = 'jobs.any.Any'") == 99
    )
