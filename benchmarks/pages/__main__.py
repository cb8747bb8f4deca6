"""
How soon the dashboard and the API answer beside a long history.

    python -m benchmarks.pages                              # small: to try whether it works
    python -m benchmarks.pages --rows 10000000 --ready 1000000

fills a database with so many rows in `archive`, and so many jobs that are Ready; then starts
`rush ui` and measures each call of the API, and each page in a headless Chromium. With
`--database URL` that database is filled where it is empty, and kept: the steps `fill`, `calls`
and `paint` may then be taken one at a time. Goals are those of a machine of two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import psycopg

from benchmarks.children import environment, stop
from benchmarks.pages import history
from benchmarks.pages.calls import GOAL, calls, measure
from benchmarks.pages.paint import Seen, View, all_views
from benchmarks.server import running
from rush.store.migrate import migrate

STEPS = ("fill", "calls", "paint")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", nargs="*", choices=[[], *STEPS])
    parser.add_argument("--rows", type=int, default=200_000, help="in the archive")
    parser.add_argument("--ready", type=int, default=20_000, help="jobs that are Ready")
    parser.add_argument("--times", type=int, default=200, help="each call is made")
    parser.add_argument("--only", default="", help="calls and pages with this in their names")
    parser.add_argument("--database", help="URL of a database that is kept")
    arguments = parser.parse_args()
    with _database(arguments.database) as url, psycopg.connect(url, autocommit=True) as connection:
        for step in arguments.steps or STEPS:
            if step == "fill":
                fill(url, connection, arguments)
                continue
            with dashboard(url) as (address, pid):
                if step == "calls":
                    show_calls(address, pid, connection, arguments)
                else:
                    show_pages(address, connection, arguments)


@contextlib.contextmanager
def _database(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    with running(None) as server, server.database() as fresh:
        yield fresh


@contextlib.contextmanager
def dashboard(url: str) -> Iterator[tuple[str, int]]:
    """The address of a `rush ui` over the database, and its process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "rush.cli", "ui", "--port", str(port)],
        env=environment(RUSH_DATABASE_URL=url),
        stdout=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/readyz")
                break
            time.sleep(0.05)
        yield address, process.pid
    finally:
        process.terminate()
        stop(process)


def fill(url: str, connection: psycopg.Connection[Any], arguments: argparse.Namespace) -> None:
    migrate(url)
    for made in history.fill(connection, rows=arguments.rows, ready=arguments.ready):
        print(f"filled: {made}", file=sys.stderr)


def show_calls(
    address: str, pid: int, connection: psycopg.Connection[Any], arguments: argparse.Namespace
) -> None:
    _tell_sizes(connection)
    _row(
        "call", "p50 ms", "p99 ms", "longest", "bytes", "processor: dashboard ms", "database ms",
        f"goal: p99 <= {GOAL} ms",
    )  # fmt: skip
    _row(*["---"] * 8)
    for call in calls(connection):
        if arguments.only not in call.name:
            continue
        times = arguments.times if call.is_list else 20
        found = measure(address, call, times, pid, connection)
        verdict = ("met" if found.p99 <= GOAL else "MISSED") if call.is_list else ""
        figures = [f"{each:.1f}" for each in (found.p50, found.p99, found.longest)]
        processor = (f"{each:.1f}" for each in (found.dashboard, found.database))
        _row(call.name, *figures, f"{found.size:,}", *processor, verdict)


def show_pages(
    address: str, connection: psycopg.Connection[Any], arguments: argparse.Namespace
) -> None:
    _row(
        "page", "first paint, cold", "warm ms", "drawn, cold", "warm ms", "answered, warm ms",
        "sent, cold kB", "warm kB", "requests, warm", "frames: median / p95 / longest ms", "goal",
    )  # fmt: skip
    _row(*["---"] * 11)
    for view, cold, warm in all_views(address, connection, arguments.only):
        _row(
            view.name,
            f"{cold.painted:.0f}",
            f"{warm.painted:.0f}",
            *("" if each.drawn is None else f"{each.drawn:.0f}" for each in (cold, warm)),
            f"{warm.answered:.0f}",
            f"{cold.sent / 1000:.0f}",
            f"{warm.sent / 1000:.0f}",
            str(warm.asked),
            " / ".join(f"{each:.0f}" for each in warm.frames or ()),
            _verdict(view, cold, warm),
        )


def _verdict(view: View, cold: Seen, warm: Seen) -> str:
    """The goal for a part that draws itself is that it is drawn, save for home's chart."""
    if view.goal is None:
        return ""
    times = [each.drawn if view.how else each.painted for each in (cold, warm)]
    met = all(time is not None and time <= view.goal for time in times)
    return f"{view.goal} ms: {'met' if met else 'MISSED'}"


def _tell_sizes(connection: psycopg.Connection[Any]) -> None:
    for table in ("archive", "run", "run_state", "pipeline"):
        (rows,) = connection.execute(f"SELECT count(*) FROM rush.{table}".encode()).fetchone()  # type: ignore
        print(f"{table}: {rows:,} rows", file=sys.stderr)
    (size,) = connection.execute(
        "SELECT pg_size_pretty(sum(pg_total_relation_size(inhrelid)))"
        " FROM pg_inherits WHERE inhparent = 'rush.archive'::regclass"
    ).fetchone() or ("",)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"archive takes {size}; the machine's load: {load}", file=sys.stderr)


def _row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
