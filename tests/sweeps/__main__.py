"""
Break a life at every one of its points, and report.

    python -m tests.sweeps [--every N | --all] [--wire | --kills] [--beside N] [--server 15]

Without `--all` every thirtieth point is taken. A life that went wrong keeps its folder, with the
worker's log, under build/sweeps.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos.proxy import Network
from tests.support.server import Server, find_binaries
from tests.sweeps.life import Ending, Place, Point, points
from tests.sweeps.nursery import Nursery

KEPT = Path("build/sweeps")


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    binaries = None if options.server == "embedded" else find_binaries(options.server)
    with tempfile.TemporaryDirectory() as folder, Network() as network, Nursery() as nursery:
        server = Server(Path(folder) / "server", binaries)
        try:
            return _sweep(Place(server, network, nursery, Path(folder)), Path(folder), options)
        finally:
            server.remove()


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sweeps")
    parser.add_argument("--all", action="store_true", help="every point")
    parser.add_argument("--every", type=int, default=30, help="every so many points")
    parser.add_argument("--wire", action="store_true", help="only cut wires")
    parser.add_argument("--kills", action="store_true", help="only kill workers")
    parser.add_argument("--beside", type=int, default=6, help="how many lives at once")
    parser.add_argument("--server", default="embedded", help="`embedded`, or a major version")
    return parser.parse_args(arguments)


def _sweep(place: Place, folder: Path, options: argparse.Namespace) -> int:
    began = time.monotonic()
    messages = place.record()
    chosen: list[Point] = []
    for kills in (False, True):
        if not (options.wire or options.kills) or (options.kills if kills else options.wire):
            chosen += points(messages, kills=kills)[:: 1 if options.all else options.every]
    print(f"a quiet life has {len(messages)} messages; {len(chosen)} points are tried")

    def live(number: int) -> Ending:
        name = f"life{number}"
        ending = place.break_at(name, chosen[number])
        if ending.problems:
            shutil.copytree(folder / name, KEPT / name, dirs_exist_ok=True)
            print(f"{name} {chosen[number]}: {'; '.join(ending.problems)}", flush=True)
        shutil.rmtree(folder / name)
        if (number + 1) % 100 == 0:
            print(f"{number + 1} of {len(chosen)}, {time.monotonic() - began:.0f} s", flush=True)
        return ending

    with ThreadPoolExecutor(options.beside) as threads:
        endings = list(threads.map(live, range(len(chosen))))
    return _report(chosen, endings, time.monotonic() - began)


def _report(chosen: Sequence[Point], endings: Sequence[Ending], seconds: float) -> int:
    tried = Counter(point.how for point in chosen)
    met = Counter(p.how for p, e in zip(chosen, endings, strict=True) if e.met)
    wrong = Counter(p.how for p, e in zip(chosen, endings, strict=True) if e.problems)
    print(f"{'what':<14}{'tried':>7}{'met':>7}{'wrong':>7}")
    for how, count in tried.items():
        print(f"{how:<14}{count:>7}{met[how]:>7}{wrong[how]:>7}")
    longest = sorted((e.seconds, str(p)) for p, e in zip(chosen, endings, strict=True))[-3:]
    print(
        f"workers started again, the database being out of reach: {sum(e.restarts for e in endings)}"
    )
    print("longest: " + "; ".join(f"{s:.1f} s {what}" for s, what in reversed(longest)))
    print(f"{seconds:.0f} s in all, a life {sum(e.seconds for e in endings) / len(endings):.1f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
