"""
Somebody leaves a transaction open while Rush is under load: what no vacuum may remove piles
up. Steps a second, dead rows and sizes, before, during and after.

    python -m benchmarks.growth.held --seconds 600
"""

from __future__ import annotations

import time

import psycopg

from benchmarks.growth import common
from benchmarks.rush import Rush

TABLES = ("run_state", "run_request", "run", "worker", "finished", "run_job")


def main(words: list[str] | None = None) -> None:
    parser = common.options(__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="for which it is open")
    parser.add_argument("--slices", type=int, default=5, help="rows of the table for that time")
    arguments = parser.parse_args(words)
    step = arguments.seconds / arguments.slices
    with common.server(arguments) as server, common.fresh(server) as there:
        common.started(there, arguments)
        rows = [["before", *measured(there, arguments.runs, step)]]
        with psycopg.connect(there.url) as holder:
            holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            holder.execute("SELECT pg_current_xact_id()")
            for number in range(arguments.slices):
                rows.append(
                    [f"{step * (number + 1):.0f} s", *measured(there, arguments.runs, step)]
                )
        there.connection.execute("VACUUM")
        rows.append(["after", *measured(there, arguments.runs, step)])
        there.connection.execute("VACUUM FULL rush.run_state, rush.run_job, rush.finished")
        rows.append(["after VACUUM FULL", *measured(there, arguments.runs, step)])
    common.show(
        "held",
        f"Under load, with a transaction open for {arguments.seconds:g} s",
        [
            "open for",
            "steps/s",
            "of before",
            *(f"dead in {table}" for table in TABLES),
            "run_state MiB",
        ],
        [[row[0], row[1], f"{row[1] / rows[0][1]:.0%}", *row[2:]] for row in rows],
        curves=["steps/s"],
    )


def measured(there: Rush, runs: int, seconds: float) -> list[float]:
    """The rate while draining again and again for so long, and what is dead at its end."""
    steps = took = 0.0
    until = time.monotonic() + seconds
    while time.monotonic() < until or not steps:
        drained = there.drain("three", runs=runs, jobs=3)
        steps, took = steps + drained.steps, took + drained.seconds
    # Told by the sessions with a delay of up to ten seconds.
    dead = dict(
        there.connection.execute(
            "SELECT relname, n_dead_tup FROM pg_stat_user_tables"
            " WHERE schemaname = 'rush' AND relname = ANY (%s)",
            [list(TABLES)],
        ).fetchall()
    )
    size = there.one("SELECT pg_total_relation_size('rush.run_state')") / 1024 / 1024
    return [steps / took, *(dead[table] for table in TABLES), size]


if __name__ == "__main__":
    main()
