"""Graphs: parallel branches, fan-out, fan-in, in order and exactly once, also when a worker is killed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.support.project import Project
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]


def test_a_diamond_joins_once_after_both_branches(rush: Project) -> None:
    """a → b ∥ c → d: d runs once, after both."""
    rush.pipeline("p", jobs({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}))
    rush.start("worker1")
    rush.start("worker2")

    run = rush.started("p")
    rush.ended(run)

    assert_in_order(rush, run, {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]})


def test_a_branch_fails_while_the_other_goes_on(rush: Project) -> None:
    """A Stuck job holds back what depends on it alone; re-run from it, the rest is not run again."""
    graph = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
    definition = jobs(graph)
    definition[1] |= {"kind": "Fail", "params": {"until": 2}}
    rush.pipeline("p", definition)
    rush.start()
    run = rush.started("p")
    rush.ended(run, "Stuck")
    assert [job for job, _, state in rush.attempts(run) if state == "Complete"] == ["a", "c"]

    status, reason, again = rush.decided(rush.request("p", job="b", jobinstance=1))
    assert (status, again) == ("Accepted", run), reason
    rush.ended(run)

    assert_in_order(rush, run, graph)
    assert rush.sql(
        "SELECT job, round, attempt, state FROM rush.archive WHERE run_id = %s AND job IN ('b', 'd') ORDER BY 1, 2",
        run,
    ) == [("b", 1, 1, "Failed"), ("b", 2, 2, "Complete"), ("d", 2, 1, "Complete")]


def test_a_thousand_random_jobs_with_a_worker_killed(rush: Project) -> None:
    """A graph of 1,000 random jobs ends in right order, each job complete once, with a worker killed in the middle."""
    rng = random.Random(7)
    names = [f"j{number}" for number in range(1000)]
    graph = {
        name: rng.sample(names[max(0, n - 40) : n], k=min(n, rng.choice([0, 1, 1, 2, 3])))
        for n, name in enumerate(names)
    }
    rush.pipeline("p", jobs(graph, retry_limit=3, retry_gap_minutes=0))
    rush.start("worker1")
    rush.start("worker2")

    run = rush.started("p")
    wait_for(
        lambda: rush.one("SELECT count(*) FROM rush.archive WHERE run_id = %s", run) > 200,
        what="a fifth of the jobs to be over",
        timeout=60,
    )
    rush.kill("worker1")
    rush.ended(run, timeout=60)

    assert_in_order(rush, run, graph)


def test_five_thousand_leaves_into_one(rush: Project) -> None:
    """One job fans out to 5,000 and in again: the last runs once, after all of them."""
    leaves = [f"leaf{number}" for number in range(5000)]
    graph = {"root": [], **{leaf: ["root"] for leaf in leaves}, "end": leaves}
    rush.pipeline("p", jobs(graph, retry_limit=3, retry_gap_minutes=0))
    rush.start("worker1")
    rush.start("worker2")

    run = rush.started("p")
    wait_for(
        lambda: rush.one("SELECT count(*) FROM rush.archive WHERE run_id = %s", run) > 1000,
        what="a fifth of the jobs to be over",
        timeout=60,
    )
    rush.kill("worker2")
    rush.ended(run, timeout=60)

    assert_in_order(rush, run, graph)


def jobs(graph: dict[str, list[str]], **policy: Any) -> list[dict[str, Any]]:
    return [
        {"name": name, "kind": "Noop", "depends_on": before} | policy
        for name, before in graph.items()
    ]


def assert_in_order(rush: Project, run: int, graph: dict[str, list[str]]) -> None:
    """Each job is complete exactly once, and began after its predecessors had ended."""
    rows = rush.sql(
        "SELECT job, started_at, finished_at FROM rush.archive WHERE run_id = %s AND state = 'Complete'",
        run,
    )
    times = {job: (started, finished) for job, started, finished in rows}
    assert len(rows) == len(times) == len(graph)
    late = [
        (before, name)
        for name, predecessors in graph.items()
        for before in predecessors
        if times[before][1] > times[name][0]
    ]
    assert late == []
    assert rush.sql("SELECT open, stuck FROM rush.run WHERE id = %s", run) == [(0, 0)]
    for table in ("run_state", "finished"):
        assert rush.one(f"SELECT count(*) FROM rush.{table}") == 0
