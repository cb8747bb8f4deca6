"""
Steps a second beside many Ready jobs that are not the next: in a queue that nobody serves,
and in the same queue with a lower priority, against none. (Those of a lower priority are
run whenever nothing else is Ready: what they take is part of the loss.)

    python -m benchmarks.growth.backlog --jobs 1000000
"""

from __future__ import annotations

from benchmarks import rush
from benchmarks.growth import common


def main(words: list[str] | None = None) -> None:
    parser = common.options(__doc__)
    parser.add_argument("--jobs", type=int, default=30_000, help="that are Ready")
    arguments = parser.parse_args(words)
    with (
        common.server(arguments) as server,
        common.fresh(server) as empty,
        common.fresh(server) as unserved,
        common.fresh(server) as behind,
    ):
        for there in (empty, unserved, behind):
            common.started(there, arguments)
        unserved.define("many", [rush.job("job0", "Noop", queue="elsewhere")])
        behind.define("many", [rush.job("job0", "Noop", priority=-10)])
        for there in (unserved, behind):
            common.fill_requests(there, "many", arguments.jobs)
            common.tidy(there)
        places = {"none": empty, "in an unserved queue": unserved, "of a lower priority": behind}
        found = common.interleaved(places, arguments.runs, arguments.rounds)
        left = behind.one("SELECT count(*) FROM rush.run_state WHERE pipeline = 'many'")
    common.show(
        "backlog",
        f"Steps/s beside {arguments.jobs:,} Ready jobs"
        f" (of those of a lower priority, {arguments.jobs - left:,} were run meanwhile)",
        ["Ready beside", "steps/s", "least", "most", "of none"],
        common.compared(found),
    )


if __name__ == "__main__":
    main()
