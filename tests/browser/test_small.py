"""Times that grow older, durations that count, and copies."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import until

DURATIONS = [
    (0, "0 s"),
    (0.000012, "12 µs"),
    (0.4214, "421 ms"),
    (0.9996, "1.0 s"),
    (9.94, "9.9 s"),
    (9.96, "10 s"),
    (59.6, "1 m 00 s"),
    (125.03, "2 m 05 s"),
    (3599.7, "1 h 00 m"),
    (11_520, "3 h 12 m"),
    (259_200, "3 d 00 h"),
    (-3, "−3.0 s"),
    (None, "–"),
]


@pytest.fixture
def blank(page: Page, address: str) -> Page:
    page.goto(f"{address}/part/rush-chart/empty")
    until(page, "() => document.querySelector('rush-chart').answer")
    return page


def put(page: Page, name: str, **attributes: str) -> None:
    page.evaluate(
        """([name, attributes]) => {
            const element = document.createElement(name);
            for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
            element.textContent = "as the server said it";
            document.querySelector("main").append(element);
        }""",
        [name, attributes],
    )


def call(page: Page, module: str, name: str, *arguments: object) -> Any:
    return page.evaluate(
        "async ([module, name, values]) => (await import(`/static/js/${module}.js`))[name](...values)",
        [module, name, list(arguments)],
    )


def test_durations_in_words(blank: Page) -> None:
    """Durations are said as people read them, and never as a count of seconds."""
    said = [(seconds, call(blank, "time", "duration", seconds)) for seconds, _ in DURATIONS]

    assert said == DURATIONS


def test_a_time_says_how_long_ago(blank: Page) -> None:
    """Relative in the page, exact in UTC and in the reader's zone on hover."""
    call(blank, "time", "learnNow", "2026-11-26T01:30:00Z")
    put(blank, "rush-time", at="2026-11-26T01:26:30.123456Z")

    time = blank.locator("rush-time time")
    expect(time).to_have_text("3 min ago")
    expect(time).to_have_attribute("datetime", "2026-11-26T01:26:30.123456Z")
    expect(time).to_have_attribute(
        "title", "2026-11-26 01:26:30.123456 UTC\n2026-11-26 02:26:30.123 UTC+1"
    )


def test_time_is_the_databases(blank: Page) -> None:
    """How long ago something was is counted on the clock of the answers, not on the browser's."""
    call(blank, "time", "learnNow", "2031-01-01T00:00:00Z")
    put(blank, "rush-time", at="2031-01-01T02:00:30Z")

    expect(blank.locator("rush-time")).to_have_text("in 2 h")


def test_a_duration_counts_while_it_has_no_end(blank: Page) -> None:
    """It counts in whole seconds, and stands still when the end is known."""
    call(blank, "time", "learnNow", "2031-01-01T00:00:00Z")
    put(blank, "rush-duration", **{"from": "2030-12-31T23:57:55Z"})
    duration = blank.locator("rush-duration")
    expect(duration).to_have_text("2 m 05 s")
    expect(duration).to_have_text("2 m 06 s")

    duration.evaluate("element => element.setAttribute('to', '2031-01-01T00:00:00Z')")
    expect(duration).to_have_text("2 m 05 s")


def test_what_is_no_time_stays_as_it_was(blank: Page) -> None:
    put(blank, "rush-time", at="never")

    expect(blank.locator("rush-time")).to_have_text("as the server said it")


def test_a_command_is_copied(blank: Page) -> None:
    """The button puts the command on the clipboard and says so."""
    blank.context.grant_permissions(["clipboard-read", "clipboard-write"])
    put(blank, "rush-copy", text="rush retry etl/7")
    blank.get_by_role("button", name="as the server said it").click()

    expect(blank.locator("rush-copy")).to_have_text("Copied")
    assert blank.evaluate("navigator.clipboard.readText()") == "rush retry etl/7"


def test_a_part_that_comes_later_is_loaded_then(blank: Page) -> None:
    """A page reads the scripts of a part when it has one, and not before."""
    loaded = "performance.getEntriesByType('resource').some(entry => entry.name.endsWith('/rush-graph.js'))"
    assert not blank.evaluate(loaded)

    put(blank, "rush-graph", src="/data/graph/defined")

    expect(blank.locator(".gr-box")).to_have_count(9)
    assert blank.evaluate(loaded)


def test_a_part_can_be_moved_on_its_page(blank: Page) -> None:
    """Taken out and put in again it is what it was, and hears of news once."""
    heard = blank.evaluate(
        """() => {
            const part = document.querySelector("rush-chart");
            let heard = 0;
            part.refresh = () => (heard += 1);
            const place = part.parentNode;
            for (let time = 0; time < 3; time += 1) {
                part.remove();
                place.append(part);
            }
            document.dispatchEvent(new CustomEvent("rush:changed", { detail: { topics: [] } }));
            part.remove();
            document.dispatchEvent(new CustomEvent("rush:changed", { detail: { topics: [] } }));
            return heard;
        }"""
    )

    assert heard == 1
