"""What the API gives."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rush.store import workers
from rush.web.api.models import Pipeline
from tests.support.kernel import CHAIN, DIAMOND, Kernel


def test_runs_come_page_by_page(kernel: Kernel, api: httpx.Client) -> None:
    """Each run once, the newest first, however many have come meanwhile."""
    kernel.define(CHAIN, "etl")
    runs = [kernel.start("etl") for _ in range(5)]
    first = api.get("/runs", params={"limit": 2}).json()
    kernel.start("etl")
    second = api.get("/runs", params={"limit": 2, "cursor": first["next"]}).json()
    third = api.get("/runs", params={"limit": 2, "cursor": second["next"]}).json()
    seen = [run["id"] for page in (first, second, third) for run in page["runs"]]
    assert seen == runs[::-1]
    assert third["next"] is None


def test_runs_are_found_by_what_they_are_like(kernel: Kernel, api: httpx.Client) -> None:
    """By pipeline, state, name, parameters, and the error of what is Stuck."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    kernel.define(CHAIN, "other")
    stuck = kernel.start("etl", params={"day": "2026-11-25"})
    kernel.work(kernel.worker(), failing=["b"])
    running = kernel.start("other")

    def found(**like: str) -> list[int]:
        return [run["id"] for run in api.get("/runs", params=like).json()["runs"]]

    assert found() == [running, stuck]
    assert found(pipeline="etl") == [stuck]
    assert found(state="Running") == [running]
    assert found(q="OTHER/1") == [running]
    assert found(q="11-25") == [stuck]
    assert found(q="valueerror") == [stuck]
    assert found(q="%") == []
    assert found(since="3600") == [running, stuck]


def test_a_page_ends_where_it_has_looked_enough(
    kernel: Kernel, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that few are like are found all the same, by going on; each of them once."""
    monkeypatch.setattr("rush.store.run_search.LOOKED", {"walk_runs": 4, "walk_pipeline": 4})
    kernel.define(CHAIN, "etl")
    runs = [
        kernel.start("etl", params={"kind": "rare" if n % 7 == 0 else "usual"}) for n in range(20)
    ]
    for like in ({"q": "rare"}, {"q": "rare", "pipeline": "etl"}):
        seen, pages, cursor = [], 0, None
        while pages == 0 or cursor is not None:
            answer = api.get(
                "/runs", params=like | {"limit": 2} | ({"cursor": cursor} if cursor else {})
            ).json()
            seen += [run["id"] for run in answer["runs"]]
            cursor, pages = answer["next"], pages + 1
        assert seen == [runs[14], runs[7], runs[0]]
        assert pages > 2


def test_live_runs_are_found_past_all_others(kernel: Kernel, api: httpx.Client) -> None:
    """Those that are Running or Stuck, also where nothing of them is live at the moment."""
    kernel.define(CHAIN, "chain", retry_limit=0)
    kernel.define(DIAMOND, "diamond")
    stuck = kernel.start("chain")
    worker = kernel.worker()
    kernel.work(worker, failing=["a"])
    between = kernel.start("diamond")
    kernel.complete(worker, *kernel.running(worker))
    assert kernel.live(between) == {}
    cancelled = kernel.start("chain")
    kernel.cancel(cancelled)
    ended = kernel.start("chain")
    kernel.cancel(ended)
    kernel.sweep()

    def found(*states: str) -> list[int]:
        return [run["id"] for run in api.get("/runs", params={"state": states}).json()["runs"]]

    assert found("Stuck") == [stuck]
    assert found("Running") == [between]
    assert found("Running", "Stuck") == [between, stuck]
    assert found("Cancelled") == [ended, cancelled]


def test_a_run_is_found_by_its_whole_name(kernel: Kernel, api: httpx.Client) -> None:
    """However old it is, and it alone; a part of a name finds all that have it."""
    kernel.define(CHAIN, "etl")
    runs = [kernel.start("etl") for _ in range(12)]

    def found(q: str) -> list[int]:
        return [run["id"] for run in api.get("/runs", params={"q": q}).json()["runs"]]

    assert found("etl/1") == [runs[0]]
    assert found("tl/1") == [runs[11], runs[10], runs[9], runs[0]]
    assert found("etl/99") == []


def test_runs_of_a_pipeline_stand_by_their_numbers(kernel: Kernel, api: httpx.Client) -> None:
    """Whatever numbers somebody gave, no run is left out between two pages."""
    kernel.define(CHAIN, "etl")
    by_number = {number: kernel.start("etl", jobinstance=number) for number in (5, 1, 9, 3, 7)}
    seen, cursor = [], None
    for _ in range(3):
        asked = {"pipeline": "etl", "limit": 2} | ({"cursor": cursor} if cursor else {})
        answer = api.get("/runs", params=asked).json()
        seen += [run["id"] for run in answer["runs"]]
        cursor = answer["next"]
    assert seen == [by_number[number] for number in (9, 7, 5, 3, 1)]
    assert cursor is None


def test_pipelines_are_sent_as_described(kernel: Kernel, api: httpx.Client) -> None:
    """What is written without going through the model has the model's fields."""
    kernel.define(CHAIN, "etl")
    kernel.start("etl")

    (sent,) = api.get("/pipelines").json()

    described = Pipeline.model_validate(sent).model_dump(mode="json")
    assert described == sent
    assert sent["live"] == {"Ready": 1}
    assert [run["jobinstance"] for run in sent["last_runs"]] == [1]


def test_a_timeline_has_every_attempt(kernel: Kernel, api: httpx.Client) -> None:
    """What has ended, what runs, and what waits for its retry."""
    kernel.define(CHAIN, "etl", retry_limit=2, retry_gap_minutes=10)
    run = kernel.start("etl")
    worker = kernel.worker()
    kernel.fail(worker, *kernel.running(worker))
    kernel.retry()
    shown = api.get(f"/runs/{run}/timeline").json()
    assert [lane["job"] for lane in shown["jobs"]] == ["a", "b", "c"]
    failed, waiting = shown["jobs"][0]["attempts"]
    assert (failed["state"], failed["attempt"], failed["reason"]) == ("Failed", 1, "raised")
    assert (waiting["state"], waiting["attempt"], waiting["started_at"]) == ("Waiting", 2, None)
    assert datetime.fromisoformat(waiting["ready_at"]) > datetime.now(UTC)
    assert shown["jobs"][1] == {"job": "b", "state": None, "depends_on": ["a"], "attempts": []}


def test_a_graph_is_the_same_before_and_in_a_run(kernel: Kernel, api: httpx.Client) -> None:
    """The edges of the definition are those of its runs."""
    kernel.define(DIAMOND, "etl")
    run = kernel.start("etl")
    edges = {job: list(before) for job, before in DIAMOND.items()}
    for path in (f"/runs/{run}/graph", "/pipelines/etl/graph"):
        jobs = api.get(path).json()["jobs"]
        assert {job["job"]: job["depends_on"] for job in jobs} == edges
    states = api.get(f"/runs/{run}/graph/states").json()["states"]
    assert {job: row["state"] for job, row in states.items()} == {"a": "Ready"}


def test_a_grid_is_whole_at_first_and_then_what_has_changed(
    kernel: Kernel, api: httpx.Client
) -> None:
    """A cursor gives the squares that are other than before, and new runs; a new round begins anew."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    first = kernel.start("etl")
    worker = kernel.worker()
    kernel.complete(worker, *kernel.running(worker))
    path = "/pipelines/etl/grid"
    assert [job["depth"] for job in api.get(path).json()["jobs"]] == [0, 1, 2]
    whole = api.get(f"{path}/states").json()
    assert whole["cells"] == {str(first): "cy."}

    kernel.work(worker, failing=["b"])
    second = kernel.start("etl")
    changed = api.get(f"{path}/states", params={"after": whole["cursor"]}).json()
    assert [str(first), 1, "s"] in changed["changes"]
    assert [str(second), 0, "y"] in changed["changes"]
    assert [run["id"] for run in changed["runs"]] == [second, first]

    kernel.accepted(kernel.request("etl", job="b", jobinstance=1))
    again = api.get(f"{path}/states", params={"after": changed["cursor"]}).json()
    assert again["reset"]
    assert api.get(f"{path}/states", params={"after": "nonsense"}).status_code == 422


def test_a_job_of_another_version_leaves_a_gap(kernel: Kernel, api: httpx.Client) -> None:
    """A run that lacks a row of the grid shows nothing there, not even that it is to come."""
    kernel.define({"a": []}, "etl")
    old = kernel.start("etl")
    kernel.define({"a": [], "b": ["a"]}, "etl")
    new = kernel.start("etl")
    cells = api.get("/pipelines/etl/grid/states").json()["cells"]
    assert cells == {str(old): "y ", str(new): "y."}


def test_a_log_is_read_in_both_directions(kernel: Kernel, api: httpx.Client) -> None:
    """Each line once: from the end backwards, and forwards what has come since."""
    kernel.define({"a": []}, "etl")
    run = kernel.start("etl")
    worker = kernel.worker()
    (claim,) = kernel.running(worker)
    for part in range(10):
        lines = "\n".join(f"2026-11-25T08:00:{part:02}.{n}Z INFO line {part}.{n}" for n in range(5))
        kernel.append_log(worker, claim, lines, part=part)
    path = f"/runs/{run}/logs"
    last = api.get(path, params={"limit": 12}).json()
    texts = [line[6] for line in last["lines"]]
    assert texts == [f"line {part}.{n}" for part in (7, 8, 9) for n in range(5)]
    assert (last["before"], last["after"], last["total"]) == (True, False, 50)

    page, seen = last, texts
    while page["before"]:
        page = api.get(path, params={"limit": 12, "before": page["first"]}).json()
        seen = [line[6] for line in page["lines"]] + seen
    assert seen == [f"line {part}.{n}" for part in range(10) for n in range(5)]

    assert api.get(path, params={"after": last["last"]}).json()["lines"] == []
    kernel.append_log(worker, claim, "2026-11-25T08:01:00Z WARNING more", part=10)
    more = api.get(path, params={"after": last["last"]}).json()
    assert [(line[1], line[6]) for line in more["lines"]] == [("WARNING", "more")]
    assert api.get(path, params={"before": "nonsense"}).status_code == 422


def test_lines_that_are_committed_late_are_given_once(
    kernel: Kernel, database: str, api: httpx.Client
) -> None:
    """However late it is: a part that was on its way for a minute, and came behind others."""
    kernel.define({"a": []}, "etl")
    run = kernel.start("etl")
    worker = kernel.worker()
    (claim,) = kernel.running(worker)
    path = f"/runs/{run}/logs"

    def texts(page: dict[str, Any]) -> list[str]:
        return [line[6] for line in page["lines"]]

    for part in (0, 1):
        kernel.append_log(worker, claim, f"2026-11-25T08:00:0{part}Z INFO line {part}", part=part)
    with psycopg.connect(database) as other:
        kernel.seen_from(other).append_log(worker, claim, "2026-11-25T08:00:02Z INFO late", part=2)
        other.execute("UPDATE rush.log SET at = at - interval '1 minute' WHERE part = 2")
        kernel.sql("UPDATE rush.run SET created_at = created_at - interval '1 hour'")
        first = api.get(path, params={"limit": 1}).json()
        assert texts(first) == ["line 1"]
        nothing = api.get(path, params={"after": first["last"]}).json()
        kernel.append_log(worker, claim, "2026-11-25T08:00:03Z INFO line 3", part=3)
        third = api.get(path, params={"after": nothing["last"]}).json()
        assert texts(third) == ["line 3"]
        other.commit()

    late = api.get(path, params={"after": third["last"]}).json()
    assert texts(late) == ["late"]
    assert texts(api.get(path, params={"after": late["last"]}).json()) == []
    before = api.get(path, params={"before": first["first"]}).json()
    assert texts(before) == ["line 0"]
    assert not before["before"]
    assert sorted(texts(api.get(path).json())) == ["late", "line 0", "line 1", "line 3"]


def test_a_place_in_a_log_that_is_none_is_said_so(kernel: Kernel, api: httpx.Client) -> None:
    """Not found out by the database."""
    kernel.define({"a": []}, "etl")
    run = kernel.start("etl")
    for place in ("x", "1-1-1", "1-1-1@5:3:", "1-1-1@5:9:9,7", "1-1-9999999999@1:1:", "1-1-1@0:0:"):
        answer = api.get(f"/runs/{run}/logs", params={"after": place})
        assert answer.status_code == 422, place
    assert api.get(f"/runs/{run}/logs", params={"after": "1-1-1@3:9:5,7"}).status_code == 200


def test_runs_that_ended_are_counted_in_stretches(kernel: Kernel, api: httpx.Client) -> None:
    """Each in the stretch in which it ended; what is older than the chart is left out."""
    kernel.define({"a": []}, "etl")
    for _ in range(3):
        kernel.start("etl")
    kernel.work(kernel.worker())
    kernel.sql(
        "UPDATE rush.run SET created_at = created_at - interval '2 days',"
        " started_at = started_at - interval '2 days', finished_at = finished_at - interval '2 days'"
        " WHERE id = 1"
    )
    (complete,) = api.get("/charts/throughput").json()["series"]
    assert sum(complete["values"]) == 2
    assert sum(complete["values"][-2:]) == 2


def test_what_is_measured(kernel: Kernel, site: httpx.Client) -> None:
    """Prometheus reads how things stand, and counts what has ended since it first asked."""
    kernel.define({"a": []}, "etl")
    kernel.start("etl")
    before = measured(site)
    assert before["rush_jobs", "default", "Ready"] == 1
    assert before["rush_master_term",] == kernel.term
    kernel.start("etl")
    kernel.work(kernel.worker())
    after = measured(site)
    assert after["rush_runs_ended_total", "etl", "Complete"] == 2
    assert after["rush_attempts_ended_total", "etl", "", "Complete"] == 2
    assert after["rush_run_seconds_count", "etl"] == 2
    assert after["rush_slots", "worker1"] == 4
    assert measured(site)["rush_runs_ended_total", "etl", "Complete"] == 2


def test_refused_writes_are_counted_over_workers_that_are_gone(
    kernel: Kernel, site: httpx.Client
) -> None:
    """What was refused stays in the sum when its worker leaves, or is forgotten."""
    leaving, dying = kernel.worker("leaving"), kernel.worker("dying")
    assert workers.heartbeat(kernel.session, leaving, lease=60, progress={}, stale_writes=2)
    assert workers.heartbeat(kernel.session, dying, lease=60, progress={}, stale_writes=3)
    assert measured(site)["rush_stale_writes_refused_total",] == 5
    assert "3 refused" in site.get("/workers").text
    listed = site.get("/api/v1/workers").json()["workers"]
    assert {row["name"]: row["stale_writes"] for row in listed} == {
        "master": 0, "leaving": 2, "dying": 3,
    }  # fmt: skip

    workers.leave(kernel.session, leaving, stale_writes=4)
    workers.declare_dead(kernel.session, [("dying", dying.generation)])
    kernel.sql("UPDATE rush.worker SET last_seen = last_seen - interval '2 days'")
    workers.forget_dead(kernel.session)

    assert [row["name"] for row in site.get("/api/v1/workers").json()["workers"]] == ["master"]
    assert measured(site)["rush_stale_writes_refused_total",] == 7


def measured(site: httpx.Client) -> dict[tuple[str, ...], float]:
    text = site.get("/metrics").text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_the_first_page_says_is_a_call(kernel: Kernel, api: httpx.Client) -> None:
    """What needs attention, what waits, what runs and on which worker."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    stuck = kernel.start("etl")
    worker = kernel.worker()
    kernel.work(worker, failing=["a"])
    kernel.start("etl")
    kernel.running(worker)
    kernel.start("etl")
    kernel.request("etl")
    home = api.get("/home").json()
    assert home["standing"]["master"] == "master"
    assert (home["taken"], home["ready"], home["pending"]) == (1, 1, 1)
    (group,) = home["stuck"]
    assert (group["job"], group["error"], group["run_ids"]) == ("a", "ValueError: no", [stuck])
    (running,) = home["running"]
    assert (running["worker"], running["job"]["jobinstance"]) == ("worker1", 2)


def test_what_takes_longer_than_usual_is_marked(
    kernel: Kernel, api: httpx.Client, site: httpx.Client
) -> None:
    """A run that goes on for longer than 95 of 100 did; a shorter one, and one of few, is not."""
    worker = kernel.worker(slots=30)
    for name, before in (("etl", 20), ("quick", 20), ("new", 5)):
        kernel.define({"a": []}, name)
        for _ in range(before):
            kernel.start(name)
        kernel.work(worker)
    kernel.sql("UPDATE rush.run SET started_at = finished_at - interval '1 minute'")
    late = kernel.start("etl")
    for name in ("quick", "new"):
        kernel.start(name)
    kernel.running(worker, 3)
    kernel.sql("UPDATE rush.run SET started_at = started_at - interval '1 hour' WHERE pipeline <> 'quick'"
               " AND finished_at IS NULL")  # fmt: skip
    running = {row["job"]["pipeline"]: row for row in api.get("/home").json()["running"]}
    assert running["etl"]["job"]["run_id"] == late
    assert {name: row["usual"] for name, row in running.items()} == {
        "etl": 60, "quick": None, "new": None,
    }  # fmt: skip
    assert site.get("/").text.count("longer than usual") == 1


def test_a_job_is_told_whole_and_without_its_secrets(kernel: Kernel, api: httpx.Client) -> None:
    """Why it stands so, its attempts, what it is given and what it has returned."""
    kernel.define(CHAIN, "etl", retry_limit=0)
    run = kernel.start("etl", params={"day": 1, "db_password": "hush"})
    kernel.work(kernel.worker(), failing=["b"])
    job = api.get(f"/runs/{run}/jobs/b").json()
    assert job["job"]["state"] == "Stuck"
    assert job["params"] == {"day": 1, "db_password": "•••"}
    assert [attempt["state"] for attempt in job["attempts"]] == ["Failed"]
    assert job["followers"] == ["c"]
    assert "hush" not in api.get(f"/runs/{run}/events").text
    assert api.get(f"/runs/{run}/jobs/x").status_code == 404


def test_a_queue_that_nobody_serves_is_told(
    kernel: Kernel, api: httpx.Client, site: httpx.Client
) -> None:
    """With what waits in it; and beside it those that somebody serves."""
    kernel.define({"a": []}, "etl", queue="gpu")
    kernel.start("etl")
    kernel.worker(queues=("default",))
    rows = {row["name"]: row for row in api.get("/queues").json()}
    assert (rows["gpu"]["jobs"], rows["gpu"]["workers"]) == ({"Ready": 1}, [])
    assert rows["gpu"]["oldest"] >= 0
    assert (rows["default"]["workers"], rows["default"]["slots"]) == (["worker1"], 4)
    assert "rush worker --queue gpu" in site.get("/workers").text


def test_each_state_and_queue_is_counted_once(kernel: Kernel, site: httpx.Client) -> None:
    """Whichever index it is found by: held or not, paused, of any priority, in any queue."""
    kernel.define({"a": [], "b": []}, "etl", of={"b": {"queue": "gpu"}})
    kernel.define({"a": []}, "urgent", priority=9)
    kernel.define({"a": []}, "halted")
    kernel.start("halted")
    kernel.pause("halted")
    for _ in range(3):
        kernel.start("etl")
    kernel.start("urgent")
    kernel.running(kernel.worker(slots=1))
    counted = {
        tuple(where): number
        for (name, *where), number in measured(site).items()
        if name == "rush_jobs"
    }
    rows = kernel.session.connection.execute(
        "SELECT queue, state, count(*) FROM rush.run_state GROUP BY 1, 2"
    )
    assert counted == {(queue, state): number for queue, state, number in rows}
    assert len(counted) == 4


def test_health_needs_nobody(site: httpx.Client) -> None:
    """Alive, and ready."""
    assert site.get("/healthz").text == "alive\n"
    assert site.get("/readyz").text == "ready\n"


def test_the_description_has_every_call(api: httpx.Client) -> None:
    """OpenAPI names each, with what it gives."""
    description = api.get("/openapi.json").json()
    assert "/api/v1/runs/{run_id}/timeline" in description["paths"]
    assert "/runs/{run_id}" not in description["paths"]
    assert description["components"]["schemas"]["Run"]["properties"]["state"]
