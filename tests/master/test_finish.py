"""What is finished: it releases what it was holding back, once, and the run ends once."""

from __future__ import annotations

import itertools
from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rush.store import runs
from rush.store.workers import Registration
from tests.support.kernel import CHAIN, DIAMOND, Jobs, Kernel, outcome

numbers = itertools.count(1)


def test_one_job_releases_all_that_waited_for_it_alone(kernel: Kernel, worker):
    """
    Fan-out: the successors of one job are Ready together, and counted.
    """
    kernel.define({"a": [], **{name: ["a"] for name in "bcdef"}})
    run = kernel.start()
    kernel.complete(worker, *kernel.running(worker))
    assert kernel.run(run).open == 1

    kernel.release()

    assert kernel.live(run) == dict.fromkeys("bcdef", "Ready")
    assert kernel.run(run).open == 5


def test_a_join_waits_for_the_last_of_one_batch(kernel: Kernel, worker):
    """
    Fan-in: branches that end in one report and are consumed together release the join once.
    """
    kernel.define(DIAMOND)
    run = kernel.start()
    kernel.work(worker, only=1)
    kernel.release()

    kernel.complete(worker, *kernel.running(worker, 2))
    kernel.release()

    assert kernel.live(run) == {"d": "Ready"}
    assert kernel.run(run).open == 1


def test_a_join_counts_down_over_several_batches(kernel: Kernel, worker):
    """
    Fan-in: branches that end one by one leave one less to wait for each time.
    """
    kernel.define({"a": [], "b": [], "c": [], "join": ["a", "b", "c"]})
    run = kernel.start()
    pending = []

    for claim in kernel.running(worker, 3):
        kernel.complete(worker, claim)
        kernel.release()
        pending.append(kernel.one("SELECT pending FROM rush.run_job"))

    assert pending == [2, 1, 0]
    assert kernel.live(run) == {"join": "Ready"}


def test_jobs_finished_in_one_report_may_be_consumed_apart(kernel: Kernel, worker):
    """
    However few rows a task takes at once, nothing is lost between them.
    """
    kernel.define(DIAMOND)
    run = kernel.start()
    kernel.work(worker, only=1)
    kernel.release()
    kernel.complete(worker, *kernel.running(worker, 2))

    runs.release_finished(kernel.session, limit=1)
    assert kernel.live(run) == {}
    kernel.check_counts()
    runs.release_finished(kernel.session, limit=1)
    assert kernel.live(run) == {"d": "Ready"}


def test_a_run_ends_once(kernel: Kernel, worker):
    """
    The last job's end is the run's; the task performed again finds nothing to do.
    """
    kernel.define(DIAMOND)
    run = kernel.start()
    kernel.work(worker, only=2)
    kernel.release()
    kernel.complete(worker, *kernel.running(worker))
    assert kernel.state(run) == "Running"

    ended = runs.release_finished(kernel.session, limit=10)
    finished_at = kernel.run(run).finished_at
    again = runs.release_finished(kernel.session, limit=10)

    assert [(row.id, row.state) for row in ended] == [(run, "Complete")]
    assert again == []
    assert kernel.run(run).finished_at == finished_at
    assert kernel.nothing_left(run)


def test_roots_that_end_together_end_their_run(kernel: Kernel, worker):
    """
    A run of nothing but roots is over when the last of them is.
    """
    kernel.define({"a": [], "b": []})
    run = kernel.start()
    a, b = kernel.running(worker, 2)

    kernel.complete(worker, a)
    kernel.release()
    assert (kernel.state(run), kernel.run(run).open) == ("Running", 1)
    kernel.complete(worker, b)
    kernel.release()

    assert (kernel.state(run), kernel.run(run).open) == ("Complete", 0)


def test_the_end_of_a_branch_leaves_a_run_with_its_stuck_job(kernel: Kernel, worker):
    """
    A run is Stuck when the last that was not stuck has ended; an alert is due, once.
    """
    kernel.define({"a": [], "b": []})
    run = kernel.start()
    a, b = sorted(kernel.running(worker, 2), key=lambda claim: claim.key.job)
    kernel.fail(worker, a)
    kernel.retry()
    assert kernel.state(run) == "Running"

    kernel.complete(worker, b)
    kernel.release()

    found = kernel.run(run)
    assert (found.state, found.open, found.stuck) == ("Stuck", 1, 1)
    assert found.finished_at is not None
    assert [row.run_id for row in kernel.sql("SELECT * FROM rush.alert")] == [run]


def test_a_cancelled_run_releases_nothing(kernel: Kernel, worker):
    """
    What ends while its run is being cancelled is consumed, and nothing comes after it.
    """
    kernel.define(DIAMOND)
    run = kernel.start()
    kernel.complete(worker, *kernel.running(worker))
    kernel.cancel(run)

    kernel.release()
    assert kernel.live(run) == {}
    kernel.sweep()

    assert kernel.state(run) == "Cancelled"
    assert kernel.archive(run) == [
        ("a", 1, 1, "Complete"),
        ("b", 1, 0, "Cancelled"),
        ("c", 1, 0, "Cancelled"),
    ]
    assert kernel.nothing_left(run)


def test_a_chain_of_own_transactions_goes_through_the_master(kernel: Kernel, worker):
    """
    Jobs that complete in transactions of their own are handed on, and ended, by the master.
    """
    kernel.define(CHAIN)
    run = kernel.start()

    for _ in CHAIN:
        (claim,) = kernel.running(worker)
        assert kernel.complete_within(worker, claim)
        assert kernel.live(run) == {}
        kernel.release()

    assert kernel.state(run) == "Complete"
    assert kernel.ended(run) == ["a", "b", "c"]


def test_a_segment_of_a_graph_needs_no_master(kernel: Kernel, worker):
    """
    Where a job is alone with its successor its worker goes on with it, the count unchanged.
    """
    kernel.define({"a": [], "b": ["a"], "c": ["b"], "side": [], "end": ["c", "side"]})
    run = kernel.start()
    claims = {claim.key.job: claim for claim in kernel.running(worker, 2)}

    (b,) = kernel.complete(worker, claims["a"], want=1).claims
    (c,) = kernel.complete(worker, b, want=1).claims
    kernel.complete(worker, c, claims["side"])
    assert (b.key.job, c.key.job) == ("b", "c")
    assert kernel.run(run).open == 2

    kernel.release()
    assert kernel.live(run) == {"end": "Ready"}


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Up to eight jobs, each after any of those before it."""
    size = draw(st.integers(1, 8))
    names = [f"j{number}" for number in range(size)]
    return {
        name: draw(st.lists(st.sampled_from(names[:at]), unique=True)) if at else []
        for at, name in enumerate(names)
    }


@settings(
    max_examples=20,
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(graph=graphs(), seed=st.integers(0, 2**32))
def test_any_graph_completes_each_job_once_and_in_order(shared: Kernel, graph: Jobs, seed: int):
    """
    Whatever fails, dies, is stuck, cancelled, begun anew, and in whichever order all act:
    every job completes exactly once, after all of its predecessors, and nothing is left.
    """
    name = f"p{next(numbers)}"
    shared.define(graph, name, retry_limit=1, retry_gap_minutes=0)
    story = Story(shared, shared.start(name), name, graph, Random(seed))

    for _ in range(1000):
        if shared.state(story.run) == "Complete":
            break
        story.random.choice(story.moves)()

    assert shared.state(story.run) == "Complete"
    assert sorted(story.complete) == sorted(graph)
    assert shared.ended(story.run) == sorted([*graph, *story.run_again])
    assert shared.run(story.run).open == 0
    assert shared.nothing_left(story.run)


class Story:
    """One run, the moves that there are, and what the naive oracle knows."""

    def __init__(self, kernel: Kernel, run: int, name: str, graph: Jobs, random: Random) -> None:
        self.kernel = kernel
        self.run = run
        self.name = name
        self.graph = graph
        self.random = random
        self.worker: Registration = kernel.worker()
        self.claims = []
        self.complete: list[str] = []
        #: What had completed and was asked for again.
        self.run_again: list[str] = []
        self.moves = [
            self.claim,
            self.begin,
            *[self.report] * 3,
            self.complete_within,
            *[self.release] * 2,
            self.kernel.retry,
            self.kernel.wake,
            self.die,
            self.cancel,
            self.kernel.sweep,
            self.begin_anew,
        ]

    def claim(self) -> None:
        self.take(self.kernel.claim(self.worker, self.random.randint(1, 3)))

    def begin(self) -> None:
        self.kernel.begin(self.worker, *self.some())

    def report(self) -> None:
        states = ["Complete", "Complete", "Failed"]
        if self.kernel.run(self.run).cancelling:
            states = ["Complete", "Failed", "Cancelled"]
        outcomes = [outcome(claim, self.random.choice(states)) for claim in self.some()]
        answer = self.kernel.report(self.worker, *outcomes, want=self.random.randint(0, 2))
        assert answer.refused == []
        self.complete += [each.claim.job for each in outcomes if each.state == "Complete"]
        self.drop({each.claim.token for each in outcomes})
        self.take(answer.claims)

    def complete_within(self) -> None:
        for claim in self.some()[:1]:
            assert self.kernel.complete_within(self.worker, claim)
            self.complete.append(claim.key.job)
            self.drop({claim.token})

    def release(self) -> None:
        runs.release_finished(self.kernel.session, limit=self.random.randint(1, 3))
        self.kernel.check_counts()

    def die(self) -> None:
        """The worker dies, and its late reports are refused."""
        if self.random.random() < 0.5:
            return
        dead, lost = self.worker, self.claims
        self.kernel.bury(dead)
        self.worker, self.claims = self.kernel.worker(), []
        refused = self.kernel.complete(dead, *lost).refused
        assert set(refused) == {claim.token for claim in lost}

    def cancel(self) -> None:
        found = self.kernel.run(self.run)
        if self.random.random() < 0.1 and found.state in ("Running", "Stuck"):
            self.kernel.cancel(self.run)

    def begin_anew(self) -> None:
        """A person asks for what is Stuck, or for a part of what was cancelled."""
        found = self.kernel.run(self.run)
        jobs = [job for job, state in self.kernel.live(self.run).items() if state == "Stuck"]
        if found.state == "Cancelled":
            jobs = sorted(set(self.graph) - set(self.complete)) or self.once_more()
        if jobs and not found.cancelling:
            job = self.random.choice(jobs)
            self.kernel.start(self.name, jobinstance=found.jobinstance, job=job)

    def once_more(self) -> list[str]:
        """Everything was complete when the cancel took effect: one last job runs again."""
        (*_, last) = self.graph
        self.complete.remove(last)
        self.run_again.append(last)
        return [last]

    def take(self, claims) -> None:
        for claim in claims:
            assert set(self.graph[claim.key.job]) <= set(self.complete)
        self.claims += claims

    def some(self):
        return [claim for claim in self.claims if self.random.random() < 0.6]

    def drop(self, tokens: set[int]) -> None:
        self.claims = [claim for claim in self.claims if claim.token not in tokens]
