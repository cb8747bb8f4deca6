"""
How long an idle worker takes to pick up a job: from before the request is made until the
first line of the job's body, in milliseconds.

    python benchmarks/pickup.py [--samples 200] [--url postgresql://…]

Without a URL it starts an embedded PostgreSQL of its own, with PostgreSQL's defaults for
durability. Requests are made one at a time, the worker resting in between: by a plain
INSERT, and by `Client.submit`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import harness
import psycopg

from rush import Client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n\n")[0])
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--url", help="a database that is only for this")
    arguments = parser.parse_args()
    with harness.database(arguments.url) as (folder, url), harness.worker(folder, url):
        measure(url, arguments.samples)


def measure(url: str, samples: int) -> None:
    with Client(url) as client, psycopg.connect(url, autocommit=True) as connection:
        harness.define(client, "pickup", 1, "Stamp")
        client.submit("pickup").wait(timeout=30)
        server = connection.info.server_version // 10000
        print(f"PostgreSQL {server}, {os.cpu_count()} cores, {samples} samples each")

        def insert() -> None:
            connection.execute("INSERT INTO rush.run_request (pipeline) VALUES ('pickup')")

        report("by plain INSERT", sample(connection, insert, samples))
        report("by Client.submit", sample(connection, lambda: client.submit("pickup"), samples))


def sample(
    connection: psycopg.Connection, submit: Callable[[], object], samples: int
) -> list[float]:
    """Milliseconds from before each request to its job's first line."""
    found = []
    for _ in range(samples):
        (before,) = connection.execute(
            "SELECT coalesce(max(run_id), 0) FROM rush.result"
        ).fetchone()
        began = time.monotonic()
        submit()
        found.append((stamp_after(connection, before) - began) * 1000)
        time.sleep(0.02)
    return found


def stamp_after(connection: psycopg.Connection, run_id: int) -> float:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        row = connection.execute(
            "SELECT value::text::float FROM rush.result WHERE run_id > %s", [run_id]
        ).fetchone()
        if row is not None:
            return row[0]
        time.sleep(0.005)
    raise SystemExit("a job was not picked up within 30 s")


def report(how: str, found: list[float]) -> None:
    found.sort()
    p50, p99 = statistics.median(found), found[int(len(found) * 0.99) - 1]
    print(f"{how:<18} p50 {p50:6.2f} ms   p99 {p99:6.2f} ms   worst {found[-1]:6.2f} ms")


if __name__ == "__main__":
    main()
