"""Every page answers, with nothing and with something to show."""

from __future__ import annotations

import html
import re

import httpx
import pytest

from rush.store import pipelines
from rush.web.app import routes
from rush.web.guard import Role, needs, role_needed
from tests.support.kernel import CHAIN, Kernel

PLAIN_PAGES = sorted(
    path
    for path, route in routes()
    if "GET" in route.methods
    and "{" not in path
    and not path.startswith(("/api/", "/metrics"))
    and role_needed(route.endpoint) is Role.viewer
)


@pytest.mark.parametrize("path", PLAIN_PAGES)
def test_a_page_of_nothing_says_so(site: httpx.Client, path: str) -> None:
    """In a database where nothing was ever asked for, every page answers."""
    answer = site.get(path)
    assert answer.status_code == 200
    assert "<h1" in answer.text


def test_a_run_is_shown_with_its_jobs(site: httpx.Client, kernel: Kernel) -> None:
    """A run's page has each of its jobs, as it stands."""
    kernel.define(CHAIN, "etl")
    run = kernel.start("etl")
    worker = kernel.worker()
    kernel.complete(worker, *kernel.running(worker))

    shown = site.get(f"/runs/{run}").text

    assert "etl/1" in shown
    assert all(f'id="job-{job}"' in shown for job in CHAIN)
    assert 'data-state="Complete"' in shown


def test_a_run_shows_the_defaults_in_effect(site: httpx.Client, kernel: Kernel) -> None:
    """What was not given is what the definition and the table say, without secrets, and is marked so."""
    job = {"name": "a", "class_name": "jobs.any.Any"}
    params = {"day": "today", "limit": 5, "api_key": "hush"}
    pipelines.apply(kernel.session, "etl", {"params": params, "jobs": [job]})
    kernel.sql(
        "INSERT INTO rush.job_parameter (pipeline, job, name, value) VALUES ('etl', '*', 'limit', '7')"
    )
    kernel.compile()
    plain, given = kernel.start("etl"), kernel.start("etl", params={"day": "2026-11-25"})

    def shown(run: int) -> tuple[str, str]:
        page = html.unescape(site.get(f"/runs/{run}?tab=data").text)
        before, _, after = page.partition("By default")
        return before.rpartition("<h2>Parameters</h2>")[2], after.partition("Results")[0]

    alone, defaults = shown(plain)
    assert "None were given" not in alone
    assert '"day": "today"' in defaults
    assert '"limit": 7' in defaults
    assert "hush" not in defaults
    told, defaults = shown(given)
    assert '"day": "2026-11-25"' in told
    assert "day" not in defaults


def test_a_stuck_run_says_that_a_retry_keeps_its_version(
    site: httpx.Client, kernel: Kernel
) -> None:
    """Who has mended the definition would else retry in vain; a new run takes what is mended."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    run = kernel.start("etl")
    kernel.work(kernel.worker(), failing=["b"])
    kept = "A retry goes on with version 1"
    assert kept not in site.get(f"/runs/{run}").text
    kernel.define(CHAIN, "etl", retry_limit=1)
    page, _, drawer = site.get(f"/runs/{run}?job=b").text.partition('id="drawer"')
    for part in (page, drawer):
        assert "etl is at version 2 now" in part
        assert kept in part
        assert f"/pipelines/etl?tab=run&amp;like={run}" in part


def test_a_retry_says_that_workers_keep_what_they_have_loaded(
    site: httpx.Client, kernel: Kernel
) -> None:
    """Who has mended a class would else retry in vain, wherever the retry is offered."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    run = kernel.start("etl")
    kernel.work(kernel.worker(), failing=["b"])
    page, _, drawer = site.get(f"/runs/{run}?job=b").text.partition('id="drawer"')
    for part in (page, drawer, site.get("/").text):
        (told,) = re.findall(r"<p[^>]*>(Mended its code\?.*?)</p>", part)
        assert 'href="/workers">reload</a>' in told


TABS = [
    "/", "/pipelines", "/runs", "/runs?state=Running&q=etl&span=24h", "/runs?unresolved=1", "/workers",
    "/audit", "/audit?who=alice", "/api/v1",
    *(f"/pipelines/etl?tab={tab}" for tab in ("grid", "graph", "runs", "trends", "definition", "run")),
    *(f"/runs/1?tab={tab}" for tab in ("timeline", "graph", "logs", "data", "events")),
    "/runs/1?job=a",
]  # fmt: skip


@pytest.mark.parametrize("path", TABS)
def test_every_page_has_a_twin_for_programs(site: httpx.Client, kernel: Kernel, path: str) -> None:
    """A quiet link leads to the call that gives the same as JSON."""
    kernel.define(CHAIN, "etl")
    kernel.start("etl")
    link = re.search(r'<p class="twin"><a href="([^"]+)">', site.get(path).text)
    assert link is not None
    answer = site.get(html.unescape(link[1]), headers={"Accept": "application/json"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"


def test_the_twin_of_a_list_has_the_same_filters(site: httpx.Client, kernel: Kernel) -> None:
    """What the page leaves out, the call leaves out."""
    kernel.define(CHAIN, "etl")
    kernel.start("etl")
    assert "/api/v1/runs?state=Stuck&amp;since=3600.0" in site.get("/runs?state=Stuck&span=1h").text


def test_what_is_not_there_is_said_in_the_askers_language(site: httpx.Client) -> None:
    """A person gets a page, a program a problem."""
    assert site.get("/runs/7").status_code == 404
    assert "there is no run 7" in site.get("/runs/7").text
    answer = site.get("/runs/7", headers={"Accept": "application/json"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not found",
        "status": 404,
        "detail": "there is no run 7",
    }


def test_every_handler_says_what_role_it_needs() -> None:
    """A route that nobody has thought about does not start."""

    def handler() -> None: ...

    with pytest.raises(AssertionError, match="does not say what role it needs"):
        role_needed(handler)
    assert role_needed(needs(Role.viewer)(handler)) is Role.viewer
    assert all(isinstance(role_needed(route.endpoint), Role) for _, route in routes())
