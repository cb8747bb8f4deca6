"""
Take the pictures of the dashboard in docs/pictures: `make pictures`, or `python -m docs.make_pictures [NAME …]`.

It lays down the demo and a small pipeline beside it that gets stuck, lets a real worker run
both, and photographs what the pages then show. It needs Chromium, as the tests in
tests/browser do. What they would tell of the machine they are taken on, its folder, its name and its
user, is called otherwise in them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from rush.client import Client
from tests.browser.conftest import FLAGS, find_chromium

FOLDER = Path(__file__).with_name("pictures")
WIDE = (1440, 900)
PHONE = (390, 844)
#: In milliseconds: a machine may have other things to do.
PATIENCE = 60_000

ORDERS = """\
name: orders
description: Yesterday's orders, from the shop to the accounts
params: {day: "2026-11-25", shops: 12}
jobs:
  - {name: fetch_orders, class_name: jobs.orders.Fetch, retry_gap_minutes: 0.01, depends_on: []}
  - {name: fetch_rates, class_name: jobs.orders.Fetch, retry_gap_minutes: 0.01, depends_on: []}
  - {name: convert, class_name: jobs.orders.Fetch, depends_on: [fetch_orders, fetch_rates]}
  - {name: post, class_name: jobs.orders.Post, retry_limit: 1, retry_gap_minutes: 0.01}
  - {name: mail, class_name: jobs.orders.Fetch}
"""
BACKUP = """\
name: archive
description: Copies of last month's orders, to where they are kept
jobs:
  - {name: copy, class_name: jobs.orders.Copy}
"""
CODE = """\
import time

from rush import Job


class Fetch(Job):
    def run(self):
        for shop in range(1, 13):
            self.progress(shop, 12)
            self.logger.info("shop %d: %d orders", shop, 40 + shop * self.jobinstance)
            time.sleep(0.03)
        return {"orders": 480 + 78 * self.jobinstance}


class Post(Job):
    def run(self):
        self.logger.info("posting %d orders", 480 + 78 * self.jobinstance)
        if self.jobinstance in (3, 6):
            self.logger.warning("account 4711 is not in the books")
            raise ValueError("order 80213: there is no account 4711")
        time.sleep(0.2)


class Copy(Job):
    def run(self):
        for done in range(120_000):
            self.progress(min(done, 90), 120)
            time.sleep(1)
"""


@dataclass(frozen=True)
class Picture:
    """A page, and how it is looked at."""

    name: str
    path: str
    size: tuple[int, int] = WIDE
    dark: bool = False


PICTURES = [
    Picture("home", "/"),
    Picture("pipelines", "/pipelines"),
    Picture("grid-dark", "/pipelines/orders?tab=grid", dark=True),
    Picture("graph", "/runs/{flights}?tab=graph"),
    Picture("timeline", "/runs/{flights}?tab=timeline"),
    Picture("log", "/runs/{flights}?tab=logs"),
    Picture("job", "/runs/{stuck}?tab=timeline&job=post"),
    Picture("workers", "/workers"),
    Picture("phone-home", "/", PHONE),
    Picture("phone-pipelines", "/pipelines", PHONE),
    Picture("phone-timeline-dark", "/runs/{flights}", PHONE, dark=True),
    Picture("phone-job", "/runs/{stuck}?job=post", PHONE),
]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a dashboard over a project that has run for a while."""
    rush = [sys.executable, "-m", "rush.cli"]
    subprocess.run([*rush, "demo", "--keep", folder], check=True)
    (folder / "jobs/orders.py").write_text(CODE)
    (folder / "pipelines/orders.yaml").write_text(ORDERS)
    (folder / "pipelines/archive.yaml").write_text(BACKUP)
    with subprocess.Popen(
        [*rush, "dev", "--slots", "3"],
        cwd=folder,
        env=os.environ | {"LOGNAME": "alice"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip().rstrip("/")
        finally:
            subprocess.run([*rush, "cancel", "archive/1"], cwd=folder, check=False)
            process.terminate()
            process.wait()
            subprocess.run([*rush, "db", "stop"], cwd=folder, check=True)


def play(folder: Path) -> dict[str, int]:
    """Let the pipelines run, and leave one stuck and one running. Returns the runs that are shown."""
    command = [sys.executable, "-m", "rush.cli", "db", "url"]
    url = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    with Client(url.strip()) as client:
        orders = [
            client.submit("orders", params={"day": f"2026-11-{day}"}) for day in range(18, 26)
        ]
        for run in orders:
            run.wait(timeout=300)
        client.submit("archive")
        flights = client.runs(pipeline="flights", limit=1)[0].id
        stuck = orders[5].id
        assert stuck is not None
        return {"flights": flights, "stuck": stuck}


def take(
    page: Page,
    address: str,
    picture: Picture,
    runs: dict[str, int],
    otherwise: Mapping[str, str],
) -> None:
    """Take a picture, in which some words are other ones."""
    width, height = picture.size
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="dark" if picture.dark else "light", reduced_motion="reduce")
    page.goto(address + picture.path.format(**runs))
    page.evaluate(
        """async () => {
            const parts = "rush-timeline, rush-graph, rush-grid, rush-log, rush-chart";
            while (![...document.querySelectorAll(parts)].every(part => part.answer))
                await new Promise(requestAnimationFrame);
            await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
        }"""
    )
    page.evaluate(
        """otherwise => {
            const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (texts.nextNode())
                for (const [word, other] of Object.entries(otherwise))
                    if (texts.currentNode.data.includes(word))
                        texts.currentNode.data = texts.currentNode.data.replaceAll(word, other);
        }""",
        dict(otherwise),
    )
    seen = {"x": 0, "y": 0, "width": width, "height": height}
    foot = page.locator(".foot").bounding_box()
    # What is empty below is left out, unless something lies over the page.
    if foot and not page.locator(".drawer").count():
        seen["height"] = min(height, foot["y"] - 16)
    page.screenshot(path=FOLDER / f"{picture.name}.png", clip=seen)


def main(names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="rush-") as scratch,
        served(Path(scratch, "shop")) as address,
    ):
        runs = play(Path(scratch, "shop"))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
            page = browser.new_page()
            page.set_default_timeout(PATIENCE)
            # Nothing changes while a picture is taken.
            page.route("**/api/v1/events", lambda route: route.abort())
            otherwise = {f"{Path(scratch).resolve()}": "/srv", socket.gethostname(): "etl-1"}
            for picture in PICTURES:
                if not names or picture.name in names:
                    take(page, address, picture, runs, otherwise)
                    print(picture.name, flush=True)
            browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
