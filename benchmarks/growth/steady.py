"""
Steady load for a long time, at half of what was measured as the peak: does anything drift?

    python -m benchmarks.growth.steady --minutes 60 --slices 12
"""

from __future__ import annotations

import time

from benchmarks.growth import common
from benchmarks.growth.idle import memory, processes
from benchmarks.rush import Rush

#: Seconds between two requests for runs.
EVERY = 0.1


def main(words: list[str] | None = None) -> None:
    parser = common.options(__doc__)
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--slices", type=int, default=5, help="rows of the table")
    parser.add_argument("--rate", type=float, help="steps a second (default: half the peak)")
    arguments = parser.parse_args(words)
    with common.server(arguments) as server, common.fresh(server) as there:
        common.started(there, arguments)
        peak = max(common.rate(there, arguments.runs) for _ in range(arguments.rounds))
        there.client.resume(None)
        rate = arguments.rate or peak / 2
        seconds = arguments.minutes * 60 / arguments.slices
        rows = [
            [round(seconds * (number + 1)), *loaded(there, rate, seconds)]
            for number in range(arguments.slices)
        ]
        there.wait_until_done("three", 0)
    common.show(
        "steady",
        f"Steady load of {rate:,.0f} steps/s for {arguments.minutes:g} min (peak: {peak:,.0f})",
        [
            "after s",
            "steps/s",
            "a run takes ms, p50",
            "p99",
            "live rows",
            "live tables MiB",
            "history MiB",
            "processes MiB",
        ],
        rows,
        curves=["steps/s", "a run takes ms, p50"],
    )


def loaded(there: Rush, rate: float, seconds: float) -> list[float]:
    """Ask for runs at that rate, evenly, for so long. What was done, and what there is."""
    start = there.one("SELECT now()")
    done_before = archived(there)
    began = time.monotonic()
    asked = 0
    while (passed := time.monotonic() - began) < seconds:
        due = int(passed * rate / 3) - asked
        there.connection.execute(
            "INSERT INTO rush.run_request (pipeline) SELECT 'three' FROM generate_series(1, %s)",
            [due],
        )
        asked += due
        time.sleep(EVERY)
    done = (archived(there) - done_before) / (time.monotonic() - began)
    # What has ended, whenever it was asked for: so a backlog is seen.
    (p50, p99) = there.one(
        "SELECT percentile_cont(ARRAY[0.5, 0.99])"
        " WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - created_at) * 1000)"
        " FROM rush.run WHERE finished_at > %s",
        start,
    )
    live = there.one("SELECT count(*) FROM rush.run_state")
    return [done, p50, p99, live, *sizes(there), sum(memory(pid)[1] for pid in processes(there))]


def archived(there: Rush) -> int:
    return there.one("SELECT count(*) FROM rush.archive")


def sizes(there: Rush) -> tuple[float, float]:
    """MiB of the tables of what is live, and of those that keep what was."""
    return there.connection.execute(
        "SELECT sum(size) FILTER (WHERE live), sum(size) FILTER (WHERE NOT live)"
        " FROM (SELECT pg_total_relation_size(oid) / 1048576.0::float8 AS size,"
        "              relname IN ('run_state', 'finished', 'run_job', 'worker') AS live"
        "         FROM pg_class WHERE relnamespace = 'rush'::regnamespace AND relkind = 'r') t"
    ).fetchone()


if __name__ == "__main__":
    main()
