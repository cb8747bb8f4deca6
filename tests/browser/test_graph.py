"""The graph shows the order of jobs, from one to thousands."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Show, until
from tests.web import shapes

CROSSED = """() => {
    // Points along each edge, looked for inside of all boxes.
    const graph = document.querySelector("rush-graph");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const crossed = [];
    for (const edge of graph.edges) {
        path.setAttribute("d", edge.d);
        const length = path.getTotalLength();
        for (let at = 0; at <= length; at += 4) {
            const { x, y } = path.getPointAtLength(at);
            for (const [job, box] of graph.places) {
                if (job === edge.from || job === edge.to) continue;
                if (x > box.x + 1 && x < box.x + box.width - 1 && y > box.y + 1 && y < box.y + box.height - 1)
                    crossed.push([edge.from, edge.to, job]);
            }
        }
    }
    return crossed;
}"""
OVERLAPPING = """() => {
    const boxes = [...document.querySelector("rush-graph").places.values()];
    return boxes.filter((a, i) => boxes.some((b, j) => i < j
        && a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height)).length;
}"""


def places(page: Page) -> dict[str, dict[str, float]]:
    found: Any = page.evaluate("Object.fromEntries(document.querySelector('rush-graph').places)")
    return dict(found)


def test_it_reads_from_left_to_right(show: Show) -> None:
    """Each job stands to the right of all that it waits for."""
    page = show("rush-graph", "crossing")
    at = places(page)

    for job in shapes.crossing()["jobs"]:
        for before in job["depends_on"]:
            assert at[job["job"]]["x"] >= at[before]["x"] + at[before]["width"]


@pytest.mark.parametrize("case", ["crossing", "uneven"])
def test_edges_cross_no_boxes(show: Show, case: str) -> None:
    """Edges go around what stands in a layer, and beside it, in both directions."""
    page = show("rush-graph", case)

    for direction in ("right", "down"):
        page.evaluate(
            "to => document.querySelector('rush-graph').setAttribute('direction', to)", direction
        )
        assert page.evaluate(CROSSED) == []
        assert page.evaluate(OVERLAPPING) == 0


def test_two_thousand_boxes_do_not_overlap(show: Show) -> None:
    """Every box of a large graph has its own place."""
    page = show("rush-graph", "large", focus="all")

    assert len(places(page)) == 2000
    assert page.evaluate(OVERLAPPING) == 0


def test_a_box_says_its_state(show: Show) -> None:
    """Name, state and how long it took stand in the box, and are said to ears."""
    page = show("rush-graph", "nightly")
    box = page.locator('.gr-box[data-job="load_flights"]')

    expect(box).to_contain_text("Complete · 12 s · ×2")
    expect(box).to_have_attribute("aria-label", "load_flights Complete · 12 s · ×2, attempt 2")
    expect(box).to_have_class("gr-box s-Complete")
    expect(box).to_have_attribute("href", "/runs/7/jobs/load_flights")


def test_a_new_state_swaps_classes_and_nothing_else(show: Show) -> None:
    """The elements stay; only what has changed is asked for."""
    page = show("rush-graph", "nightly", states="/states")
    changed = {
        "join": {
            "state": "Failed",
            "seconds": 61.0,
            "started_at": None,
            "attempts": 1,
            "progress": None,
        }
    }
    page.route(
        "**/states", lambda route: route.fulfill(json={"now": shapes.after(400), "states": changed})
    )
    page.evaluate("window.kept = document.querySelector('.gr-box[data-job=join]')")

    page.evaluate("document.querySelector('rush-graph').refresh()")

    box = page.locator('.gr-box[data-job="join"]')
    expect(box).to_have_class("gr-box s-Failed")
    expect(box).to_contain_text("Failed · 1 m 01 s")
    assert page.evaluate("kept === document.querySelector('.gr-box[data-job=join]')")


def test_a_definition_has_no_states(show: Show) -> None:
    """The graph of a pipeline that is not running says names only."""
    page = show("rush-graph", "defined")

    expect(page.locator(".gr-box")).to_have_count(9)
    expect(page.locator(".gr-meta")).to_have_count(0)


def test_the_keyboard_follows_the_edges(show: Show) -> None:
    """Right goes to what waits for a job, left back, up and down beside it; Enter opens it."""
    page = show("rush-graph", "nightly")
    page.locator('.gr-box[data-job="extract_weather"]').focus()

    def focused() -> str:
        return str(page.evaluate("document.activeElement.dataset.job"))

    page.keyboard.press("ArrowRight")
    assert focused() == "load_weather"
    page.keyboard.press("ArrowLeft")
    assert focused() == "extract_weather"
    page.keyboard.press("ArrowUp")
    assert focused() == "extract_flights"
    page.keyboard.press("Enter")
    assert page.evaluate("told") == [["rush:open", {"job": "extract_flights"}]]


def test_many_jobs_begin_with_what_failed(show: Show) -> None:
    """Of two thousand jobs those near to a failure are shown first, and all when asked for."""
    page = show("rush-graph", "large")
    expect(page.locator(".gr-box")).to_have_count(21)

    page.get_by_label("Part of the graph").select_option("all")

    expect(page.locator(".gr-canvas .gr-all.s-Stuck")).to_be_visible()
    expect(page.locator(".gr-canvas .gr-all")).to_have_count(5)
    expect(page.locator(".gr-near")).to_be_hidden()


def test_only_what_is_in_the_window_exists(show: Show) -> None:
    """Near enough to be read, a large graph has as many elements as there is room for."""
    page = show("rush-graph", "large", focus="all")
    page.get_by_placeholder("Find a job").fill("step_1000")
    page.keyboard.press("Enter")

    expect(page.locator('.gr-box[data-job="step_1000"]')).to_be_visible()
    assert page.locator(".gr-box").count() < 150
    expect(page.locator(".gr-map")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator(".gr-map")).to_be_visible()
    until(page, "() => document.querySelector('.gr-map').clientWidth <= 100")


def test_a_job_can_be_looked_at_with_what_belongs_to_it(show: Show) -> None:
    """A double click leaves what the job waits for and what waits for it; Escape brings all back."""
    page = show("rush-graph", "nightly")
    page.locator('.gr-box[data-job="load_weather"]').dblclick()

    expect(page.locator(".gr-box")).to_have_count(6)
    assert ["rush:view", {"focus": "load_weather", "direction": "right"}] in page.evaluate("told")

    page.locator('.gr-box[data-job="join"]').focus()
    page.keyboard.press("Escape")
    expect(page.locator(".gr-box")).to_have_count(9)


def test_dragging_moves_and_does_not_open(show: Show) -> None:
    """A drag that begins on a box moves the drawing; the box is not opened by it."""
    page = show("rush-graph", "crossing")
    before = page.locator('.gr-box[data-job="step_5"]').bounding_box()
    assert before is not None

    page.mouse.move(before["x"] + 20, before["y"] + 20)
    page.mouse.down()
    page.mouse.move(before["x"] - 180, before["y"] + 20, steps=5)
    page.mouse.up()

    until(
        page,
        "x => document.querySelector('[data-job=step_5]').getBoundingClientRect().x < x - 150",
        before["x"],
    )
    assert page.evaluate("told") == []


def test_an_empty_pipeline(show: Show) -> None:
    page = show("rush-graph", "empty")

    expect(page.locator(".empty")).to_contain_text("This pipeline has no jobs.")


def test_what_comes_moves_nothing(show: Show) -> None:
    """When a job more has failed, the part that is shown grows, and what was looked at stays in place."""
    page = show("rush-graph", "large")
    more = shapes.large_graph()
    more["jobs"][1020]["state"] = "Failed"
    page.route("**/data/graph/large", lambda route: route.fulfill(json=more))
    held = page.evaluate("document.querySelector('rush-graph').anchor().job")
    before = page.locator(f'.gr-box[data-job="{held}"]').bounding_box()
    assert before is not None

    page.evaluate("document.querySelector('rush-graph').refresh()")
    until(page, "() => document.querySelector('rush-graph').jobs.length > 21")
    page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )

    after = page.locator(f'.gr-box[data-job="{held}"]').bounding_box()
    assert after is not None
    assert abs(after["x"] - before["x"]) < 40
    assert abs(after["y"] - before["y"]) < 40
