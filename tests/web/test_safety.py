"""Who may do what, and what a browser may be made to do."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from rush.store import accounts
from rush.store.session import Session
from rush.web.accounts import COOKIE
from rush.web.app import Options, routes
from rush.web.guard import Role, role_needed
from rush.web.passwords import fingerprint, hashed
from tests.support.kernel import CHAIN, Kernel
from tests.web.conftest import serving

PASSWORD = "correct horse battery"
CALLS = sorted(
    (method, path, role_needed(route.endpoint))
    for path, route in routes()
    for method in route.methods
    if method != "HEAD"
)


@pytest.fixture(scope="module")
def guarded(server) -> Iterator[tuple[str, str]]:
    """A dashboard with an account of each role: its address, and its database."""
    with server.database() as database:
        with psycopg.connect(database, autocommit=True) as connection:
            session = Session(connection, "rush")
            kept = hashed(PASSWORD)
            for role in ("viewer", "operator", "admin"):
                accounts.put_account(session, role, role=role, password=kept)
                accounts.add_token(
                    session, role, "test", fingerprint(f"token-{role}"), seconds=None
                )
            Kernel(connection).define(CHAIN, "etl")
        with serving(Options(database_url=database, sign_in=True)) as address:
            yield address, database


def with_token(role: Role) -> dict[str, str]:
    return {} if role is Role.anybody else {"Authorization": f"Bearer token-{role.name}"}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("method", "path", "needed"), CALLS)
def test_every_call_takes_its_role(
    guarded: tuple[str, str], method: str, path: str, needed: Role, role: Role
) -> None:
    """Of every route, each role is let in or not, as the route says."""
    address = guarded[0] + re.sub(r"\{\w+\}", "1", path)
    with httpx.stream(
        method,
        address,
        headers={"Accept": "application/json"} | with_token(role),
        json={} if path.startswith("/api/") else None,
        timeout=20,
    ) as answer:
        if role >= needed:
            # What is missing or wrong otherwise is found out behind the guard.
            assert answer.status_code not in (401, 403)
        else:
            assert answer.status_code == (401 if role is Role.anybody else 403)


def test_a_person_who_is_not_signed_in_is_led_to_the_sign_in(guarded: tuple[str, str]) -> None:
    """And from there to where they wanted to go."""
    answer = httpx.get(f"{guarded[0]}/runs?state=Stuck", headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fruns%3Fstate%3DStuck"


def test_one_signs_in_and_out_again(guarded: tuple[str, str]) -> None:
    """The cookie is for the browser alone, and is worth nothing after signing out."""
    with browser(guarded[0]) as person:
        answer = sign_in(person, "operator", next="/runs")
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
        cookie = answer.headers["set-cookie"]
        assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/"))
        token = person.cookies[COOKIE]

        shown = person.get("/runs")
        assert shown.status_code == 200
        answer = person.post("/sign-out", data={"csrf": csrf_of(shown)})
        assert answer.status_code == 303

    with browser(guarded[0]) as thief:
        thief.cookies.set(COOKIE, token)
        assert thief.get("/runs").status_code == 303


def test_one_is_led_nowhere_else_by_signing_in(guarded: tuple[str, str]) -> None:
    """What comes after the sign-in is on this site, whatever the link said."""
    for elsewhere in ("https://example.org/", "//example.org/", "/\\example.org", "javascript:1"):
        with browser(guarded[0]) as person:
            answer = sign_in(person, "viewer", next=elsewhere)
            assert answer.headers["location"] == "/"


def test_a_wrong_password_is_wrong_five_times_only(database: str) -> None:
    """After that the right one does not help either, for a while."""
    with psycopg.connect(database, autocommit=True) as connection:
        session = Session(connection, "rush")
        accounts.put_account(session, "alice", role="admin", password=hashed(PASSWORD))
    with (
        serving(Options(database_url=database, sign_in=True)) as address,
        browser(address) as person,
    ):
        wrong = [sign_in(person, "alice", "wrong").status_code for _ in range(5)]
        assert wrong == [401] * 5
        assert sign_in(person, "alice").status_code == 429
        assert COOKIE not in person.cookies


def test_a_form_of_another_site_does_nothing(guarded: tuple[str, str]) -> None:
    """A signed-in browser that another page makes send a form is refused, in three ways."""
    with browser(guarded[0]) as person:
        sign_in(person, "operator")
        token = csrf_of(person.get("/pipelines"))
        pause = "/pipelines/etl/pause"
        assert person.post(pause).status_code == 403
        assert person.post(pause, data={"csrf": "guessed"}).status_code == 403
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://example.org"}):
            answer = person.post(pause, data={"csrf": token}, headers=headers)
            assert answer.status_code == 403
        assert person.post(pause, data={"csrf": token}).status_code == 303
        assert "etl is paused" in person.get("/pipelines").text


def test_without_accounts_only_this_machine_is_answered(address: str) -> None:
    """A name that somebody else has made lead here gets nothing."""
    assert httpx.get(address, headers={"Host": "rebound.example.org"}).status_code == 421
    assert httpx.get(address, headers={"Host": "localhost:1"}).status_code == 200


def test_without_accounts_a_browser_needs_the_token_of_a_page(
    kernel: Kernel, site: httpx.Client
) -> None:
    """A program on this machine that sends JSON does not: no other site can make a browser do that."""
    kernel.define(CHAIN, "etl")
    assert site.post("/pipelines/etl/pause").status_code == 403
    assert site.post("/api/v1/pipelines/etl/pause", json={}).status_code == 200
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": str(site.base_url).rstrip("/")}
    assert site.post("/api/v1/pipelines/etl/resume", json={}, headers=headers).status_code == 403
    headers["X-Rush-Csrf"] = csrf_of(site.get("/"))
    assert site.post("/api/v1/pipelines/etl/resume", json={}, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/", "/runs", "/api/v1/runs", "/static/js/app.js", "/nothing"])
def test_every_answer_says_what_a_browser_may_do_with_it(site: httpx.Client, path: str) -> None:
    """Nothing from elsewhere, nothing in a frame, no guessing of types."""
    headers = site.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["/", "/runs", "/pipelines", "/workers", "/audit"])
def test_no_page_has_a_script_or_a_style_in_it(site: httpx.Client, path: str) -> None:
    """What the policy forbids is not there either."""
    text = site.get(path).text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text)


HOSTILE = "<img src=x onerror=alert(1)>'\"&{{7*7}}${7*7}</script>"


def test_what_a_job_says_is_shown_as_text(kernel: Kernel, site: httpx.Client) -> None:
    """Errors, tracebacks, parameters and descriptions are nobody's markup."""
    kernel.define(CHAIN, "etl", of={"a": {"retry_limit": 0}}, params={"x": HOSTILE})
    run = kernel.start("etl", params={"y": HOSTILE})
    worker = kernel.worker()
    from tests.support.kernel import outcome

    claims = kernel.running(worker)
    kernel.report(worker, *(outcome(c, "Failed", error=HOSTILE, traceback=HOSTILE) for c in claims))
    kernel.retry()
    for path in (
        "/",
        "/runs",
        f"/runs/{run}",
        f"/runs/{run}?job=a",
        f"/runs/{run}?tab=data",
        f"/runs/{run}?tab=events",
        "/pipelines/etl?tab=definition",
        f"/pipelines/etl?tab=run&like={run}",
    ):
        answer = site.get(path)
        assert answer.status_code == 200
        assert "<img src=x" not in answer.text
        assert "{{7*7}}" in answer.text or "alert(1)" not in answer.text


def browser(address: str) -> httpx.Client:
    return httpx.Client(base_url=address, headers={"Accept": "text/html"}, timeout=20)


def sign_in(
    person: httpx.Client, name: str, password: str = PASSWORD, next: str = "/"
) -> httpx.Response:
    return person.post("/sign-in", data={"name": name, "password": password, "next": next})


def csrf_of(answer: httpx.Response) -> str:
    match = re.search(r'<meta name="rush-csrf" content="([^"]+)">', answer.text)
    assert match is not None
    return match[1]
