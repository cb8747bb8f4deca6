"""Whose turn it is: priority first, then pipelines in turns, and a run before newer ones."""

from __future__ import annotations

from collections import Counter

from rush.store import requests
from tests.support.kernel import CHAIN, Kernel


def served(kernel: Kernel, worker, jobs: int) -> list[str]:
    """The pipelines of the next so many jobs, one claimed and completed after the other."""
    found = []
    for _ in range(jobs):
        (claim,) = kernel.claim(worker)
        found.append(claim.pipeline)
        kernel.complete(worker, claim)
        kernel.release()
    return found


def ask(kernel: Kernel, pipeline: str, runs: int) -> None:
    for _ in range(runs):
        requests.submit(kernel.session, pipeline=pipeline)
    kernel.take()


def test_a_large_pipeline_does_not_starve_another(kernel: Kernel, worker):
    """What is asked for behind hundreds of runs of another pipeline has every second turn."""
    kernel.define({"a": []}, "large")
    kernel.define({"a": []}, "small")
    ask(kernel, "large", 300)
    assert set(served(kernel, worker, 20)) == {"large"}

    ask(kernel, "small", 10)

    assert Counter(served(kernel, worker, 21)) == {"small": 10, "large": 11}


def test_nobody_is_served_in_advance_or_in_arrears(kernel: Kernel, worker):
    """What a pipeline has had in the past is forgotten: a second burst takes turns like the first."""
    kernel.define({"a": []}, "first")
    kernel.define({"a": []}, "second")
    ask(kernel, "first", 50)
    served(kernel, worker, 50)

    ask(kernel, "second", 50)
    served(kernel, worker, 10)
    ask(kernel, "first", 10)

    assert Counter(served(kernel, worker, 21)) == {"first": 10, "second": 11}


def test_a_large_fan_out_lets_others_pass(kernel: Kernel, worker):
    """A run that becomes hundreds of jobs at once stands in the line with each of them."""
    middle = {f"m{n}": ["a"] for n in range(200)}
    kernel.define({"a": [], **middle, "z": list(middle)}, "wide")
    kernel.define({"a": []}, "small")
    ask(kernel, "wide", 1)
    assert served(kernel, worker, 21) == ["wide"] * 21

    ask(kernel, "small", 5)

    assert Counter(served(kernel, worker, 11)) == {"small": 5, "wide": 6}


def test_a_run_goes_on_before_a_new_one_begins(kernel: Kernel, worker):
    """The successors of what has begun come before the first jobs of what was asked for later."""
    kernel.define(CHAIN, "chain")
    ask(kernel, "chain", 5)

    begun = []
    for _ in range(15):
        (claim,) = kernel.claim(worker)
        begun.append((claim.jobinstance, claim.job))
        kernel.complete(worker, claim)

    assert begun == [(run, job) for run in range(1, 6) for job in "abc"]


def test_a_high_priority_comes_first_whatever_the_turns_are(kernel: Kernel, worker):
    """Turns are taken among jobs of one priority."""
    kernel.define({"a": []}, "plain")
    kernel.define({"a": []}, "urgent", priority=1)
    ask(kernel, "plain", 5)
    ask(kernel, "urgent", 5)

    assert served(kernel, worker, 10) == ["urgent"] * 5 + ["plain"] * 5


def test_requests_decided_one_by_one_take_turns_too(kernel: Kernel, worker):
    """A run whose number was asked for has a turn like any other."""
    kernel.define({"a": []}, "large")
    kernel.define({"a": []}, "small")
    ask(kernel, "large", 50)
    for number in range(1, 6):
        requests.submit(kernel.session, pipeline="small", jobinstance=number)
    kernel.take()

    assert Counter(served(kernel, worker, 11)) == {"small": 5, "large": 6}
