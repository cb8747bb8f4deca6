"""
One run of a large graph: layers whose jobs each wait for two of the layer before, a job
that waits for very many, and a job that lets very many go on.

    python -m benchmarks.growth.graphs --sizes 100 1000 10000 --fan-in 5000
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks import rush
from benchmarks.growth import common
from benchmarks.rush import Rush, job

WIDTH = 100


def main(words: list[str] | None = None) -> None:
    parser = common.options(__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[100, 1000, 5000], help="jobs of a graph in layers"
    )
    parser.add_argument("--fan-in", type=int, nargs="+", default=[100, 1000, 5000])
    arguments = parser.parse_args(words)
    graphs = {f"layers, {size:,} jobs": layers(size) for size in arguments.sizes}
    graphs |= {f"fan-in over {width:,}": fan_in(width) for width in arguments.fan_in}
    graphs |= {f"fan out to {width:,} and in": rush.fan(width) for width in arguments.fan_in}
    rows = []
    with common.server(arguments) as server, common.fresh(server) as there:
        there.start(arguments.workers, arguments.slots)
        for number, (name, jobs) in enumerate(graphs.items()):
            rows.append([name, *measured(there, f"graph{number}", jobs, arguments.rounds)])
    common.show(
        "graphs",
        "One run of a large graph",
        ["graph", "compiled in s", "run in s", "least", "most", "jobs/s"],
        rows,
    )


def measured(there: Rush, name: str, jobs: list[dict[str, Any]], rounds: int) -> list[float]:
    began = time.monotonic()
    there.define(name, jobs)
    compiled = time.monotonic() - began
    seconds = [there.drain(name, runs=1, jobs=len(jobs)).seconds for _ in range(rounds)]
    median, least, most = common.median_and_spread(seconds)
    return [compiled, median, least, most, len(jobs) / median]


def layers(size: int) -> list[dict[str, Any]]:
    def before(number: int) -> list[str]:
        layer, place = divmod(number, WIDTH)
        if layer == 0:
            return []
        return [f"job{(layer - 1) * WIDTH + at % WIDTH}" for at in (place, place + 1)]

    return [job(f"job{number}", "Noop", depends_on=before(number)) for number in range(size)]


def fan_in(width: int) -> list[dict[str, Any]]:
    roots = [f"root{number}" for number in range(width)]
    return [
        *(job(name, "Noop", depends_on=[]) for name in roots),
        job("last", "Noop", depends_on=roots),
    ]


if __name__ == "__main__":
    main()
