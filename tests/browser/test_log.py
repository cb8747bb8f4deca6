"""A log of any length: the end first, then whatever one looks for."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Request, Route, expect

from tests.browser.conftest import Show, until
from tests.web import shapes


def rows(page: Page) -> list[str]:
    return page.locator(".lg-row").all_inner_texts()


def listen(page: Page) -> list[dict[str, str]]:
    """The queries that are asked from now on."""
    asked: list[dict[str, str]] = []

    def note(request: Request) -> None:
        if "/data/log/" in request.url:
            asked.append(
                {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
            )

    page.on("request", note)
    return asked


def test_the_end_is_shown_first(show: Show) -> None:
    """Of a million lines the last page is read, and as many rows exist as there is room for."""
    page = show("rush-log", "large")

    expect(page.locator(".lg-row").last).to_contain_text('relation "flights" does not exist')
    expect(page.locator(".lg-foot")).to_have_text("2,000 of about 1,000,000 lines read")
    assert page.locator(".lg-row").count() < 60


def test_a_row_says_when_what_and_who(show: Show) -> None:
    """Time in the reader's zone, exact UTC on hover, level, job and attempt, text."""
    page = show("rush-log", "few")
    row = page.locator(".lg-row").nth(4)

    expect(row).to_contain_text("14 rows have no tail number; they are kept")
    expect(row.locator(".lg-time")).to_have_text("02:30:00.040")
    expect(row.locator(".lg-time")).to_have_attribute(
        "title", "2026-11-26 01:30:00.040000 UTC\n2026-11-26 02:30:00.040 UTC+1"
    )
    expect(row.locator(".lg-level")).to_have_text("WARN")
    expect(row.locator(".lg-job a")).to_have_attribute("href", "/runs/7/jobs/extract_weather")
    expect(row.locator(".a-ink3")).to_have_text("they are kept")


def test_scrolling_up_reads_older_lines_and_stays_in_place(show: Show) -> None:
    """What is in front of one's eyes does not jump when older lines come."""
    page = show("rush-log", "nightly")
    asked = listen(page)
    expect(page.locator(".lg-row").last).to_contain_text("does not exist")

    page.evaluate("document.querySelector('.lg-scroll').scrollTop = 18 * 40")
    expect(page.locator(".lg-foot")).to_have_text("3,000 lines")

    assert asked == [{"limit": "8000", "before": "1000"}]
    expect(page.locator(".lg-row").first).to_contain_text("#1040")


def test_a_search_reads_everything(show: Show) -> None:
    """What is searched is found in lines that had not been read; only these can be shown."""
    page = show("rush-log", "nightly")
    page.get_by_label("Search the log").fill("nothing to REPAIR #9")

    expect(page.locator(".lg-found")).to_have_text("20 matches")

    page.get_by_role("button", name="Only matches").click()
    expect(page.locator(".lg-foot")).to_have_text("3,000 lines · 20 shown")
    assert all("nothing to repair #9" in row for row in rows(page))

    page.get_by_label("Search the log").press("Enter")
    expect(page.locator(".lg-found")).to_contain_text("of 20 matches")
    expect(page.locator(".lg-current mark").first).to_have_text("nothing to repair #9")


def test_a_pattern_can_be_searched(show: Show) -> None:
    """Between slashes stands a pattern; one that is none is taken as the text itself."""
    page = show("rush-log", "few")
    page.get_by_label("Search the log").fill(r"/loaded \d+ rows/")
    expect(page.locator(".lg-found")).to_have_text("2 matches")

    page.get_by_label("Search the log").fill("(most recent")
    expect(page.locator(".lg-found")).to_have_text("1 match")


def test_levels_hide_what_is_below(show: Show) -> None:
    """With ERROR chosen only errors are left, with all the lines of their tracebacks."""
    page = show("rush-log", "few")
    page.get_by_label("Least level").select_option("ERROR")

    expect(page.locator(".lg-row")).to_have_count(5)
    expect(page.locator(".lg-foot")).to_have_text("12 lines · 1 shown")
    assert page.evaluate("told.at(-1)[1].level") == "ERROR"


def test_new_lines_gather_behind_a_button(show: Show) -> None:
    """Who reads further up is not moved by new lines, and told how many there are."""
    page = show("rush-log", "nightly")
    page.evaluate("document.querySelector('.lg-scroll').scrollTop = 18 * 900")
    expect(page.locator(".lg-row").first).to_contain_text("#1900")
    answer_new(page, ["one more", "and another"])

    page.evaluate("document.querySelector('rush-log').refresh()")

    news = page.get_by_role("button", name="2 new lines")
    expect(news).to_be_visible()
    expect(page.locator(".lg-row").first).to_contain_text("#1900")
    news.click()
    expect(page.locator(".lg-row").last).to_contain_text("and another")
    expect(news).to_be_hidden()


def test_following_shows_what_comes(show: Show) -> None:
    """While it follows, the last line is in sight; scrolling up ends it."""
    page = show("rush-log", "nightly", follow="")
    answer_new(page, ["here I am"])
    page.evaluate("document.querySelector('rush-log').refresh()")
    expect(page.locator(".lg-row").last).to_contain_text("here I am")

    page.locator(".lg-scroll").hover()
    page.mouse.wheel(0, -400)

    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")


def test_long_lines_are_wrapped_within_the_window(show: Show) -> None:
    """Wrapped, nothing is wider than the window, and no letter is lost."""
    page = show("rush-log", "hostile")
    wide = page.evaluate("document.querySelector('.lg-scroll').scrollWidth")
    page.get_by_role("button", name="Wrap long lines").click()
    until(page, "() => document.querySelector('.lg-wrap')")

    assert wide > 1440
    scroller = page.locator(".lg-scroll")
    assert scroller.evaluate("box => box.scrollWidth <= box.clientWidth")
    scroller.evaluate("box => box.scrollTop = 0")
    until(page, "() => document.querySelector('.lg-row').innerText.includes('<script>')")
    whole = page.locator(".lg-text").all_inner_texts()
    assert "a" * 300 in "".join(whole)


def test_terminal_escapes_do_nothing(show: Show) -> None:
    """Titles and bells are left out or shown; a colour ends with its record."""
    page = show("rush-log", "hostile")

    expect(
        page.locator(".lg-text", has_text="red without end").first.locator(".a-ink1")
    ).to_have_text("red without end")
    expect(page.locator(".lg-text", has_text="bell").first).to_have_text(r"bell\x08\x00")
    expect(page.locator(".lg-text", has_text="too red").first.locator("span")).to_have_css(
        "color", re.compile("^oklab")
    )
    expect(page.locator(".lg-text", has_text="gnp").first).to_have_text(r"\u202egnp.exe")


def test_the_wheel_goes_through_a_short_log(show: Show) -> None:
    """It has nothing to scroll, and lies in the way to what is below it."""
    page = show("rush-log", "few")
    expect(page.locator(".lg-row").last).to_be_visible()
    page.evaluate("document.body.style.minHeight = '300vh'")
    page.locator(".lg-row").first.hover()
    page.mouse.wheel(0, 300)
    until(page, "() => scrollY > 0")


def test_nothing_said(show: Show) -> None:
    page = show("rush-log", "empty")

    expect(page.locator(".empty")).to_contain_text("Nothing has been logged yet.")


def answer_new(page: Page, texts: list[str]) -> None:
    """The next question for newer lines is answered with these."""

    def answer(route: Route) -> None:
        lines = [
            [shapes.after(40 + number), "INFO", "join", 0, 1, 1, text]
            for number, text in enumerate(texts)
        ]
        route.fulfill(
            json={
                "lines": lines,
                "first": "3000",
                "last": "3001",
                "before": True,
                "after": False,
                "total": None,
            }
        )

    page.route("**/data/log/nightly?*after=*", answer, times=1)


def test_where_one_job_speaks_it_is_not_named(show: Show) -> None:
    """The log of one attempt has no column that says whose it is, until another speaks."""
    page = show("rush-log", "few", src="/data/log/one")
    expect(page.locator(".lg-row").first).to_contain_text("reading")
    expect(page.locator(".lg-job").first).to_be_hidden()

    page.route("**/data/log/one?*after=*", lambda route: route.fulfill(json=shapes.log("few", {})))
    page.evaluate("document.querySelector('rush-log').refresh()")
    expect(page.locator(".lg-job").first).to_be_visible()


def test_lines_that_come_during_a_search_keep_their_order(show: Show) -> None:
    """What is read while a search goes through a long log is shown once, at its end."""
    page = show("rush-log", "one")

    shown = page.evaluate(
        """async () => {
            const { LogStore } = await import("/static/js/log-store.js");
            const line = text => [null, "INFO", "load", 0, 1, 1, text];
            const store = new LogStore();
            store.append(Array.from({ length: 300_000 }, (_, n) => line(`number ${n}`)));
            store.search("number \\d*7");
            const sifted = store.sift();
            store.append([line("number 7 late")]);
            return [await sifted, store.shown.length, store.shown.every((place, n) => place === n)];
        }"""
    )

    assert shown == [True, 300_001, True]
