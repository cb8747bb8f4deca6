"""
A real browser: Debian's Chromium, or whatever RUSH_CHROMIUM names, driven by Playwright.

Each test gets a page of its own in one browser. What the page complains about (an error of a
script, a breach of the content security policy) fails the test.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from tests.web.stage import stage

NAMES = ["chromium", "chromium-browser", "google-chrome"]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Show = Callable[..., Page]

#: How long anything may take on a machine that has other things to do, in milliseconds.
PATIENCE = 15_000
expect.set_options(timeout=PATIENCE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def find_chromium() -> str | None:
    return os.environ.get("RUSH_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium, or set RUSH_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where each part stands alone on a page, fed with made-up runs."""
    with stage() as address:
        yield address


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 1440, "height": 900},
        timezone_id="Europe/Berlin",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []


def until(page: Page, holds: str, argument: object = None) -> None:
    """
    Wait until a function in the page's language says true.

    Playwright's own `wait_for_function` evaluates text within the page, which its policy refuses.
    """
    page.evaluate(
        f"""async argument => {{
            const holds = {holds};
            for (const end = performance.now() + {PATIENCE}; performance.now() < end;) {{
                if (holds(argument)) return;
                await new Promise(requestAnimationFrame);
            }}
            throw new Error("waited in vain for " + holds);
        }}""",
        argument,
    )


@pytest.fixture
def show(page: Page, address: str) -> Show:
    """`show("rush-log", "few", wrap="")` opens the page of a part and waits until it is drawn."""

    def show(part: str, case: str, **attributes: str) -> Page:
        asked = urlencode({name.replace("_", "-"): value for name, value in attributes.items()})
        page.goto(f"{address}/part/{part}/{case}?{asked}")
        until(page, "part => document.querySelector(part)?.answer", part)
        page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        page.evaluate(
            """() => {
                window.told = [];
                for (const name of ["rush:open", "rush:view", "rush:select", "rush:range"])
                    document.addEventListener(name, event => {
                        told.push([name, event.detail]);
                        event.preventDefault();
                    });
            }"""
        )
        return page

    return show
