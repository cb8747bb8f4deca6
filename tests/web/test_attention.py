"""What needs attention empties itself: by a person's word, or by a later run that does the same."""

from __future__ import annotations

import re
from typing import Any

import httpx

from rush.store import attention
from tests.support.kernel import CHAIN, DIAMOND, Kernel
from tests.web.test_actions import post


def stuck(kernel: Kernel, pipeline: str = "etl", **asked: Any) -> int:
    """A run that is Stuck at b."""
    run = kernel.start(pipeline, **asked)
    kernel.work(kernel.worker(), failing=["b"])
    assert kernel.state(run) == "Stuck"
    return run


def listed(api: httpx.Client) -> list[int]:
    return [run["id"] for run in api.get("/runs", params={"unresolved": True}).json()["runs"]]


def test_what_somebody_has_looked_at_is_listed_no_more(
    kernel: Kernel, site: httpx.Client, api: httpx.Client
) -> None:
    """It stays Stuck; who has said so, when and why is told on its page and in the audit."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    run = stuck(kernel)
    assert listed(api) == [run]
    home = site.get("/").text
    assert "ValueError: no" in home
    assert ">etl/1</a>" in home
    assert 'href="/runs?span=24h"' in home

    post(site, f"/runs/{run}/acknowledge", why="the shop was closed")

    assert listed(api) == []
    assert "is acknowledged or resolved" in site.get("/").text
    assert "the shop was closed" in site.get(f"/runs/{run}").text
    assert "the shop was closed" in site.get(f"/runs/{run}?tab=events").text
    deed, *_ = api.get("/audit").json()["audit"]
    assert (deed["action"], deed["target"]) == ("acknowledge", "etl/1")
    resolution = api.get(f"/runs/{run}/resolution").json()
    assert (resolution["unresolved"], resolution["why"]) == (False, "the shop was closed")
    again = api.post(f"/runs/{run}/acknowledge", json={})
    assert again.status_code == 409
    assert kernel.state(run) == "Stuck"


def test_what_gets_stuck_after_that_is_listed_again(kernel: Kernel, api: httpx.Client) -> None:
    """In another branch of the same run, or in another round of the same job."""
    kernel.define(DIAMOND, "etl", retry_limit=0)
    run = kernel.start("etl")
    worker = kernel.worker()
    kernel.complete(worker, *kernel.running(worker))
    kernel.release()
    first, second = kernel.running(worker, 2)
    kernel.fail(worker, first)
    kernel.retry()
    assert listed(api) == [run]
    api.post(f"/runs/{run}/acknowledge", json={})
    assert listed(api) == []
    kernel.fail(worker, second)
    kernel.retry()
    assert listed(api) == [run]

    api.post(f"/runs/{run}/acknowledge", json={})
    kernel.accepted(kernel.request("etl", job="b", jobinstance=1))
    assert listed(api) == []
    kernel.work(worker, failing=["b"])
    assert listed(api) == [run]


def test_a_later_run_that_does_the_same_resolves_it(
    kernel: Kernel, site: httpx.Client, api: httpx.Client
) -> None:
    """With the same parameters, and Complete: another day, or a run that is not through, does not."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    run = stuck(kernel, params={"day": "2026-11-25"})
    other = kernel.start("etl", params={"day": "2026-11-26"})
    kernel.work(kernel.worker())
    assert kernel.state(other) == "Complete"
    same = kernel.start("etl", params={"day": "2026-11-25"})
    assert listed(api) == [run]
    kernel.work(kernel.worker())
    assert listed(api) == []
    resolution = api.get(f"/runs/{run}/resolution").json()
    assert (resolution["resolved_by"], resolution["resolved_by_name"]) == (same, "etl/3")
    assert re.search(r"Resolved by <a href=\"/runs/3\">etl/3</a>", site.get(f"/runs/{run}").text)
    assert api.get(f"/runs/{same}/resolution").json() is None


def test_a_rerun_that_ends_well_resolves_it(kernel: Kernel, api: httpx.Client) -> None:
    """Nothing of it is Stuck any more."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    run = stuck(kernel)
    kernel.accepted(kernel.request("etl", job="b", jobinstance=1))
    kernel.work(kernel.worker())
    assert kernel.state(run) == "Complete"
    assert listed(api) == []


def test_what_was_resolved_stays_so_when_that_run_is_forgotten(
    kernel: Kernel, api: httpx.Client
) -> None:
    """The master keeps it, before retention may take the later run away."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    run = stuck(kernel)
    later = kernel.start("etl")
    kernel.work(kernel.worker())
    assert attention.settle_resolved(kernel.session, limit=100) == 1
    assert attention.settle_resolved(kernel.session, limit=100) == 0
    kernel.sql("DELETE FROM rush.run WHERE id = %s", later)
    assert listed(api) == []
    assert api.get(f"/runs/{run}/resolution").json()["unresolved"] is False


def test_a_group_is_acknowledged_together_and_no_other(
    kernel: Kernel, site: httpx.Client, api: httpx.Client
) -> None:
    """By its error within its pipeline; or those that were chosen."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    kernel.define(CHAIN, "other", retry_limit=0)
    first, second, third = stuck(kernel), stuck(kernel, params={"n": 1}), stuck(kernel, "other")
    post(
        site,
        "/runs/many",
        action="acknowledge",
        all="1",
        pipeline="etl",
        q="ValueError: no",
        why="known",
    )
    assert listed(api) == [third]
    said = api.post("/runs/many/acknowledge", json={"runs": [first, second, third]}).json()["said"]
    assert said == "Attention is no more needed by 1 run"
    assert listed(api) == []


def test_the_pages_of_runs_can_list_what_needs_attention(
    kernel: Kernel, site: httpx.Client
) -> None:
    """With the counts of that alone."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    run = stuck(kernel, params={"n": 1})
    kernel.start("etl")
    kernel.work(kernel.worker())
    shown = site.get("/runs?unresolved=1").text
    assert f'id="run-{run}"' in shown
    assert 'id="run-2"' not in shown
