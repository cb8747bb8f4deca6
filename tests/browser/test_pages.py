"""The pages themselves: they follow what happens, and what is done on them is done."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Page, expect

from rush.web.app import Options
from tests.support.kernel import CHAIN, Kernel
from tests.web.conftest import serving


@pytest.fixture
def kernel(connection: psycopg.Connection[Any]) -> Kernel:
    """A master and workers by their verbs, in the database that the dashboard shows."""
    return Kernel(connection)


@pytest.fixture
def site(kernel: Kernel, database: str) -> Iterator[str]:
    """The address of a dashboard over the same database."""
    with serving(Options(database_url=database)) as address:
        yield address


def test_a_new_run_comes_into_the_list_by_itself(kernel: Kernel, site: str, page: Page) -> None:
    """Nobody loads the page again."""
    kernel.define(CHAIN, "etl")
    kernel.start("etl")
    page.goto(f"{site}/runs")
    expect(page.get_by_role("link", name="etl/1")).to_be_visible()
    page.evaluate("window.same = true")
    kernel.start("etl")
    expect(page.get_by_role("link", name="etl/2")).to_be_visible()
    assert page.evaluate("window.same")


def test_new_runs_wait_while_somebody_points_at_the_list(
    kernel: Kernel, site: str, page: Page
) -> None:
    """A line above says how many; it lets them in."""
    kernel.define(CHAIN, "etl")
    kernel.start("etl")
    page.goto(f"{site}/runs")
    page.get_by_role("link", name="etl/1").hover()
    kernel.start("etl")
    news = page.get_by_role("button", name="1 new")
    expect(news).to_be_visible()
    expect(page.get_by_role("link", name="etl/2")).to_have_count(0)
    news.click()
    expect(page.get_by_role("link", name="etl/2")).to_be_visible()


def test_a_job_opens_beside_its_run_and_the_address_says_so(
    kernel: Kernel, site: str, page: Page
) -> None:
    """It stays open while things change; Escape closes it, and going back opens it again."""
    kernel.define(CHAIN, "etl")
    run = kernel.start("etl")
    worker = kernel.worker()
    claims = kernel.running(worker)
    page.goto(f"{site}/runs/{run}")
    page.evaluate("window.same = true")
    page.locator("#job-a a").click()
    drawer = page.get_by_role("complementary", name="Job a")
    expect(drawer.locator("header .state")).to_have_text("Running")
    expect(page).to_have_url(re.compile(r"job=a"))
    kernel.complete(worker, *claims)
    expect(drawer.locator("header .state")).to_have_text("Complete")
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    page.go_back()
    expect(drawer).to_be_visible()
    assert page.evaluate("window.same")


def test_a_run_is_cancelled_with_a_reason(kernel: Kernel, site: str, page: Page) -> None:
    """The button asks first, tells the command, and the audit knows why."""
    kernel.define(CHAIN, "etl")
    run = kernel.start("etl")
    page.goto(f"{site}/runs/{run}")
    page.get_by_role("button", name="Cancel run").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("rush cancel etl/1")
    dialog.get_by_label("Why").fill("wrong day")
    dialog.get_by_role("button", name="Cancel run").click()
    expect(page.locator(".toasts")).to_contain_text("etl/1")
    page.goto(f"{site}/audit")
    expect(page.locator("tbody tr", has_text="cancel")).to_contain_text("wrong day")


def test_last_lines_that_nobody_tells_of_are_shown(kernel: Kernel, site: str, page: Page) -> None:
    """A job that has committed by itself is over before its last lines are kept."""
    kernel.define({"a": []}, "etl")
    run = kernel.start("etl")
    worker = kernel.worker()
    (claim,) = kernel.running(worker)
    kernel.append_log(worker, claim, "2026-11-25T08:00:00Z INFO at first")
    assert kernel.complete_within(worker, claim)
    kernel.release()
    page.goto(f"{site}/runs/{run}?tab=logs")
    expect(page.get_by_text("at first")).to_be_visible()
    kernel.append_log(worker, claim, "2026-11-25T08:00:01Z INFO at last", part=1)
    expect(page.get_by_text("at last")).to_be_visible()


def test_what_is_stuck_is_acknowledged_where_it_is_seen(
    kernel: Kernel, site: str, page: Page
) -> None:
    """The first page empties itself, and the run says who has looked at it."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    run = kernel.start("etl")
    kernel.work(kernel.worker(), failing=["b"])
    page.goto(site)
    page.get_by_role("button", name="Acknowledge").click()
    dialog = page.get_by_role("dialog", name="Acknowledge")
    expect(dialog).to_contain_text("rush acknowledge etl/1")
    dialog.get_by_label("Why").fill("the shop was closed")
    dialog.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("is acknowledged or resolved")).to_be_visible()
    page.goto(f"{site}/runs/{run}")
    expect(page.locator(".banner", has_text="Acknowledged by")).to_contain_text("closed")


@pytest.mark.parametrize("width", [390, 1440])
def test_why_a_job_failed_is_seen_before_anything_else_of_it(
    kernel: Kernel, site: str, page: Page, width: int
) -> None:
    """On a telephone too nobody looks for it below a list of facts."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    run = kernel.start("etl")
    kernel.work(kernel.worker(), failing=["b"])
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{site}/runs/{run}?job=b")
    expect(page.get_by_role("heading", name="Why attempt 1 failed")).to_be_in_viewport()
    why, facts = (
        page.locator(f".drawer {part}").first.bounding_box() for part in ("pre.code", ".facts")
    )
    assert why is not None
    assert facts is not None
    assert why["y"] + why["height"] <= facts["y"]


def test_a_failure_shows_what_it_was_given_without_scrolling(
    kernel: Kernel, site: str, page: Page
) -> None:
    """An error seldom names the value that is wrong; below facts and a log nobody would see it."""
    kernel.define(CHAIN, "etl", retry_limit=0, params={"day": "2026-11-31"})
    run = kernel.start("etl")
    kernel.work(kernel.worker(), failing=["b"])
    page.goto(f"{site}/runs/{run}?job=b")
    drawer = page.locator(".drawer")
    expect(drawer.get_by_text("2026-11-31").last).to_be_in_viewport()
    names = ["Why attempt 1 failed", "Parameters", "Log"]
    headings = drawer.locator("section > h3")
    expect(headings).to_have_text(names)
    kernel.request("etl", job="b", jobinstance=1, params={"day": "2026-11-30"})
    kernel.take()
    kernel.work(kernel.worker("w2"))
    page.goto(f"{site}/runs/{run}?job=b&attempt=1")
    expect(headings.nth(2)).to_have_text("Parameters now")


def test_other_parameters_have_the_width_of_the_form(kernel: Kernel, site: str, page: Page) -> None:
    """As wide as the field for the reason, with the hint below."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    run = kernel.start("etl")
    kernel.work(kernel.worker(), failing=["b"])
    page.goto(f"{site}/runs/{run}?job=b")
    page.get_by_role("button", name="Retry b").click()
    dialog = page.get_by_role("dialog", name="Retry b")
    dialog.get_by_text("With other parameters").click()
    params = dialog.get_by_label("Parameters").bounding_box()
    reason = dialog.get_by_label("Why").bounding_box()
    assert params is not None
    assert reason is not None
    assert params["width"] == reason["width"]


def test_a_dialog_in_a_table_shows_its_whole_sentence(
    kernel: Kernel, site: str, page: Page
) -> None:
    """Its lines break, though those of the cell that it stands in do not."""
    kernel.worker()
    page.goto(f"{site}/workers")
    page.get_by_role("button", name="Reload").first.click()
    dialog = page.get_by_role("dialog", name="Reload")
    expect(dialog).to_contain_text("What runs goes on.")
    assert dialog.evaluate("it => it.scrollWidth <= it.clientWidth")


def test_the_command_of_a_retry_follows_its_form(kernel: Kernel, site: str, page: Page) -> None:
    """What is changed of the parameters, and why, as a shell takes it; what is not changed is left out."""
    kernel.define(CHAIN, "etl", retry_limit=0, params={"day": "2026-11-25", "limit": 5})
    run = kernel.start("etl")
    kernel.work(kernel.worker(), failing=["b"])
    page.goto(f"{site}/runs/{run}?job=b")
    page.get_by_role("button", name="Retry b").click()
    dialog = page.get_by_role("dialog", name="Retry b")
    command = dialog.locator("[data-command] code")
    expect(command).to_have_text("rush retry etl/1 b")
    dialog.get_by_text("With other parameters").click()
    dialog.get_by_label("Parameters").fill("day=2026-11-25\nlimit=50\nnote=it's late")
    dialog.get_by_label("Why").fill("mended; see wiki")
    told = "rush retry etl/1 b -p limit=50 -p 'note=it'\\''s late' --why 'mended; see wiki'"
    expect(command).to_have_text(told)
    expect(dialog.locator("[data-command] button")).to_have_attribute("title", told)
    assert shlex.split(told)[-3:] == ["note=it's late", "--why", "mended; see wiki"]
    dialog.get_by_label("Parameters").fill("day=2026-11-25\nlimit=5")
    dialog.get_by_label("Why").fill("")
    expect(command).to_have_text("rush retry etl/1 b")


def test_a_slip_in_a_form_is_told_before_it_is_sent(kernel: Kernel, site: str, page: Page) -> None:
    """A line that is no parameter loses nothing of what was typed; new names and missing ones are named."""
    kernel.define(CHAIN, "etl", retry_limit=0, params={"day": "2026-11-25", "limit": 5})
    run = kernel.start("etl")
    kernel.work(kernel.worker(), failing=["b"])
    page.goto(f"{site}/runs/{run}?job=b")
    page.get_by_role("button", name="Retry b").click()
    dialog = page.get_by_role("dialog", name="Retry b")
    dialog.get_by_text("With other parameters").click()
    field = dialog.get_by_label("Parameters")

    field.fill("dya=2026-11-26\nlimit=5")
    expect(dialog.locator("[data-slips]")).to_have_text("New: dya. Stays as it is: day.")

    field.fill("day 2026-11-26\nlimit=5")
    dialog.get_by_role("button", name="Retry b").click()
    expect(dialog).to_be_visible()
    assert field.evaluate("field => field.validationMessage") == "“day 2026-11-26” is no key=value"
    assert field.input_value() == "day 2026-11-26\nlimit=5"

    field.fill("day=2026-11-26\nlimit=5")
    expect(dialog.locator("[data-slips]")).to_have_text("")
    dialog.get_by_role("button", name="Retry b").click()
    expect(page.locator(".toasts")).to_contain_text("etl/1")


def test_what_is_chosen_on_a_grid_is_run_again(kernel: Kernel, site: str, page: Page) -> None:
    """Columns are runs, rows are jobs: a bar below says how many, and takes them on."""
    kernel.define(CHAIN, "etl")
    for _ in range(2):
        kernel.start("etl")
    kernel.work(kernel.worker())
    page.goto(f"{site}/pipelines/etl?tab=grid")
    bar = page.get_by_role("form", name="Do something to the chosen runs")
    expect(bar).to_be_hidden()
    page.get_by_label("Choose run 2").check()
    expect(bar).to_contain_text("1 run")
    expect(bar.get_by_role("button", name="Cancel")).to_be_enabled()
    page.get_by_label("Choose b").check()
    expect(bar).to_contain_text("1 run, 1 job")
    bar.get_by_role("button", name="Run again from these jobs").click()
    expect(page.locator(".toasts")).to_contain_text("It is asked to run 1 job again")
    asked = kernel.sql("SELECT job, jobinstance FROM rush.run_request WHERE status = 'Pending'")
    assert list(map(tuple, asked)) == [("b", 2)]


def test_keys_go_through_rows_and_anywhere(kernel: Kernel, site: str, page: Page) -> None:
    """j and k choose a row, Enter opens it; Ctrl K finds a run by a part of its name."""
    kernel.define(CHAIN, "etl")
    kernel.define(CHAIN, "other")
    first = kernel.start("etl")
    kernel.start("other")
    page.goto(f"{site}/runs")
    expect(page.locator("html[data-ready]")).to_be_attached()
    for key in ("j", "j", "Enter"):
        page.keyboard.press(key)
    expect(page).to_have_url(f"{site}/runs/{first}")
    expect(page.locator("html[data-ready]")).to_be_attached()
    page.keyboard.press("Control+k")
    page.keyboard.type("other/")
    expect(page.get_by_role("option", name="other/1")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("other/1")
    expect(page.locator("html[data-ready]")).to_be_attached()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_be_visible()
    key, does = (keys.locator(part).first.bounding_box() for part in ("dt", "dd"))
    assert key is not None
    assert does is not None
    assert key["y"] == does["y"], "a key and what it does stand in one line"


def test_what_is_chosen_of_pipelines_is_paused(kernel: Kernel, site: str, page: Page) -> None:
    """By the box or by a key; while nothing is chosen there is nothing to press."""
    for name in ("etl", "other", "sales"):
        kernel.define(CHAIN, name)
    page.goto(f"{site}/pipelines")
    bar = page.get_by_role("form", name="Do something to the chosen pipelines")
    expect(bar).to_be_hidden()
    page.get_by_label("Select etl").check()
    page.locator("#pipeline-sales").focus()
    page.keyboard.press("x")
    expect(bar).to_contain_text("2 chosen")
    bar.get_by_role("button", name="Pause").click()
    expect(page.locator(".toasts")).to_contain_text("etl and sales are paused")
    expect(page.locator("#pipeline-other")).not_to_contain_text("paused")


def test_chosen_runs_are_counted_and_kept_through_changes(
    kernel: Kernel, site: str, page: Page
) -> None:
    """What was ticked is ticked still when the list has changed under it."""
    kernel.define(CHAIN, "etl")
    run = kernel.start("etl")
    page.goto(f"{site}/runs")
    expect(page.get_by_role("button", name="Retry what is stuck")).to_be_disabled()
    page.get_by_label("Select etl/1").check()
    expect(page.locator("[data-picked]")).to_have_text("1 chosen")
    kernel.work(kernel.worker())
    expect(page.locator(f"#run-{run} .state")).to_have_text("Complete")
    expect(page.get_by_label("Select etl/1")).to_be_checked()
    expect(page.locator("[data-picked]")).to_have_text("1 chosen")


def test_a_view_is_saved_under_a_name(kernel: Kernel, site: str, page: Page) -> None:
    """In this browser, as the address that it is."""
    kernel.define(CHAIN, "etl")
    page.goto(f"{site}/runs?state=Stuck")
    page.once("dialog", lambda dialog: dialog.accept("the bad ones"))
    page.get_by_role("button", name="Save this view").click()
    page.goto(f"{site}/runs")
    page.get_by_role("link", name="the bad ones").click()
    expect(page).to_have_url(f"{site}/runs?state=Stuck")
