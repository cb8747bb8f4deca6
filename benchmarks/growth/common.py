"""What the growth scripts share: options, Rush on a fresh database, a table and its curve."""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from benchmarks import rush
from benchmarks.children import stamps
from benchmarks.picture import curve
from benchmarks.report import shown
from benchmarks.rush import Rush
from benchmarks.server import FOLDER, Server, running


def options(doc: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--runs", type=int, default=1000, help="of three jobs, in a measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--url", help="a server on which databases may be made (default: one's own)"
    )
    parser.add_argument("--embedded", action="store_true", help="the embedded PostgreSQL")
    return parser


@contextlib.contextmanager
def server(arguments: argparse.Namespace) -> Iterator[Server]:
    with running(arguments.url, embedded=arguments.embedded) as found:
        yield found


@contextlib.contextmanager
def fresh(server: Server) -> Iterator[Rush]:
    """Rush in an empty database, without workers."""
    with server.database() as url, stamps() as found, rush.on(url, found) as there:
        yield there


def started(there: Rush, arguments: argparse.Namespace) -> Rush:
    """The same with its workers up, and a pipeline `three` to be drained."""
    there.start(arguments.workers, arguments.slots)
    there.define("three", rush.chain("Noop", 3, priority=10))
    return there


def rate(there: Rush, runs: int) -> float:
    """Steps a second of so many runs of three jobs. Everything is paused afterwards."""
    drained = there.drain("three", runs=runs, jobs=3)
    there.client.pause(None)
    return drained.rate


def interleaved(places: dict[str, Rush], runs: int, rounds: int) -> dict[str, list[float]]:
    """Rates by place, measured in turns."""
    found: dict[str, list[float]] = {name: [] for name in places}
    for _ in range(rounds):
        for name, there in places.items():
            found[name].append(rate(there, runs))
    return found


def fill_requests(there: Rush, pipeline: str, count: int) -> None:
    """So many runs admitted, none of them begun: everything is paused from here on."""
    there.client.pause(None)
    there.connection.execute(
        "INSERT INTO rush.run_request (pipeline) SELECT %s FROM generate_series(1, %s)",
        [pipeline, count],
    )
    there.wait_until_admitted()


def tidy(there: Rush) -> None:
    """As autovacuum leaves it in time, and with nothing waiting to be written."""
    there.connection.execute("VACUUM ANALYZE")
    there.connection.execute("CHECKPOINT")


def show(
    name: str,
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str | float]],
    *,
    curves: Sequence[str] = (),
) -> None:
    """Print a table and keep it; `curves` names the columns to draw over the first."""
    print(f"\n{title}\n")
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(shown(x) if isinstance(x, float) else str(x) for x in row) + " |")
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        "title": title,
        "header": header,
        "rows": rows,
    }
    (FOLDER / f"growth-{name}.json").write_text(json.dumps(kept, indent=1))
    if curves:
        lines = {column: [float(row[header.index(column)]) for row in rows] for column in curves}
        picture = curve(title, header[0], [str(row[0]) for row in rows], lines)
        (FOLDER / f"growth-{name}.svg").write_text(picture)


def compared(found: dict[str, list[float]]) -> list[list[str | float]]:
    """Medians and spreads by place, and what part of the first place's median each is."""
    first = statistics.median(next(iter(found.values())))
    return [
        [name, *median_and_spread(values), f"{statistics.median(values) / first:.0%}"]
        for name, values in found.items()
    ]


def median_and_spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)
