"""How soon one sees a page: first paint and, where a part draws itself, that; and what was sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import psycopg
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from benchmarks.pages.history import CHATTY, LARGE, WIDE, names
from benchmarks.parts import DRAWN, FRAMES
from tests.browser.conftest import FLAGS, find_chromium

#: How often a page is opened with what the browser has kept of it.
AGAIN = 5

PAINTED = """() => new Promise(done => {
    const seen = entries => {
        const [first] = entries.filter(entry => entry.name === "first-contentful-paint");
        if (first) done(first.startTime);
    };
    new PerformanceObserver(list => seen(list.getEntries())).observe({ type: "paint", buffered: true });
})"""

#: What came over the wire, and what of it was kept from before.
SENT = """() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
    .reduce((sum, entry) => sum + entry.transferSize, 0)"""
ASKED = """() => performance.getEntriesByType("resource").filter(entry => entry.transferSize > 0).length + 1"""
ANSWERED = """() => performance.getEntriesByType("navigation")[0].responseEnd"""


@dataclass(frozen=True, slots=True)
class View:
    """A page, the part in it that draws itself, what is done to it then, and how soon it must be seen."""

    name: str
    path: str
    part: str = ""
    how: str = ""
    goal: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """In milliseconds and bytes."""

    painted: float
    drawn: float | None
    answered: float
    sent: int
    asked: int
    frames: tuple[float, float, float] | None = None


def views(connection: psycopg.Connection[Any]) -> Iterator[View]:
    def newest(pipeline: str) -> int:
        (run,) = connection.execute(
            "SELECT max(id) FROM rush.run WHERE pipeline = %s AND state = 'Complete'", [pipeline]
        ).fetchone() or (0,)
        return run

    frequent = names()[0]
    run, large, talk = newest(frequent), newest(LARGE), newest(CHATTY)
    yield View("home", "/", "rush-chart", goal=300)
    yield View("pipelines", "/pipelines")
    yield View("runs", "/runs")
    yield View("runs that are Stuck", "/runs?state=Stuck")
    yield View("runs with a text", "/runs?q=eu-7")
    yield View("runs with a text that is nowhere", "/runs?q=zebra")
    yield View("workers", "/workers")
    yield View("audit", "/audit")
    yield View("a run: timeline", f"/runs/{run}", "rush-timeline")
    yield View("a run: logs", f"/runs/{run}?tab=logs", "rush-log")
    yield View("a run: events", f"/runs/{run}?tab=events")
    yield View("a run: a job beside it", f"/runs/{run}?job=job_0", "rush-timeline")
    yield View("a pipeline: grid", f"/pipelines/{frequent}", "rush-grid")
    yield View("a pipeline: runs", f"/pipelines/{frequent}?tab=runs")
    yield View("a pipeline: trends", f"/pipelines/{frequent}?tab=trends", "rush-chart")
    yield View("2,000 jobs: graph", f"/runs/{large}?tab=graph", "rush-graph", "drag", goal=1000)
    yield View("2,000 jobs: timeline", f"/runs/{large}", "rush-timeline", "scroll")
    yield View("6,000 jobs x 10 runs: grid", f"/pipelines/{WIDE}?runs=10", "rush-grid", "scroll")
    yield View("6,000 jobs: definition", f"/pipelines/{WIDE}?tab=definition")
    yield View(
        "6,000 jobs: what has changed", f"/pipelines/{WIDE}?tab=definition&version=2&against=1"
    )
    yield View("1,000,000 lines: log", f"/runs/{talk}?tab=logs", "rush-log", "scroll")


def look(browser: Browser, address: str, view: View) -> tuple[Seen, Seen]:
    """The page as somebody sees it who was never here, and who was."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(60_000)
    cold = _open(context, address, view)
    warm = [_open(context, address, view, move=at == 0) for at in range(AGAIN)]
    context.close()
    drawn = [each.drawn for each in warm if each.drawn is not None]
    return cold, Seen(
        painted=median(each.painted for each in warm),
        drawn=median(drawn) if drawn else None,
        answered=median(each.answered for each in warm),
        sent=round(median(each.sent for each in warm)),
        asked=round(median(each.asked for each in warm)),
        frames=warm[0].frames,
    )


def _open(context: BrowserContext, address: str, view: View, *, move: bool = False) -> Seen:
    page: Page = context.new_page()
    page.goto(address + view.path)
    painted = page.evaluate(PAINTED)
    drawn = page.evaluate(DRAWN, view.part) if view.part else None
    page.wait_for_load_state("load")
    seen = Seen(
        painted=painted,
        drawn=drawn,
        answered=page.evaluate(ANSWERED),
        sent=page.evaluate(SENT),
        asked=page.evaluate(ASKED),
        frames=_moved(page, view) if move and view.how else None,
    )
    page.close()
    return seen


def _moved(page: Page, view: View) -> tuple[float, float, float]:
    frames = sorted(page.evaluate(FRAMES, [view.part, view.how]))
    return median(frames), frames[int(len(frames) * 0.95)], frames[-1]


def all_views(
    address: str, connection: psycopg.Connection[Any], only: str
) -> Iterator[tuple[View, Seen, Seen]]:
    program = find_chromium()
    if program is None:
        raise SystemExit(
            "no Chromium on this machine: apt-get install chromium, or set RUSH_CHROMIUM"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        # The browser's own start is nobody's page.
        browser.new_context().new_page().goto(address + "/audit")
        for view in views(connection):
            if only in view.name:
                yield view, *look(browser, address, view)
        browser.close()
