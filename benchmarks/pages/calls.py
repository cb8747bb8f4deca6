"""How soon the API answers: each call some hundred times, by one client on one connection."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import psycopg

from benchmarks.pages.history import BACKLOG, CHATTY, LARGE, WIDE, names

#: What a list may take at the 99th percentile, in milliseconds.
GOAL = 50


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of call: its addresses, which are asked for in turns."""

    name: str
    paths: Sequence[str]
    #: Whether the goal for lists is meant for it.
    is_list: bool = True


@dataclass(frozen=True, slots=True)
class Timed:
    """
    What a call took, in milliseconds, how many bytes came, and how much processor time the
    dashboard and its sessions of the server took for it: that others work beside changes it less.
    """

    call: Call
    p50: float
    p99: float
    longest: float
    size: int
    dashboard: float
    database: float


def calls(connection: psycopg.Connection[Any]) -> Iterator[Call]:
    """Every list that there is, with each of its filters, at the beginning and deep down."""
    yield from _runs(connection)
    yield from _lists()
    yield from _of_runs(connection)
    yield from _of_pipelines()


def _runs(connection: psycopg.Connection[Any]) -> Iterator[Call]:
    frequent, rare, stopped = names()[0], names()[150], names()[29]
    filters: dict[str, dict[str, Any]] = {
        "": {},
        "of a frequent pipeline": {"pipeline": frequent},
        "of a rare pipeline": {"pipeline": rare},
        "of a pipeline that stopped": {"pipeline": stopped},
        "Complete": {"state": "Complete"},
        "Running": {"state": "Running"},
        "Stuck": {"state": "Stuck"},
        "Cancelled": {"state": "Cancelled"},
        "Stuck or Cancelled": {"state": ["Stuck", "Cancelled"]},
        "Stuck of a pipeline": {"pipeline": frequent, "state": "Stuck"},
        "of an hour": {"since": 3600},
        "of a week": {"since": 7 * 86400},
        "q: a pipeline's name": {"q": frequent},
        "q: a run's name": {"q": f"{frequent}/12"},
        "q: a parameter": {"q": "eu-7"},
        "q: what is nowhere": {"q": "zebra crossing"},
        "q: an error, Stuck": {"q": "column col_7", "state": "Stuck"},
        "q: an error": {"q": 'column "col_7"'},
    }
    for name, values in filters.items():
        yield Call(f"/runs {name}".strip(), [_path("/runs", values)])
    deep = _ids(
        connection, "SELECT id FROM rush.run WHERE state = 'Complete' ORDER BY random() LIMIT 50"
    )
    for name in (
        "",
        "of a frequent pipeline",
        "of a pipeline that stopped",
        "Stuck",
        "Cancelled",
        "q: a parameter",
        "q: what is nowhere",
    ):
        paths = [_path("/runs", filters[name] | {"cursor": run}) for run in deep]
        yield Call(f"/runs {name}".strip() + ", deep", paths)


def _lists() -> Iterator[Call]:
    yield Call("/pipelines", ["/pipelines"])
    yield Call("/workers", ["/workers"])
    yield Call("/queues", ["/queues"])
    yield Call("/terms", ["/terms"])
    yield Call("/audit", ["/audit"])
    yield Call(
        "/audit, deep", [_path("/audit", {"cursor": f"{n * 900 + 100}-"}) for n in range(50)]
    )
    yield Call("/audit of somebody", [_path("/audit", {"who": "person3"})])
    yield Call("/audit of nobody", [_path("/audit", {"who": "nobody"})])
    yield Call(
        "/audit of a run",
        [_path("/audit", {"target": f"sales_orders_{n:03}/{n}"}) for n in range(50)],
    )
    yield Call("/charts/throughput", ["/charts/throughput"])


def _of_runs(connection: psycopg.Connection[Any]) -> Iterator[Call]:
    some = (
        "SELECT id FROM rush.run WHERE state = 'Complete' AND pipeline LIKE '%\\_%' AND {} LIMIT 50"
    )
    old = _ids(connection, some.format("created_at < now() - interval '120 days'"))
    new = _ids(connection, some.format("created_at > now() - interval '7 days'"))
    for age, ids in (("old", old), ("new", new)):
        for call in (
            "",
            "/jobs",
            "/attempts",
            "/timeline",
            "/graph",
            "/graph/states",
            "/logs",
            "/explain",
        ):
            yield Call(f"/runs/ID{call}, {age}", [f"/runs/{run}{call}" for run in ids])
    for name in (LARGE, WIDE):
        ids = _ids(connection, f"SELECT id FROM rush.run WHERE pipeline = '{name}' ORDER BY id")
        for age, run in (("old", ids[0]), ("new", ids[-1])):
            for call in ("/jobs", "/timeline", "/graph"):
                yield Call(f"{call} of {name}, {age}", [f"/runs/{run}{call}"], is_list=False)
    (talk,) = _ids(connection, f"SELECT id FROM rush.run WHERE pipeline = '{CHATTY}'")
    yield Call("/logs, the end of a million lines", [f"/runs/{talk}/logs"])


def _of_pipelines() -> Iterator[Call]:
    some = names()[:50]
    for call in ("", "/versions", "/statistics", "/durations", "/grid", "/grid/states", "/graph"):
        yield Call(f"/pipelines/NAME{call}", [f"/pipelines/{name}{call}" for name in some])
    for name in (BACKLOG, WIDE):
        for call in ("/grid?runs=10", "/grid/states?runs=10"):
            yield Call(f"{call} of {name}", [f"/pipelines/{name}{call}"], is_list=False)


def _path(path: str, values: dict[str, Any]) -> str:
    return f"{path}?{urlencode(values, doseq=True)}" if values else path


def _ids(connection: psycopg.Connection[Any], question: str) -> list[int]:
    return [run for (run,) in connection.execute(question.encode())]  # type: ignore[arg-type]


def measure(
    address: str, call: Call, times: int, dashboard: int, connection: psycopg.Connection[Any]
) -> Timed:
    """Ask so many times; the first few, for connections and caches, are not counted."""
    parts = urlsplit(address)
    client = http.client.HTTPConnection(parts.hostname or "", parts.port)
    taken: list[float] = []
    size = 0
    before = (0.0, 0.0)
    for at, path in enumerate(islice(cycle(call.paths), times + 5)):
        if at == 5:
            before = _processor(dashboard, connection)
        began = time.perf_counter()
        client.request("GET", f"/api/v1{path}", headers={"Accept": "application/json"})
        answer = client.getresponse()
        body = answer.read()
        if at >= 5:
            taken.append((time.perf_counter() - began) * 1000)
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {json.loads(body).get('detail')}")
        size = max(size, len(body))
    after = _processor(dashboard, connection)
    client.close()
    taken.sort()
    return Timed(
        call=call,
        p50=taken[len(taken) // 2],
        p99=taken[int(len(taken) * 0.99)],
        longest=taken[-1],
        size=size,
        dashboard=(after[0] - before[0]) / times,
        database=(after[1] - before[1]) / times,
    )


def _processor(dashboard: int, connection: psycopg.Connection[Any]) -> tuple[float, float]:
    """Milliseconds that the dashboard and its sessions have taken so far, where they can be seen."""
    sessions = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'rush ui%'"
    ).fetchall()
    return _milliseconds(dashboard), sum(_milliseconds(pid) for (pid,) in sessions)


def _milliseconds(pid: int) -> float:
    taken = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):
            taken += int(thread.read_text().split()[0])
    return taken / 1e6
