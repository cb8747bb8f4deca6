"""What is done by way of the pages and the API, and the row that each leaves in `audit`."""

from __future__ import annotations

import html
import re
import shlex
from typing import Any

import httpx

from tests.support.kernel import CHAIN, Kernel


def test_a_run_is_asked_for_once_by_its_key(kernel: Kernel, api: httpx.Client) -> None:
    """The same key with the same request is the same request; with another it is refused."""
    kernel.define(CHAIN, "etl")
    asked: dict[str, Any] = {"pipeline": "etl", "params": {"day": "2026-11-25"}}
    key = {"Idempotency-Key": "one"}
    first = api.post("/runs", json=asked, headers=key)
    assert first.status_code == 202
    assert first.json()["status"] == "Pending"
    assert api.post("/runs", json=asked, headers=key).json()["id"] == first.json()["id"]
    refused = api.post("/runs", json={"pipeline": "etl"}, headers=key)
    assert refused.status_code == 409
    assert "used for something else" in refused.json()["detail"]


def test_what_is_misspelt_is_said(kernel: Kernel, api: httpx.Client) -> None:
    """With what was probably meant, as problem+json."""
    kernel.define(CHAIN, "etl")
    answer = api.post("/runs", json={"pipeline": "elt"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "etl" in answer.json()["detail"]
    assert api.post("/runs", json={"pipelin": "etl"}).status_code == 422


def test_a_form_does_it_and_leads_back_with_a_sentence(kernel: Kernel, site: httpx.Client) -> None:
    """What came of it stands on the next page, once, and in the audit for ever."""
    kernel.define(CHAIN, "etl")
    run = kernel.start("etl")
    answer = post(site, f"/runs/{run}/cancel", why="wrong day")
    assert answer.headers["location"] == f"/runs/{run}"
    assert "there is no answer of a master yet" in site.get(f"/runs/{run}").text
    assert "there is no answer" not in site.get(f"/runs/{run}").text
    deed, *_ = site.get("/api/v1/audit").json()["audit"]
    assert (deed["action"], deed["target"], deed["why"]) == ("cancel", "etl/1", "wrong day")
    assert (deed["via"], deed["outcome"], deed["said"]) == ("local", "done", "not decided yet")
    kernel.take()
    deed, *_ = site.get("/api/v1/audit").json()["audit"]
    assert (deed["said"], deed["accepted"]) == ("accepted", 1)


def test_what_was_not_possible_is_in_the_audit_as_well(kernel: Kernel, site: httpx.Client) -> None:
    """With the reason."""
    kernel.define(CHAIN, "etl")
    run = kernel.start("etl")
    post(site, f"/runs/{run}/retry")
    assert "nothing of it is Stuck" in site.get(f"/runs/{run}").text
    deed, *_ = site.get("/api/v1/audit").json()["audit"]
    assert deed["outcome"].startswith("failed: etl/1 is Running and nothing of it is Stuck")


def test_all_that_match_are_retried_and_no_others(kernel: Kernel, site: httpx.Client) -> None:
    """A filter on the error takes the runs that are Stuck with it."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    kernel.define(CHAIN, "other", retry_limit=0)
    for pipeline in ("etl", "etl", "other"):
        kernel.start(pipeline)
    kernel.work(kernel.worker(), failing=["b"])

    post(site, "/runs/many", action="retry", all="1", pipeline="etl", q="ValueError: no")

    asked = kernel.sql(
        "SELECT pipeline, job, jobinstance FROM rush.run_request WHERE status = 'Pending'"
    )
    assert sorted(map(tuple, asked)) == [("etl", "b", 1), ("etl", "b", 2)]


def test_those_that_were_chosen_are_cancelled(kernel: Kernel, site: httpx.Client) -> None:
    """And what is over already is left alone."""
    kernel.define(CHAIN, "etl")
    first, second, third = (kernel.start("etl") for _ in range(3))
    kernel.sql("UPDATE rush.run SET state = 'Complete', finished_at = now() WHERE id = %s", third)
    post(site, "/runs/many", action="cancel", run=[str(first), str(third)])
    asked = kernel.sql("SELECT jobinstance, action FROM rush.run_request WHERE status = 'Pending'")
    assert list(map(tuple, asked)) == [(1, "cancel")]
    assert second


def test_chosen_pipelines_are_paused_each_by_a_deed(kernel: Kernel, site: httpx.Client) -> None:
    """Those and no others; what is not there is named, and keeps nothing from the rest."""
    for name in ("etl", "sales", "other"):
        kernel.define(CHAIN, name)

    def paused() -> set[str]:
        return {name for (name,) in kernel.sql("SELECT name FROM rush.pipeline WHERE paused")}

    post(site, "/pipelines/many", action="pause", name=["etl", "sales"], why="month's end")
    assert paused() == {"etl", "sales"}
    assert "etl and sales are paused" in site.get("/pipelines").text
    deeds = site.get("/api/v1/audit").json()["audit"]
    assert {(deed["action"], deed["target"], deed["why"]) for deed in deeds} == {
        ("pause", "etl", "month's end"), ("pause", "sales", "month's end"),
    }  # fmt: skip
    post(site, "/pipelines/many", action="resume", name=["gone", "sales"])
    assert paused() == {"etl"}
    assert "there is no pipeline" in site.get("/pipelines").text
    for wrong in ({"action": "pause"}, {"action": "drop", "name": ["etl"]}):
        post(site, "/pipelines/many", **wrong)
    assert paused() == {"etl"}


def test_chosen_workers_are_drained_and_reloaded(kernel: Kernel, site: httpx.Client) -> None:
    """As one at a time."""
    for name in ("one", "two", "three"):
        kernel.worker(name)
    post(site, "/workers/many", action="drain", name=["one", "two"])
    post(site, "/workers/many", action="reload", name=["three"])
    said = site.get("/workers").text
    assert "three is loading the code anew" in said
    rows = kernel.sql("SELECT name, state, reload FROM rush.worker WHERE name <> 'master'")
    assert {tuple(row) for row in rows} == {
        ("one", "Draining", False), ("two", "Draining", False), ("three", "Alive", True),
    }  # fmt: skip


def test_programs_may_do_things_to_many_runs_too(kernel: Kernel, api: httpx.Client) -> None:
    """To some, or to all that match, and to neither by mistake."""
    kernel.define(CHAIN, "etl")
    first, second = kernel.start("etl"), kernel.start("etl")
    assert api.post("/runs/many/cancel", json={}).status_code == 422
    both = {"runs": [first], "matching": {"pipeline": "etl"}}
    assert api.post("/runs/many/cancel", json=both).status_code == 422
    answer = api.post("/runs/many/cancel", json={"matching": {"pipeline": "etl"}})
    assert answer.json() == {"said": "It is asked to cancel 2 runs"}
    assert api.post("/runs/many/retry", json={"runs": [second]}).json() == {
        "said": "None of these runs is Stuck"
    }


def test_the_form_of_a_run_sends_what_was_changed(kernel: Kernel, site: httpx.Client) -> None:
    """What is as the definition has it is left to the definition; a hidden secret stays what it is."""
    from rush.store import pipelines

    definition = {
        "params": {"day": "2026-11-25", "limit": 500, "dry": False, "password": "hunter2"},
        "jobs": [{"name": "a", "class_name": "jobs.any.Any"}],
    }
    pipelines.apply(kernel.session, "etl", definition)
    shown = site.get("/pipelines/etl?tab=run").text
    assert "hunter2" not in shown
    assert "•••" in shown
    form = {
        "p:day": "2026-11-26",
        "p:limit": "500",
        "p:dry": "true",
        "p:password": "•••",
        "more": "a=1\nb=text\n",
    }
    post(site, "/pipelines/etl/run", **form)
    (asked,) = kernel.sql("SELECT params FROM rush.run_request")
    assert asked.params == {"day": "2026-11-26", "dry": True, "a": 1, "b": "text"}


def test_the_form_of_a_run_says_the_command_that_does_the_same(
    kernel: Kernel, site: httpx.Client
) -> None:
    """With the parameters of the run that it is like; never with a secret, or a part of one."""
    kernel.define(CHAIN, "etl", params={"limit": 500})
    plain = kernel.start("etl", params={"day": "2026-11-25", "note": "it's"})
    secret = kernel.start("etl", params={"password": "hunter2"})

    def command(form: str) -> str | None:
        shown = re.search(r'<rush-copy text="(rush run [^"]*)"', site.get(form).text)
        return shown and html.unescape(shown[1])

    form = "/pipelines/etl?tab=run"
    assert command(form) == "rush run etl"
    told = shlex.split(command(f"{form}&like={plain}") or "")
    assert told[:3] == ["rush", "run", "etl"]
    assert sorted(told[4::2]) == ["day=2026-11-25", "note=it's"]
    assert command(f"{form}&like={secret}") is None


def test_a_run_is_retried_with_what_was_changed(kernel: Kernel, site: httpx.Client) -> None:
    """The form has the parameters as they are; only a line that is other than that is sent."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    asked = {"day": "2026-11-25", "n": 5, "text": "5", "lines": "a\nb", "api_key": "hush"}
    run = kernel.start("etl", params=asked)
    kernel.work(kernel.worker(), failing=["b"])
    found = re.search(r'name="params"[^>]*>\n([^<]*)</textarea>', site.get(f"/runs/{run}").text)
    assert found is not None
    form = html.unescape(found[1])
    assert form.splitlines() == [
        "n=5",
        "day=2026-11-25",
        'text="5"',
        'lines="a\\nb"',
        "api_key=•••",
    ]
    post(site, f"/runs/{run}/retry", params=form)
    post(site, f"/runs/{run}/retry", job="b", params=form.replace("n=5", "n=6") + "more=[1]\n")
    (plain, changed) = kernel.sql(
        "SELECT params FROM rush.run_request WHERE status = 'Pending' ORDER BY id"
    )
    assert plain.params is None
    assert changed.params == {"n": 6, "more": [1]}
    post(site, f"/runs/{run}/retry", params="other=a•••b")
    assert "has a hidden part" in site.get(f"/runs/{run}").text
    kernel.sql("DELETE FROM rush.run_request WHERE status = 'Pending' AND params IS NULL")
    kernel.take()
    assert kernel.run(run).params == asked | {"n": 6, "more": [1]}


def test_a_job_is_retried_with_other_than_the_definition_has(
    kernel: Kernel, site: httpx.Client
) -> None:
    """Beside a job its form has all that it is given: a wrong one is there to be changed."""
    given = {"rate": "19%", "token": "hush", "steps": 5}
    kernel.define({"a": []}, "etl", params=given, retry_limit=0)
    run = kernel.start("etl", params={"day": "2026-11-25"})
    kernel.work(kernel.worker(), failing=["a"])
    drawer = site.get(f"/runs/{run}?job=a").text.partition('id="drawer"')[2]
    found = re.search(r'name="params"[^>]*>\n([^<]*)</textarea>', drawer)
    assert found is not None
    form = html.unescape(found[1])
    assert sorted(form.splitlines()) == ["day=2026-11-25", "rate=19%", "steps=5", "token=•••"]
    post(site, f"/runs/{run}/retry", job="a", params=form.replace("19%", "19"))
    (asked,) = kernel.sql("SELECT params FROM rush.run_request WHERE status = 'Pending'")
    assert asked.params == {"rate": 19}


def test_a_form_that_was_opened_before_a_retry_undoes_nothing(
    kernel: Kernel, site: httpx.Client
) -> None:
    """Two people mend the same run: the form of the second still has the wrong parameter."""
    kernel.define({"a": []}, "etl", params={"rate": "19%"}, retry_limit=0)
    run = kernel.start("etl")
    kernel.work(kernel.worker(), failing=["a"])
    drawer = site.get(f"/runs/{run}?job=a").text.partition('id="drawer"')[2]
    (round_,) = re.findall(r'name="round" value="(\d+)"', drawer)
    form = {"job": "a", "round": round_}
    post(site, f"/runs/{run}/retry", params="rate=19", **form)
    kernel.take()
    kernel.work(kernel.worker())
    assert kernel.run(run).state == "Complete"
    post(site, f"/runs/{run}/retry", params="rate=19%", **form)
    assert kernel.sql("SELECT FROM rush.run_request WHERE status = 'Pending'") == []
    page = site.get(f"/runs/{run}").text
    assert "has been run again since this form was opened, and is Complete now" in page


def test_a_definition_with_holes_is_refused(kernel: Kernel, api: httpx.Client) -> None:
    """What was read with its secrets hidden is not written back so."""
    definition = {"params": {"token": "•••"}, "jobs": [{"name": "a", "class_name": "jobs.any.Any"}]}
    answer = api.put("/pipelines/etl", json={"definition": definition})
    assert answer.status_code == 422
    assert "hidden" in answer.json()["detail"]
    definition["params"] = {"token": "t"}
    assert api.put("/pipelines/etl", json={"definition": definition}).status_code == 201
    assert api.put("/pipelines/etl", json={"definition": definition}).status_code == 200
    assert api.get("/pipelines/etl").json()["definition"]["params"] == {"token": "•••"}
    wrong = api.put("/pipelines/etl", json={"definition": {"jobs": [{"name": "a"}]}})
    assert wrong.status_code == 422
    assert wrong.json()["problems"]


def post(site: httpx.Client, path: str, **fields: Any) -> httpx.Response:
    """Send a form as one of our pages does."""
    match = re.search(r'<meta name="rush-csrf" content="([^"]+)">', site.get("/audit").text)
    assert match is not None
    answer = site.post(path, data={"csrf": match[1]} | fields)
    assert answer.status_code == 303, answer.text
    return answer
