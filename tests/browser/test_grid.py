"""The grid shows what became of each job in the last runs."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import Show, until
from tests.web import shapes

CELL = 22


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def colours(page: Page, row: int, column: int) -> list[int]:
    """The colour in the middle of a square."""
    found: Any = page.evaluate(
        """([row, column]) => {
            const grid = document.querySelector("rush-grid");
            const x = (grid.nameWidth + column * 22 + 6 - grid.scroller.scrollLeft) * devicePixelRatio;
            const y = (84 + row * 22 + 6 - grid.scroller.scrollTop) * devicePixelRatio;
            return [...grid.canvas.getContext("2d").getImageData(x, y, 1, 1).data];
        }""",
        [row, column],
    )
    return list(found)


def test_the_newest_run_is_at_the_right_and_in_sight(show: Show) -> None:
    """Of two hundred runs the last are shown first."""
    page = show("rush-grid", "wide")

    newest = page.get_by_role("link", name="Run 200, Running")
    expect(newest).to_be_in_viewport()
    expect(newest).to_have_attribute("href", "/runs/1200")


def test_each_state_has_its_square(show: Show) -> None:
    """What is complete looks otherwise than what is not yet released, and each is said in words."""
    page = show("rush-grid", "three")
    page.locator(".gd-scroll").focus()
    press(page, "ArrowDown")

    expect(page.get_by_role("status")).to_have_text("extract_flights, run 3: Complete")
    expect(page.get_by_role("tooltip")).to_contain_text("extract_flights")
    assert colours(page, 0, 1) != colours(page, 8, 2)
    expect(page.locator(".gd-legend")).to_have_text("WaitingReadyRunningCompleteCancelled")


def test_the_keyboard_opens_and_chooses(show: Show) -> None:
    """Arrows move, Enter opens the job of that run, c and x choose its run and its job."""
    page = show("rush-grid", "three")
    page.locator(".gd-scroll").focus()
    press(page, "ArrowDown", "ArrowDown", "ArrowLeft", "Enter", "c", "x")

    assert page.evaluate("told") == [
        ["rush:open", {"run": 1002, "job": "extract_weather"}],
        ["rush:select", {"runs": [1002], "jobs": []}],
        ["rush:select", {"runs": [1002], "jobs": ["extract_weather"]}],
    ]


def test_shift_chooses_all_between(show: Show) -> None:
    """A second head clicked with Shift chooses the runs from the first to it."""
    page = show("rush-grid", "nightly")
    page.get_by_label("Choose run 12").check()
    page.get_by_label("Choose run 15").click(modifiers=["Shift"])

    assert page.evaluate("told.at(-1)[1].runs") == [1012, 1013, 1014, 1015]


def test_a_click_opens_a_square(show: Show) -> None:
    """The square that is pointed at is the one that is opened."""
    page = show("rush-grid", "three")
    box = page.locator(".gd-scroll").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 224 + CELL * 1 + 11, box["y"] + 84 + CELL * 4 + 11)

    assert page.evaluate("told") == [["rush:open", {"run": 1002, "job": "check_quality"}]]


def test_news_are_only_what_has_changed(show: Show) -> None:
    """After the first time only states are asked for, from where one had come to."""
    page = show("rush-grid", "three")
    before = colours(page, 0, 2)
    with page.expect_request("**/data/grid/three?*") as asked:
        page.evaluate(
            "document.dispatchEvent(new CustomEvent('rush:changed', {detail: {topics: ['pipeline:etl']}}))"
        )

    assert asked.value.url.endswith("/data/grid/three?after=1")
    until(page, "() => document.querySelector('rush-grid').cursor === '2'")
    page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    assert colours(page, 0, 2) != before
    expect(page.locator(".gd-legend")).to_contain_text("Failed")


def test_a_new_run_comes_in_at_the_right(show: Show) -> None:
    """A run that began meanwhile gets a column of its own."""
    page = show("rush-grid", "three")
    run = {**shapes.grid_structure(9, 3)["runs"][2], "id": 1004, "jobinstance": 4}
    delta = {"now": shapes.after(300), "cursor": "2", "changes": [["1004", 0, "r"]], "runs": [run]}
    page.route("**/data/grid/three?after=1", lambda route: route.fulfill(json=delta))

    page.evaluate("document.querySelector('rush-grid').refresh()")

    expect(page.get_by_role("link", name="Run 4, Running")).to_be_visible()


def test_thousands_of_jobs_are_a_few_elements(show: Show) -> None:
    """Of six thousand jobs only the names in the window exist; they can be narrowed down."""
    page = show("rush-grid", "large")
    assert page.locator(".gd-name").count() < 50
    page.evaluate("document.querySelector('.gd-scroll').scrollTop = 22 * 3000")
    expect(page.get_by_label("Choose step_3000")).to_be_visible()

    page.get_by_label("Find a job").fill("step_599")
    expect(page.locator(".gd-name")).to_have_count(10)


def test_a_pipeline_that_never_ran(show: Show) -> None:
    page = show("rush-grid", "empty", empty_command="rush run etl")

    expect(page.locator(".empty")).to_contain_text("This pipeline has not run yet.")
    expect(page.locator(".empty code")).to_have_text("rush run etl")


def test_another_theme_repaints_the_squares(show: Show) -> None:
    """What is painted follows the theme as everything else does."""
    page = show("rush-grid", "three")
    before = colours(page, 0, 1)

    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )

    assert colours(page, 0, 1) != before
