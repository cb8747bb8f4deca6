"""
Who cannot see, or point, can use every page: as far as axe-core can tell, in both themes.

axe-core is in tests/browser/vendor, for these tests alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, Page

from rush.store import accounts
from rush.store.session import Session
from rush.web.app import Options
from rush.web.passwords import hashed
from tests.browser.conftest import PATIENCE
from tests.support.factories import Factories
from tests.web.conftest import serving

[AXE] = (Path(__file__).parent / "vendor").glob("axe-*.min.js")

#: Each with a run that is Stuck, one that is Running and one that is Complete.
PAGES = [
    "/",
    "/pipelines",
    *(f"/pipelines/etl?tab={tab}" for tab in ("grid", "graph", "runs", "trends", "run")),
    "/pipelines/etl?tab=definition&version=2&against=1",
    "/runs",
    *(f"/runs/1?tab={tab}" for tab in ("timeline", "graph", "logs", "data", "events")),
    "/runs/1?job=load",
    "/runs/2",
    "/workers",
    "/audit",
    "/api/v1",
    "/pipelines/missing",
]

#: The last rule is an experiment of axe-core's: who speaks to a page says what stands on it.
SERIOUS = """async () => (await axe.run({
        rules: { "label-content-name-mismatch": { enabled: true } },
    })).violations
    .filter(each => ["serious", "critical"].includes(each.impact))
    .map(each => `${each.id}: ${each.help}: ` + each.nodes.slice(0, 5).map(node =>
        `${node.target} ${node.html.slice(0, 150)} ${node.any.map(any => any.message)}`).join("; "))"""


@pytest.fixture(scope="module")
def site(server: Any) -> Iterator[str]:
    """A dashboard with something of everything."""
    with server.database() as database:
        with psycopg.connect(database, autocommit=True) as connection:
            fill(connection)
        with serving(Options(database_url=database)) as site:
            yield site


def fill(connection: psycopg.Connection[Any]) -> None:
    made = Factories(connection)
    made.pipeline("etl", description="From files to tables", params={"day": "2026-11-25", "n": 1})
    made.pipeline("etl", {"extract": [], "check": [], "load": ["extract", "check"]})
    made.pipeline("weekly", paused=True)
    worker = made.worker()
    made.worker("worker2", state="Dead", lease=-60)
    made.master(worker)

    stuck = made.run(state="Stuck", stuck=1, params={"day": "2026-11-25"})
    for job in ("extract", "check"):
        token = made.attempt(stuck, job, started=-20, finished=-15)
        made.log(stuck, job, "2026-11-26T01:00:00.000Z INFO 100 rows", token=token)
    made.result(stuck, "extract", {"rows": 100})
    made.job(stuck, "load", state="Stuck")
    token = made.attempt(stuck, "load", state="Failed", error="ValueError: no such file")
    made.log(stuck, "load", "2026-11-26T01:00:00.000Z ERROR \x1b[31mno\x1b[0m", token=token)

    running = made.run(open=1)
    made.attempt(running, "extract", started=-20, finished=-15)
    token = made.job(running, "check", state="Running", worker=worker)
    made.progress(worker, token, 30, 100)

    complete = made.run(state="Complete", open=0)
    for job in ("extract", "check", "load"):
        made.attempt(complete, job)
    made.request(status="Rejected", reason="there is such a run already")
    connection.execute(
        """
        INSERT INTO rush.audit (who, via, action, target, why, outcome)
        VALUES ('local', 'local', 'retry', 'etl/1', 'mended', 'done')
        """
    )


@pytest.fixture(params=["light", "dark"])
def reader(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A page in a theme. axe-core is put into it past the policy that keeps others out."""
    context = browser.new_context(
        color_scheme=request.param, reduced_motion="reduce", bypass_csp=True
    )
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("path", PAGES)
def test_nothing_serious_stands_in_anybodys_way(site: str, reader: Page, path: str) -> None:
    """Names for what can be pressed, contrast of what is to be read, order of what is listened to."""
    reader.goto(site + path)
    assert serious(reader) == []


def test_signing_in_is_open_to_everybody(server: Any, reader: Page) -> None:
    """The page before all others."""
    with server.database() as database:
        with psycopg.connect(database, autocommit=True) as connection:
            accounts.put_account(
                Session(connection, "rush"), "alice", role="admin", password=hashed("a long one")
            )
        with serving(Options(database_url=database, sign_in=True)) as site:
            reader.goto(site)
            assert serious(reader) == []


def serious(page: Page) -> list[str]:
    page.evaluate(
        """async () => {
            const parts = "rush-timeline, rush-graph, rush-grid, rush-log, rush-chart";
            while (![...document.querySelectorAll(parts)].every(part => part.answer))
                await new Promise(requestAnimationFrame);
            await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
        }"""
    )
    page.add_script_tag(path=AXE)
    return list(page.evaluate(SERIOUS))
