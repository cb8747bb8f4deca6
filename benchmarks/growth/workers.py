"""
Steps a second with more and more workers on this machine. It has few cores, so more is not
faster: there shall be no collapse.

    python -m benchmarks.growth.workers --counts 1 2 4 8 16 --slots 1
"""

from __future__ import annotations

from benchmarks import rush
from benchmarks.growth import common


def main(words: list[str] | None = None) -> None:
    parser = common.options(__doc__)
    parser.set_defaults(slots=1)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument(
        "--jobs", type=int, default=10_000, help="of one-job runs, in a measurement"
    )
    arguments = parser.parse_args(words)
    rows = []
    with common.server(arguments) as server:
        for count in arguments.counts:
            with common.fresh(server) as there:
                arguments.workers = count
                common.started(there, arguments)
                there.define("one", rush.chain("Noop", 1))
                three = [common.rate(there, arguments.runs) for _ in range(arguments.rounds)]
                one = [there.drain("one", runs=arguments.jobs, jobs=1).rate for _ in three]
                connections = there.one(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name LIKE 'rush worker%'"
                )
                rows.append(
                    [
                        count,
                        *common.median_and_spread(three),
                        *common.median_and_spread(one),
                        connections,
                    ]
                )
    common.show(
        "workers",
        f"Workers on one machine, {arguments.slots} slots each",
        ["workers", "steps/s", "least", "most", "jobs/s", "least ", "most ", "connections"],
        rows,
        curves=["steps/s", "jobs/s"],
    )


if __name__ == "__main__":
    main()
