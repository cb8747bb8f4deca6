"""Every page answers, with nothing and with something to show."""

from __future__ import annotations

import httpx
import pytest

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
