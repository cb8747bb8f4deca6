"""The timeline tells what a run did, truly, at any length."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Show, until
from tests.web import shapes

Box = dict[str, float]


def box_of(page: Page, job: str, part: str, number: int = 0) -> Box:
    found = page.locator(f'[data-job="{job}"] .tl-{part}').nth(number).bounding_box()
    assert found is not None
    return dict(found)


def test_each_attempt_is_a_bar_that_says_its_times(show: Show) -> None:
    """Two attempts are two bars, and each says to ears what it shows to eyes."""
    page = show("rush-timeline", "nightly")

    bars = page.locator('[data-job="load_flights"] .tl-bar')
    expect(bars).to_have_count(2)
    said = bars.nth(0).get_attribute("aria-label") or ""
    assert said.startswith(
        "load_flights: Attempt 1, Failed, Waited 4.0 s, Ran 24 s, Worker thread1"
    )
    assert "Started 2026-11-26 01:31:06.000000 UTC" in said
    assert "Backed off 1 m 00 s" in (bars.nth(1).get_attribute("aria-label") or "")


def test_bars_are_as_long_as_the_times(show: Show) -> None:
    """Twice the time is twice the width, and what follows begins where the other ended."""
    page = show("rush-timeline", "short")

    extract, transform, load = (
        box_of(page, job, "run") for job in ("extract_data", "transform_data", "load_data")
    )
    scale = extract["width"] / 0.508345
    assert abs(transform["width"] - 1.186 * scale) < 1.5
    assert abs(load["width"] - 0.299 * scale) < 1.5
    assert abs(transform["x"] - extract["x"] - extract["width"]) < 3


def test_three_days_are_shown_as_truly_as_two_seconds(show: Show) -> None:
    """A run of three days fills its lanes; an attempt of two seconds in it can still be seen."""
    page = show("rush-timeline", "long")

    crawl, index = box_of(page, "crawl", "run"), box_of(page, "index", "run")
    assert abs(crawl["width"] / index["width"] - 40 / 30) < 0.02
    assert box_of(page, "publish", "run")["width"] >= 3
    expect(page.locator(".tl-gap")).to_have_count(0)


def test_idle_days_are_left_out_and_can_be_shown(show: Show) -> None:
    """A re-run three days later does not squash the run; the gap says how long it is."""
    page = show("rush-timeline", "days")

    expect(page.locator(".tl-gap")).to_have_text("2 d 23 h")
    assert box_of(page, "extract_data", "run")["width"] > 100

    page.get_by_role("button", name="Show the idle time too").click()

    expect(page.locator(".tl-gap")).to_have_count(0)
    assert box_of(page, "extract_data", "run")["width"] < 5
    assert page.evaluate("told") == [["rush:view", {"gaps": "true", "round": "all"}]]


def test_a_round_can_be_looked_at_alone(show: Show) -> None:
    """With one round chosen the others' bars are gone."""
    page = show("rush-timeline", "days")
    page.get_by_label("Round", exact=True).select_option("2")

    expect(page.locator('[data-job="extract_data"] .tl-bar')).to_have_count(0)
    expect(page.locator('[data-job="transform_data"] .tl-bar')).to_have_count(1)


def test_the_path_that_decided_is_stronger(show: Show) -> None:
    """The jobs that the run waited for longest stand out, and are named below."""
    page = show("rush-timeline", "nightly")

    expect(page.locator(".tl-critical")).to_have_count(3)
    expect(page.locator(".tl-foot")).to_contain_text("extract_flights → load_flights → join")
    assert box_of(page, "join", "run")["height"] > box_of(page, "load_weather", "run")["height"]


def test_tries_of_a_job_stand_in_one_row(show: Show) -> None:
    """One attempt follows the other, also where the clock says they touch; what is Stuck stands behind."""
    page = show("rush-timeline", "long")

    expect(page.locator(".tl-foot")).to_contain_text("crawl → index → publish, 3 d 00 h")
    tops = page.locator('[data-job="publish"] .tl-bar').evaluate_all(
        "bars => bars.map(bar => bar.offsetTop)"
    )
    assert tops == [0, 0, 0, 0]
    failed = page.locator('[data-job="publish"] .tl-bar').nth(2).bounding_box()
    stuck = page.locator('[data-job="publish"] .tl-bar').nth(3).bounding_box()
    assert failed is not None
    assert stuck is not None
    assert abs(stuck["x"] - failed["x"] - failed["width"]) < 2


def test_what_runs_grows_with_the_time(show: Show) -> None:
    """The line for now moves, and the bar of what runs with it, without asking again."""
    page = show("rush-timeline", "quick")
    before = box_of(page, "join", "run")["width"]
    until(
        page,
        "before => document.querySelector('[data-job=join] .tl-run').getBoundingClientRect().width > before + 5",
        before,
    )

    apart = page.evaluate(
        """() => document.querySelector(".tl-now").getBoundingClientRect().x
            - document.querySelector("[data-job=join] .tl-run").getBoundingClientRect().right"""
    )
    assert abs(apart) < 3


def test_the_keyboard_goes_from_bar_to_bar(show: Show) -> None:
    """Tab reaches one bar, arrows the others, and Enter opens what has the focus."""
    page = show("rush-timeline", "nightly")
    page.locator(".tl-bar").first.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)

    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused.startswith("load_flights: Attempt 1")
    expect(page.get_by_role("tooltip")).to_contain_text('relation "flights" does not exist')
    expect(page.locator('.tl-bar[tabindex="0"]')).to_have_count(1)

    page.keyboard.press("Enter")
    assert page.evaluate("told") == [
        ["rush:open", {"job": "load_flights", "item": 0, "round": 1, "attempt": 1}]
    ]


def test_news_change_only_what_is_new(show: Show) -> None:
    """After a change the other lanes are the same elements, and the focus is where it was."""
    page = show("rush-timeline", "nightly")
    run = shapes.nightly()
    run["jobs"][5]["state"] = "Complete"
    run["jobs"][5]["attempts"][0].update(state="Complete", finished_at=run["now"])
    page.route("**/data/timeline/nightly", lambda route: route.fulfill(json=run))
    page.locator('[data-job="join"] .tl-bar').focus()
    page.evaluate("window.kept = document.querySelector('[data-job=extract_flights]')")

    page.evaluate(
        "document.dispatchEvent(new CustomEvent('rush:changed', {detail: {topics: ['run:7']}}))"
    )

    expect(page.locator('[data-job="join"] .tl-bar')).to_have_class("tl-bar s-Complete")
    assert page.evaluate("kept === document.querySelector('[data-job=extract_flights]')")
    assert page.evaluate("document.activeElement.closest('li')?.dataset.job") == "join"


def test_other_topics_change_nothing(show: Show) -> None:
    """News about another run do not make it read again; news about everything do."""
    page = show("rush-timeline", "short")

    asked = page.evaluate(
        """() => {
            let asked = 0;
            document.querySelector("rush-timeline").refresh = () => (asked += 1);
            for (const topics of [["run:8"], ["run:8", "run:7"], []])
                document.dispatchEvent(new CustomEvent("rush:changed", {detail: {topics}}));
            return asked;
        }"""
    )

    assert asked == 2


def test_nothing_yet(show: Show) -> None:
    """A run without jobs says so."""
    page = show("rush-timeline", "empty", empty_command="rush explain 7")

    expect(page.locator(".empty")).to_contain_text("This run has no jobs yet.")
    expect(page.locator(".empty code")).to_have_text("rush explain 7")


def test_what_goes_wrong_is_said_and_tried_again(show: Show) -> None:
    """An answer that is an error is shown above what was there, with a button to try again."""
    page = show("rush-timeline", "short")
    page.route(
        "**/data/timeline/short",
        lambda route: route.fulfill(status=503, json={"detail": "The database is out of reach."}),
        times=1,
    )
    page.evaluate("document.querySelector('rush-timeline').refresh()")

    expect(page.get_by_role("alert")).to_contain_text("The database is out of reach.")
    expect(page.locator(".tl-bar")).to_have_count(3)

    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_thousands_of_lanes_can_be_narrowed_down(show: Show) -> None:
    """Among two thousand jobs one may look at those that decided, or failed."""
    page = show("rush-timeline", "large")
    expect(page.locator(".tl-lane")).to_have_count(2000)

    page.get_by_label("Jobs shown").select_option("critical")

    critical = page.locator(".tl-critical")
    assert 10 < critical.count() == page.locator(".tl-lane").count() < 100
