"""
How much a worker does: jobs a second, and how long a chain takes.

    python benchmarks/throughput.py [--rounds 3] [--url postgresql://…]

    W1  10,000 runs of one job that does nothing but log a line, asked for at once
    W3  one run of 40 jobs in a row, each fibo(10); one of 10, each fibo(33)
    W4  1,000 runs of three jobs in a row, asked for at once

One worker with two slots, up and idle when the clock starts; real child processes, logs
and archive on, and PostgreSQL's defaults for durability. W1 and W4 end when nothing is
unfinished in the tables; all attempts are counted afterwards.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import harness
import psycopg

from rush import Client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--url", help="a database that is only for this")
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {}
    with (
        harness.database(arguments.url) as (folder, url),
        harness.worker(folder, url),
        Client(url) as client,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        harness.define(client, "one", 1, "Noop")
        harness.define(client, "three", 3, "Noop")
        harness.define(client, "fibo10", 40, "Fibo", n=10)
        harness.define(client, "fibo33", 10, "Fibo", n=33)
        client.submit("one").wait(timeout=30)
        for _ in range(arguments.rounds):
            seconds = drain(connection, "one", runs=10_000, jobs=1)
            found.setdefault("W1 drain, jobs/s", []).append(10_000 / seconds)
            seconds = drain(connection, "three", runs=1_000, jobs=3)
            found.setdefault("W4 1,000 x 3, steps/s", []).append(3_000 / seconds)
            for name, jobs in (("fibo10", 40), ("fibo33", 10)):
                seconds = chain(client, name)
                found.setdefault(f"W3 {jobs} x {name}, s", []).append(seconds)
        server = connection.info.server_version // 10000
    print(f"PostgreSQL {server}, {os.cpu_count()} cores, median of {arguments.rounds}")
    for name, values in found.items():
        spread = f"{min(values):.3f} to {max(values):.3f}"
        print(f"{name:<24} {statistics.median(values):10.3f}   ({spread})")


def drain(connection: psycopg.Connection, pipeline: str, *, runs: int, jobs: int) -> float:
    """Ask for so many runs at once. Seconds until all of them are over."""
    (before,) = connection.execute("SELECT max(id) FROM rush.run").fetchone()
    began = time.monotonic()
    connection.execute(
        "INSERT INTO rush.run_request (pipeline) SELECT %s FROM generate_series(1, %s)",
        [pipeline, runs],
    )
    unfinished = (
        "SELECT EXISTS (SELECT FROM rush.run_request WHERE status = 'Pending')"
        " OR EXISTS (SELECT FROM rush.run_state) OR EXISTS (SELECT FROM rush.finished)"
    )
    while connection.execute(unfinished).fetchone() == (True,):
        if time.monotonic() - began > 120:
            raise SystemExit("not done within 120 s")
        time.sleep(0.01)
    seconds = time.monotonic() - began
    counted = connection.execute(
        "SELECT count(*) FROM rush.archive WHERE run_id > %s AND state = 'Complete'", [before]
    ).fetchone()
    if counted != (runs * jobs,):
        raise SystemExit(f"{counted[0]} attempts are in the archive, not {runs * jobs}")
    return seconds


def chain(client: Client, pipeline: str) -> float:
    """Seconds from the submit call to the end of the last job."""
    began = time.monotonic()
    client.submit(pipeline).wait(timeout=120)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
