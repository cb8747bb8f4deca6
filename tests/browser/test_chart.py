"""Charts of a day and of durations."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Show
from tests.web import shapes


def test_a_day_is_summed_up_in_words(show: Show) -> None:
    """Beside the bars stands how many runs there were of each state."""
    page = show("rush-chart", "day")
    sums = [f"{sum(each['values']):,} {each['name']}" for each in shapes.throughput()["series"]]

    expect(page.locator(".ch-labels .state")).to_have_text(sums)
    expect(page.locator(".ch-bars")).to_have_count(3)


def test_one_failure_among_thousands_can_be_seen(show: Show) -> None:
    """A bar of a failure is at least two pixels high."""
    page = show("rush-chart", "busy")

    heights = page.evaluate(
        """[...document.querySelector(".ch-bars.s-Stuck").getAttribute("d").matchAll(/v-([\\d.]+)/g)].map(m => Number(m[1]))"""
    )
    assert min(heights) == 2


def test_the_keyboard_goes_through_the_day(show: Show) -> None:
    """Arrows say each part of the day; Enter chooses it."""
    page = show("rush-chart", "day")
    page.locator(".ch-canvas").focus()
    page.keyboard.press("ArrowLeft")

    expect(page.get_by_role("status")).to_contain_text("2026-11-26 02:15 to 02:30")
    page.keyboard.press("Enter")
    assert page.evaluate("told") == [
        ["rush:range", {"from": "2026-11-26T01:15:00.000Z", "to": "2026-11-26T01:30:00.000Z"}]
    ]


def test_durations_have_shapes_and_links(show: Show) -> None:
    """Each run is a link to it; what failed is a cross and no dot."""
    page = show("rush-chart", "durations", kind="durations")
    points = shapes.durations()["points"]

    expect(page.locator(".ch-canvas a")).to_have_count(200)
    expect(page.locator(".ch-cross.s-Failed")).to_have_count(
        sum(each["state"] == "Failed" for each in points)
    )
    expect(page.locator(".ch-labels")).to_contain_text("200 runs")
    page.locator(".ch-canvas").focus()
    page.keyboard.press("Home")
    expect(page.get_by_role("status")).to_contain_text("etl/1")


def test_a_quiet_day(show: Show) -> None:
    page = show("rush-chart", "empty")

    expect(page.locator(".empty")).to_contain_text("Nothing ran in this time.")
