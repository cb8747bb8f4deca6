"""
Made-up runs, in the shapes that the parts of the pages read: nothing, a few, and far too many.

Everything is computed from a fixed instant and a seed, so that a picture is the same each time.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]

NIGHT = datetime(2026, 11, 26, 1, 30, tzinfo=UTC)
HOSTILE = [
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    '"><svg onload=window.pwned=1>',
    "javascript:window.pwned=1",
    "{{7*7}}${7*7}",
    "</textarea><script>window.pwned=1</script>",
    "' OR 1=1; DROP TABLE run; --",
    "\u202egnp.exe",
    "a" * 300,
    "__proto__",
    "constructor",
    "日本語のジョブ",
    "نص عربي",
    "e\u0301\u0301\u0301 zalgo",
]


def iso(moment: datetime | None) -> str | None:
    return (
        None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    )


def after(seconds: float) -> str:
    return str(iso(NIGHT + timedelta(seconds=seconds)))


def attempt(
    number: int,
    state: str,
    ready: float | None,
    started: float | None,
    finished: float | None,
    **more: Any,
) -> Json:
    times = {
        name: None if at is None else after(at)
        for name, at in (("ready_at", ready), ("started_at", started), ("finished_at", finished))
    }
    return {
        "item": 0,
        "round": 1,
        "attempt": number,
        "state": state,
        "worker": None if started is None else "thread1",
        "reason": "raised" if state == "Failed" else None,
        "error": 'psycopg.errors.UndefinedTable: relation "flights" does not exist'
        if state == "Failed"
        else None,
        **times,
        **more,
    }


def lane(job: str, state: str | None, depends_on: list[str], *attempts: Json) -> Json:
    return {"job": job, "state": state, "depends_on": depends_on, "attempts": list(attempts)}


def timeline(state: str, now: float, finished: float | None, jobs: list[Json]) -> Json:
    return {
        "now": after(now),
        "run": {
            "id": 7,
            "pipeline": "etl",
            "jobinstance": 7,
            "state": state,
            "round": 1,
            "created_at": after(-0.05),
            "started_at": after(0),
            "finished_at": None if finished is None else after(finished),
        },
        "jobs": jobs,
    }


def nightly(scale: float = 1, retry_after: float = 60) -> Json:
    """A run in flight: some is over, one has failed once, one runs, one backs off, some wait."""
    s = scale
    back = 90 * s + retry_after
    return timeline(
        "Running",
        back + 95 * s,
        None,
        [
            lane("extract_flights", "Complete", [], attempt(1, "Complete", 0, 0.4 * s, 62 * s)),
            lane("extract_weather", "Complete", [], attempt(1, "Complete", 0, 12 * s, 40 * s)),
            lane(
                "load_flights",
                "Complete",
                ["extract_flights"],
                attempt(1, "Failed", 62 * s, 66 * s, 90 * s),
                attempt(2, "Complete", back, back + 2 * s, back + 45 * s),
            ),
            lane(
                "load_weather",
                "Complete",
                ["extract_weather"],
                attempt(1, "Complete", 40 * s, 41 * s, 55 * s),
            ),
            lane(
                "check_quality",
                "Waiting",
                ["load_weather"],
                attempt(1, "Failed", 55 * s, 56 * s, 80 * s),
                attempt(2, "Failed", back, back + 1 * s, back + 60 * s),
                attempt(3, "Waiting", back + 130 * s, None, None),
            ),
            lane(
                "join",
                "Running",
                ["load_flights", "load_weather"],
                attempt(1, "Running", back + 45 * s, back + 50 * s, None, progress=[40, 100]),
            ),
            lane("report_by_carrier_and_airport", None, ["join"]),
            lane("archive_files", "Skipped", []),
            lane("notify", None, ["report_by_carrier_and_airport", "check_quality"]),
        ],
    )


def short() -> Json:
    """Two seconds in all, everything complete."""
    return timeline(
        "Complete",
        10,
        2.0,
        [
            lane("extract_data", "Complete", [], attempt(1, "Complete", 0, 0.004, 0.512345)),
            lane(
                "transform_data",
                "Complete",
                ["extract_data"],
                attempt(1, "Complete", 0.512345, 0.514, 1.7),
            ),
            lane(
                "load_data", "Complete", ["transform_data"], attempt(1, "Complete", 1.7, 1.701, 2.0)
            ),
        ],
    )


def long() -> Json:
    """Three days with hardly a rest."""
    hour = 3600.0
    return timeline(
        "Stuck",
        80 * hour,
        72 * hour,
        [
            lane("crawl", "Complete", [], attempt(1, "Complete", 0, 2, 40 * hour)),
            lane(
                "index",
                "Complete",
                ["crawl"],
                attempt(1, "Complete", 40 * hour, 40 * hour + 5, 70 * hour),
            ),
            lane(
                "publish",
                "Stuck",
                ["index"],
                attempt(1, "Failed", 70 * hour, 70 * hour + 1, 70 * hour + 3),
                attempt(2, "Failed", 70.5 * hour, 70.5 * hour + 1, 71 * hour),
                attempt(3, "Failed", 71.5 * hour, 71.5 * hour + 1, 72 * hour),
                attempt(3, "Stuck", 71.5 * hour, None, None),
            ),
        ],
    )


def rerun_days_later() -> Json:
    """A short run, and its re-run three days later: most of the time nothing happened."""
    day = 86400.0
    first = short()["jobs"]
    first[1]["attempts"][0].update(state="Failed", error="ValueError: no rows")
    first[2]["attempts"] = []
    again = [
        attempt(2, "Complete", 3 * day, 3 * day + 0.1, 3 * day + 1.2, round=2),
        attempt(1, "Complete", 3 * day + 1.2, 3 * day + 1.21, 3 * day + 1.9, round=2),
    ]
    first[1]["attempts"].append(again[0])
    first[2]["attempts"].append(again[1])
    return timeline("Complete", 4 * day, 3 * day + 1.9, first)


def mapped() -> Json:
    """One job with items that run side by side."""
    items = [
        attempt(1, "Complete", 1, 1 + 0.2 * item, 4 + (item * 7 % 5), item=item + 1)
        for item in range(8)
    ]
    return timeline(
        "Complete",
        20,
        10,
        [
            lane("list_files", "Complete", [], attempt(1, "Complete", 0, 0.1, 1)),
            lane("load_file", "Complete", ["list_files"], *items),
            lane("sum_up", "Complete", ["load_file"], attempt(1, "Complete", 8.1, 8.2, 10)),
        ],
    )


def hostile() -> Json:
    """Every text that the database can hold stands where a name or an error stands."""
    jobs = [
        lane(
            text,
            "Failed",
            [HOSTILE[index - 1]] if index else [],
            attempt(1, "Failed", index, index + 0.1, index + 0.9, error=text, worker=text),
        )
        for index, text in enumerate(HOSTILE)
    ]
    return timeline("Stuck", 30, 20, jobs)


def large(jobs: int = 2000) -> Json:
    """Layers of fifty jobs; one in thirty fails once."""
    chance = random.Random(1)
    lanes: list[Json] = []
    ends: list[float] = []
    for index in range(jobs):
        before = [index - 50 - chance.randrange(3) for _ in range(2)] if index >= 60 else []
        ready = max((ends[each] for each in before), default=0.0)
        took = chance.expovariate(1 / 20) + 0.2
        names = sorted({f"step_{each:04}" for each in before})
        if chance.random() < 1 / 30:
            tries = [
                attempt(1, "Failed", ready, ready + 1, ready + 1 + took),
                attempt(2, "Complete", ready + took + 20, ready + took + 21, ready + 2 * took + 21),
            ]
        else:
            tries = [attempt(1, "Complete", ready, ready + 1, ready + 1 + took)]
        end = ready + 1 + took if len(tries) == 1 else ready + 2 * took + 21
        ends.append(end)
        lanes.append(lane(f"step_{index:04}", "Complete", names, *tries))
    return timeline("Complete", max(ends) + 60, max(ends), lanes)


TIMELINES = {
    "empty": lambda: timeline("Running", 1, None, []),
    "nightly": nightly,
    "quick": lambda: nightly(scale=0.01, retry_after=0.5),
    "short": short,
    "long": long,
    "days": rerun_days_later,
    "later": lambda: nightly(retry_after=3 * 86400),
    "mapped": mapped,
    "hostile": hostile,
    "large": large,
}


def graph(jobs: list[Json], run: str | None = "Running", now: float = 300) -> Json:
    whole = timeline(run or "Running", now, None, [])
    return {"now": whole["now"], "run": whole["run"] if run else None, "jobs": jobs}


def box(job: str, state: str | None, depends_on: list[str], **more: Any) -> Json:
    return {
        "job": job,
        "state": state,
        "depends_on": depends_on,
        "group": None,
        "seconds": 12.4 if state in ("Complete", "Failed", "Stuck") else None,
        "started_at": after(254.5) if state == "Running" else None,
        "attempts": 0 if state in (None, "Skipped") else 1,
        "progress": None,
        **more,
    }


def graph_of(lanes: Json) -> Json:
    """The graph of a timeline's run."""
    jobs = [box(each["job"], each["state"], each["depends_on"]) for each in lanes["jobs"]]
    for each, job in zip(lanes["jobs"], jobs, strict=True):
        job["attempts"] = len(each["attempts"])
        if job["state"] == "Running":
            job["progress"] = [40, 100]
    return graph(jobs)


def defined() -> Json:
    """A definition that has never run."""
    jobs = [box(each["job"], None, each["depends_on"]) for each in nightly()["jobs"]]
    return graph(jobs, run=None)


def uneven() -> Json:
    """Boxes of one layer that are far from equally long, each with an edge to the next layer."""
    names = ["delays_by_time", "delays_by_place", "delays_by_carrier", "delays_by_weather", "a"]
    jobs = [box("load", None, []), *(box(name, None, ["load"]) for name in names)]
    return graph([*jobs, box("report", None, names)], run=None)


def crossing() -> Json:
    """Edges over several layers, which have to find their way around boxes."""
    jobs = [box("start", "Complete", [])]
    for index in range(1, 8):
        jobs.append(box(f"step_{index}", "Complete" if index < 5 else None, [jobs[-1]["job"]]))
        jobs.append(box(f"side_{index}", "Stuck" if index == 5 else "Complete", [jobs[-1]["job"]]))
    jobs.append(box("finish", None, ["start", "side_1", "side_3", "step_4", "side_7"]))
    jobs.append(box("report", None, ["step_2", "finish"]))
    return graph(jobs)


def large_graph(jobs: int = 2000, *, failed: bool = True) -> Json:
    lanes = large(jobs)
    found = graph_of(lanes)
    for index, job in enumerate(found["jobs"]):
        if index > jobs * 0.7:
            job["state"] = None
        elif index > jobs * 0.66:
            job["state"] = "Running"
            job["started_at"] = after(250)
    if failed:
        found["jobs"][jobs // 2]["state"] = "Stuck"
        found["jobs"][jobs // 2 + 7]["state"] = "Failed"
    return found


GRAPHS = {
    "empty": lambda: graph([]),
    "nightly": lambda: graph_of(nightly()),
    "defined": defined,
    "crossing": crossing,
    "uneven": uneven,
    "hostile": lambda: graph_of(hostile()),
    "forty": lambda: large_graph(140),
    "large": large_graph,
}


SPOKEN = [
    ("INFO", "reading \x1b[36ms3://bucket/flights/2013-01.csv\x1b[0m"),
    ("INFO", "loaded \x1b[1m27004\x1b[0m rows in 1.24 s"),
    ("DEBUG", "batch of 1000, 17 columns, sha256 4f1c9a77e2d0"),
    ("INFO", "\x1b[32mOK\x1b[0m nothing to repair"),
    ("WARNING", "14 rows have no tail number; \x1b[33mthey are kept\x1b[0m"),
    ("INFO", "progress 12,000 of 336,776"),
]
TRACEBACK = (
    "it failed\nTraceback (most recent call last):\n"
    '  File "/srv/project/jobs/load.py", line 41, in run\n'
    "    connection.execute(statement)\n"
    '\x1b[31mpsycopg.errors.UndefinedTable: relation "flights" does not exist\x1b[0m'
)
JOBS = ["extract_flights", "extract_weather", "load_flights", "join"]
Line = list[Any]


def line(number: int, lines: int) -> Line:
    """The line of a log with that number: always the same, so that a page needs no others."""
    job = JOBS[number * len(JOBS) // lines]
    if number % 997 == 996 or number == lines - 1:
        return [after(number * 0.01), "ERROR", job, 0, 1, 1, TRACEBACK]
    level, text = SPOKEN[number % 6]
    return [after(number * 0.01), level, job, 0, 1, 1, f"{text} #{number}"]


def hostile_line(number: int, lines: int) -> Line:
    texts = [
        *HOSTILE,
        "\x1b[31mred without end",
        "\x1b]0;title\x07bell\x08\x00",
        "\x1b[38;2;300;0;0mtoo red\x1b[0m",
        "tab\tand\ttab",
        "",
    ]
    return [
        after(number),
        "INFO",
        HOSTILE[number % len(HOSTILE)],
        0,
        1,
        1,
        texts[number % len(texts)],
    ]


def one_job_line(number: int, _lines: int) -> Line:
    return [after(number), "INFO", "load", 0, 1, 1, f"reading {number}"]


LOGS: dict[str, tuple[int, Any]] = {
    "one": (5, one_job_line),
    "empty": (0, line),
    "few": (12, line),
    "nightly": (3000, line),
    "hostile": (40, hostile_line),
    "large": (1_000_000, line),
}


def log(case: str, query: dict[str, str]) -> Json:
    """A page of a log, as its address asks for it."""
    lines, say = LOGS[case]
    limit = min(int(query.get("limit", "2000")), 20_000)
    if "after" in query:
        begin = int(query["after"]) + 1
        end = min(lines, begin + limit)
    else:
        end = int(query.get("before", lines))
        begin = max(0, end - limit)
    return {
        "lines": [say(number, lines) for number in range(begin, end)],
        "first": str(begin) if begin < end else None,
        "last": str(end - 1) if begin < end else None,
        "before": begin > 0,
        "after": end < lines,
        "total": lines,
    }


def grid_structure(jobs: int, runs: int) -> Json:
    chance = random.Random(2)
    rows: list[Json] = []
    for number in range(1, runs + 1):
        begin = -3600 * (runs - number)
        state = (
            "Running"
            if number == runs
            else chance.choice(["Complete"] * 12 + ["Stuck", "Cancelled"])
        )
        rows.append(
            {
                "id": 1000 + number,
                "jobinstance": number,
                "state": state,
                "created_at": after(begin),
                "started_at": after(begin + 1),
                "finished_at": None
                if state == "Running"
                else after(begin + 300 + chance.random() * 600),
            }
        )
    names = (
        [each["job"] for each in nightly()["jobs"]]
        if jobs == 9
        else [f"step_{index:04}" for index in range(jobs)]
    )
    return {
        "pipeline": "etl",
        "now": after(240),
        "jobs": [{"job": name, "depth": index % 7} for index, name in enumerate(names)],
        "runs": rows,
        "older": "/pipelines/etl?before=1001" if runs > 20 else None,
    }


def grid_states(jobs: int, runs: int) -> Json:
    chance = random.Random(3)
    cells: dict[str, str] = {}
    for run in grid_structure(jobs, runs)["runs"]:
        if run["state"] == "Complete":
            letters = "".join(chance.choices("ck", [100, 1], k=jobs))
        else:
            stop = int(jobs * (0.3 + 0.5 * chance.random()))
            end = {"Stuck": "s", "Cancelled": "x", "Running": "r"}[run["state"]]
            rest = "wy......" if end == "r" else "........"
            letters = (
                "c" * stop + end + "".join(chance.choice(rest) for _ in range(jobs - stop - 1))
            )
        cells[str(run["id"])] = letters
    return {"now": after(240), "cursor": "1", "cells": cells}


GRIDS: dict[str, tuple[int, int]] = {
    "empty": (9, 0),
    "three": (9, 3),
    "nightly": (9, 40),
    "wide": (60, 200),
    "large": (6000, 10),
}


def grid(case: str, query: dict[str, str]) -> Json:
    jobs, runs = GRIDS[case]
    if "after" in query:
        last = str(1000 + runs)
        return {
            "now": after(250),
            "cursor": "2",
            "changes": [[last, 0, "f"]],
            "runs": [],
            "reset": False,
        }
    return (
        grid_structure(jobs, runs) if query.get("part") == "structure" else grid_states(jobs, runs)
    )


def throughput(buckets: int = 96, rate: float = 40) -> Json:
    chance = random.Random(4)
    complete = [
        int(rate * (0.3 + chance.random()) * (3 if 60 < index < 70 else 1))
        for index in range(buckets)
    ]
    stuck = [chance.choice([0] * 12 + [1, 2]) if rate else 0 for _ in range(buckets)]
    stuck = [each + (9 if index == 64 and rate else 0) for index, each in enumerate(stuck)]
    return {
        "from": after(-86400),
        "to": after(0),
        "bucket_seconds": 86400 // buckets,
        "unit": "runs",
        "series": [
            {"name": "Complete", "state": "Complete", "values": complete},
            {"name": "Stuck", "state": "Stuck", "values": stuck},
            {
                "name": "Cancelled",
                "state": "Cancelled",
                "values": [int(each > 55) for each in complete],
            },
        ],
    }


def durations(runs: int = 200) -> Json:
    chance = random.Random(5)
    points = [
        {
            "at": after(-3600 * (runs - index)),
            "seconds": round(chance.lognormvariate(5, 0.4), 3),
            "state": chance.choice(["Complete"] * 16 + ["Stuck", "Failed", "Cancelled"]),
            "label": f"etl/{index + 1}",
            "href": f"/runs/{index + 1}",
        }
        for index in range(runs)
    ]
    took = sorted(point["seconds"] for point in points)
    at = [took[int(len(took) * share)] if took else None for share in (0.5, 0.95)]
    return {"unit": "seconds", "p50": at[0], "p95": at[1], "points": points}


CHARTS = {
    "empty": lambda: throughput(rate=0),
    "day": throughput,
    "busy": lambda: throughput(rate=40_000),
    "durations": durations,
    "one": lambda: durations(1),
    "large": lambda: durations(5000),
}
