"""
Nothing that the database holds is more than text on any page.

Every column that takes free text has every string of the corpus, and every page is opened
twice: as it is served, where a breach of its policy would tell; and without the policy, so
that what is run for want of it is found as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from playwright.sync_api import Browser, Page, Request
from psycopg.types.json import Jsonb

from rush.web.app import Options
from tests.browser.conftest import PATIENCE
from tests.browser.corpus import HOSTILE
from tests.support.factories import Factories, MadeRun
from tests.web.conftest import serving

#: Each job of the run has one string wherever it may have one.
JOBS = {f"job{at}": text for at, text in enumerate(HOSTILE)}

PAGES = [
    "/",
    "/pipelines",
    *(f"/pipelines/etl?tab={tab}" for tab in ("grid", "graph", "runs", "trends", "run")),
    "/pipelines/etl?tab=run&like={run}",
    "/pipelines/etl?tab=definition&version=1&against=2",
    "/runs",
    *(f"/runs/{{run}}?tab={tab}" for tab in ("timeline", "graph", "logs", "data", "events")),
    "/runs/{acknowledged}?tab=events",
    "/workers",
    "/audit",
    "/api/v1",
]

#: Where every string of the corpus is to be read.
TELLING = {
    "/runs/{run}?tab=data",
    "/runs/{run}?tab=events",
    "/runs/{acknowledged}?tab=events",
    "/pipelines/etl?tab=run",
    "/workers",
    "/audit",
}

MADE = """
    main :is(iframe, object, embed, base, meta, link, style, script, marquee, math, image, video,
             audio, foreignObject, isindex, form:not([action^='/'], [method=get], [method=dialog])),
    main :is([onerror], [onload], [onfocus], [onclick], [onmouseover], [ontoggle], [srcdoc],
             [href*=':' i]:not([href^='http://127.0.0.1']), [src*='evil'], [hx-get*='evil'],
             [style*='evil'])
"""

READ = """() => document.body.textContent
    + [...document.querySelectorAll("input, textarea")].map(each => each.value).join("\\n")"""

CANARY = """
    window.ran = [];
    window.pwned = () => ran.push(document.currentScript?.outerHTML ?? new Error().stack);
    document.addEventListener("securitypolicyviolation",
        event => ran.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""


@contextmanager
def watched(browser: Browser, site: str, *, policy: bool) -> Iterator[Page]:
    """A page that may ask nobody but the dashboard, and that runs nothing of anybody else's."""
    context = browser.new_context(reduced_motion="reduce", bypass_csp=not policy)
    context.set_default_timeout(PATIENCE)
    context.add_init_script(CANARY)
    seen: list[str] = []

    def listen(request: Request) -> None:
        if not request.url.startswith((f"{site}/", "data:image/")):
            seen.append(request.url)

    context.on("request", listen)
    context.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
    context.on("weberror", lambda error: seen.append(str(error.error)))
    context.on("page", lambda page: page.on("download", lambda each: seen.append(each.url)))
    page = context.new_page()
    yield page
    assert len(context.pages) == 1, "a page has opened another one"
    context.close()
    assert seen == []


@dataclass(frozen=True, slots=True)
class Hostile:
    """A dashboard over a database full of the corpus."""

    site: str
    #: The run that has it.
    run: int
    #: Runs that were acknowledged: one by all of the corpus, and one by each string and for it.
    acknowledged: list[int]

    def at(self, path: str) -> str:
        return self.site + path.format(run=self.run, acknowledged=self.acknowledged[0])


@pytest.fixture(scope="module")
def hostile(server: Any) -> Iterator[Hostile]:
    with server.database() as database:
        with psycopg.connect(database, autocommit=True) as connection:
            made = Factories(connection)
            acknowledged = [run.id for run in acknowledge(made)]
            run = fill(made)
        with serving(Options(database_url=database)) as site:
            yield Hostile(site, run.id, acknowledged)


def acknowledge(made: Factories) -> Iterator[MadeRun]:
    """Stuck runs that somebody has looked at, whose name and whose reason are hostile."""
    definition = {"jobs": [{"name": "a", "class_name": "jobs.any.Any"}]}
    made.session.connection.execute(
        "INSERT INTO rush.pipeline (name, definition) VALUES ('acknowledged', %s)",
        [Jsonb(definition)],
    )
    made.compile("acknowledged")
    for who, why in [("\n".join(HOSTILE), HOSTILE[0]), *((text, text) for text in HOSTILE)]:
        run = made.run("acknowledged", state="Stuck", stuck=1)
        made.job(run, "a", state="Stuck")
        made.session.connection.execute(
            "INSERT INTO rush.resolution (run_id, who, why) VALUES (%s, %s, %s)",
            [run.id, who, why],
        )
        yield run


def fill(made: Factories) -> MadeRun:
    connection = made.session.connection
    everything = {f"{at}{text}"[:200]: text for at, text in enumerate(HOSTILE)}
    insert = connection.cursor().executemany
    connection.execute(
        "INSERT INTO rush.pipeline (name, definition) VALUES ('etl', %s)",
        [Jsonb(definition("first"))],
    )
    connection.execute(
        "UPDATE rush.pipeline SET definition = %s WHERE name = 'etl'",
        [Jsonb(definition("second", everything))],
    )
    made.compile("etl")
    run = made.run(state="Stuck", params=everything, open=len(JOBS), stuck=len(JOBS))
    for job, text in JOBS.items():
        made.job(run, job, state="Stuck")
        token = made.attempt(run, job, state="Failed", worker=text, error=text, reason=text)
        connection.execute(
            "UPDATE rush.archive SET traceback = %s, code = %s, log = %s WHERE token = %s",
            [text, text, f"2026-11-26T01:00:00.000Z INFO {text}\n  {text}", token],
        )
        made.log(run, job, f"2026-11-26T01:00:00.000Z ERROR {text}", text, token=token)
        made.result(run, job, {text: [text]})
    insert(
        """
        INSERT INTO rush.run_request (pipeline, params, status, reason, created_by, decided_at, idempotency_key)
        VALUES ('etl', %s, 'Rejected', %s, %s, now(), %s)
        """,
        [(Jsonb({text: text}), text, text, text) for text in HOSTILE],
    )
    insert(
        """
        INSERT INTO rush.run_request (pipeline, params, status, reason, created_by, decided_at, run_id)
        VALUES ('etl', %s, 'Accepted', %s, %s, now(), %s)
        """,
        [(Jsonb({text: text}), text, text, run.id) for text in HOSTILE],
    )
    insert(
        """
        INSERT INTO rush.audit (who, via, action, target, detail, why, outcome)
        VALUES (%(text)s, 'local', %(text)s, %(text)s, %(json)s, %(text)s, %(text)s)
        """,
        [{"text": text, "json": Jsonb({text: text})} for text in HOSTILE],
    )
    insert(
        """
        INSERT INTO rush.audit (who, via, action, target, detail, why, outcome)
        VALUES (%(text)s, 'local', 'retry', %(target)s, %(json)s, %(text)s, %(text)s)
        """,
        [{"text": text, "target": run.name, "json": Jsonb({text: text})} for text in HOSTILE],
    )
    insert(
        """
        INSERT INTO rush.worker (name, state, slots, queues, host, boot_id, pid, version, code, progress,
                                 lease_expires_at)
        VALUES (%(name)s, %(state)s, 4, ARRAY[%(text)s], %(text)s, %(text)s, 1, %(text)s, %(text)s, %(json)s, now())
        """,
        [
            {
                "name": f"worker{at}",
                "state": ("Alive", "Draining", "Dead")[at % 3],
                "text": text,
                "json": Jsonb({text: [text, text]}),
            }
            for at, text in enumerate(HOSTILE)
        ],
    )
    insert(
        "INSERT INTO rush.master_term (term, holder, elected_at) VALUES (%s, %s, now())",
        list(enumerate(HOSTILE, 1)),
    )
    connection.execute(
        "UPDATE rush.master_token SET holder = %s, expires_at = now() + interval '1 hour'",
        [HOSTILE[0]],
    )
    insert(
        "INSERT INTO rush.job_parameter (pipeline, job, name, value) VALUES ('etl', '*', %s, %s)",
        [(text, text) for text in HOSTILE],
    )
    insert(
        "INSERT INTO rush.pipeline (name, definition, paused) VALUES (%s, %s, true)",
        [
            (f"broken{at}", Jsonb({"description": text, text: text}))
            for at, text in enumerate(HOSTILE)
        ],
    )
    insert(
        "UPDATE rush.pipeline_version SET error = %s, compiled_at = now() WHERE pipeline = %s",
        [(text, f"broken{at}") for at, text in enumerate(HOSTILE)],
    )
    insert(
        "INSERT INTO rush.alert (run_id, message, next_at) VALUES (%s, %s, now())",
        [(run.id, text) for text in HOSTILE],
    )
    return run


def definition(description: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "description": f"{description} {HOSTILE[0]}",
        "params": params or {},
        "jobs": [
            {
                "name": job,
                "class_name": "jobs.any.Any",
                "description": text,
                "depends_on": [],
                "params": {f"own {text}": text},
            }
            for job, text in JOBS.items()
        ],
    }


def look(page: Page, address: str) -> str:
    """Open a page, wait until its parts are drawn, and return all that can be read there."""
    page.goto(address)
    page.evaluate(
        f"""async () => {{
            const parts = "rush-timeline, rush-graph, rush-grid, rush-log, rush-chart";
            const drawn = () => [...document.querySelectorAll(parts)].every(part => part.answer);
            for (const end = performance.now() + {PATIENCE}; !drawn();) {{
                if (performance.now() > end) throw new Error("a part was never drawn");
                await new Promise(requestAnimationFrame);
            }}
            await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
        }}"""
    )
    page.keyboard.press("Tab")
    assert page.evaluate("ran") == [], address
    assert (
        page.evaluate(
            "made => [...document.querySelectorAll(made)].map(each => each.outerHTML)", MADE
        )
        == []
    ), address
    return str(page.evaluate(READ))


@pytest.mark.parametrize("policy", [True, False], ids=["served", "without the policy"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_nothing(hostile: Hostile, browser: Browser, path: str, policy: bool) -> None:
    """What stands in the database is there to be read, and does nothing."""
    with watched(browser, hostile.site, policy=policy) as page:
        read = visible(look(page, hostile.at(path)))
        while path == "/audit" and (older := page.locator("a[rel=next]")).count():
            read += visible(look(page, f"{hostile.site}{path}{older.get_attribute('href')}"))
    if path in TELLING:
        assert [text for text in HOSTILE if visible(text) not in read] == []


@pytest.mark.parametrize("policy", [True, False], ids=["served", "without the policy"])
def test_what_would_run_is_seen(hostile: Hostile, browser: Browser, policy: bool) -> None:
    """The watch is awake: markup that gets into a page is told of, by the policy or by what it did."""
    with watched(browser, hostile.site, policy=policy) as page:
        look(page, f"{hostile.site}/workers")
        page.evaluate(
            """text => new Promise(done => {
                document.addEventListener("securitypolicyviolation", done);
                const pwned = window.pwned;
                window.pwned = () => done(pwned());
                document.querySelector("main").innerHTML = text;
            })""",
            "<img src='/x' onerror=pwned()>",
        )
        assert len(page.evaluate("ran")) == 1
        assert page.locator(MADE).count() == 1


def visible(text: str) -> str:
    """What is left of a text when it is laid out, or written as JSON or YAML."""
    return "".join(each for each in text if each.isprintable() and each not in " \\\"'")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("policy", [True, False], ids=["served", "without the policy"])
def test_no_job_runs_anything_in_the_drawer(
    hostile: Hostile, browser: Browser, policy: bool
) -> None:
    """Its traceback, log, parameters and result, one string at a time."""
    with watched(browser, hostile.site, policy=policy) as page:
        for job, text in JOBS.items():
            read = visible(look(page, hostile.at(f"/runs/{{run}}?tab=data&job={job}")))
            assert visible(text) in read


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("policy", [True, False], ids=["served", "without the policy"])
def test_nobody_runs_anything_by_acknowledging(
    hostile: Hostile, browser: Browser, policy: bool
) -> None:
    """Who has done it, and why: in the page's banner and among the events, one string at a time."""
    with watched(browser, hostile.site, policy=policy) as page:
        for run, text in zip(hostile.acknowledged[1:], HOSTILE, strict=True):
            read = visible(look(page, f"{hostile.site}/runs/{run}?tab=events"))
            assert read.count(visible(text)) >= 4


ADDRESSES = ("/runs?q={}", "/runs/{run}?job={}", "/pipelines/{}", "/sign-in?next={}")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_runs_nothing(hostile: Hostile, browser: Browser, address: str) -> None:
    """
    What somebody puts into a link is shown in the page as text, or refused as text: each string
    in one of the addresses, without the policy that would keep it from running.
    """
    with watched(browser, hostile.site, policy=False) as page:
        for text in HOSTILE[ADDRESSES.index(address) :: len(ADDRESSES)]:
            look(page, hostile.site + address.format(quote(text, safe=""), run=hostile.run))
