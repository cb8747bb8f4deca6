"""Whatever the database holds is text on a page."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Show
from tests.web import shapes

MADE = "script, iframe, object, embed, base, meta[http-equiv], [onerror], [onload], a[href^='javascript:']"
INJECTED = f"[...document.querySelectorAll(`main :is({MADE})`)].map(each => each.outerHTML)"


def assert_harmless(page: Page) -> None:
    assert page.evaluate("window.pwned") is None
    assert page.evaluate(INJECTED) == []


@pytest.mark.parametrize("part", ["rush-timeline", "rush-graph", "rush-log"])
def test_hostile_names_and_lines_are_text(show: Show, part: str) -> None:
    """Markup, links and controls in names, errors and lines are shown and do nothing."""
    page = show(part, "hostile")

    expect(page.locator(part)).to_contain_text("<img src=x")
    assert_harmless(page)
    page.keyboard.press("Tab")
    page.mouse.move(400, 300)
    assert_harmless(page)


def test_hostile_jobs_in_a_grid(show: Show) -> None:
    """The names of the rows and what is said of a square are text."""
    page = show("rush-grid", "three")
    whole = {**shapes.grid_structure(9, 3), **shapes.grid_states(14, 3)}
    whole["jobs"] = [{"job": text, "depth": 0} for text in shapes.HOSTILE]
    page.evaluate("data => document.querySelector('rush-grid').data = data", whole)

    expect(page.locator(".gd-name").first).to_have_text("<script>window.pwned=1</script>")
    page.locator(".gd-scroll").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("tooltip")).to_contain_text("<script>window.pwned=1</script>")
    assert_harmless(page)


def test_hostile_links_of_a_chart_lead_nowhere(show: Show) -> None:
    """A point whose address is no page's is no link, and its label is text."""
    page = show("rush-chart", "durations", kind="durations")
    data = shapes.durations(len(shapes.HOSTILE))
    for point, text in zip(data["points"], shapes.HOSTILE, strict=True):
        point.update(label=text, href="javascript:window.pwned=1")
    page.evaluate("data => document.querySelector('rush-chart').data = data", data)

    expect(page.locator(".ch-canvas a")).to_have_count(0)
    page.locator(".ch-canvas").focus()
    for _ in shapes.HOSTILE:
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
    assert_harmless(page)


def test_a_hostile_answer_is_text(show: Show) -> None:
    """What a server says about an error is text too."""
    page = show("rush-timeline", "short")
    page.route(
        "**/data/timeline/short",
        lambda route: route.fulfill(
            status=400, json={"detail": "<img src=x onerror=window.pwned=1>"}
        ),
    )
    page.evaluate("document.querySelector('rush-timeline').refresh()")

    expect(page.get_by_role("alert")).to_contain_text("<img src=x onerror=window.pwned=1>")
    assert_harmless(page)


def test_hostile_names_are_encoded_in_addresses(show: Show) -> None:
    """A name in a link is one part of its path, whatever it holds."""
    page = show("rush-graph", "empty")

    paths = page.evaluate(
        """async texts => {
            const { fill } = await import("/static/js/dom.js");
            return texts.map(job => new URL(fill("/runs/{run}/jobs/{job}", { run: 7, job }), location).pathname);
        }""",
        ["../../../login", "a/b?c#d", *shapes.HOSTILE],
    )

    for path, text in zip(paths, ["../../../login", "a/b?c#d", *shapes.HOSTILE], strict=True):
        assert path.startswith("/runs/7/jobs/")
        assert unquote(path.removeprefix("/runs/7/jobs/")) == text
        assert "/" not in path.removeprefix("/runs/7/jobs/")
