"""
How long it takes until others have what a worker had, with the settings as they come.

    python -m tests.recovery [TRIAL …] [--samples N] [--server 15]

Without a name all is tried: about half an hour. The values go to build/recovery too.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tests.recovery.stage import stage
from tests.recovery.trials import TRIALS
from tests.support.server import Server, find_binaries

KEPT = Path("build/recovery")


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    names = options.trials or list(TRIALS)
    binaries = None if options.server == "embedded" else find_binaries(options.server)
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "server", binaries)
        try:
            with stage(server, Path(folder)) as made:
                for name in names:
                    trial, times = TRIALS[name]
                    values: defaultdict[str, list[float]] = defaultdict(list)
                    for _ in range(min(times, options.samples or times)):
                        for what, value in trial(made).items():
                            values[what].append(value)
                    found[name] = dict(values)
                    _tell(name, values)
        finally:
            server.remove()
            KEPT.mkdir(parents=True, exist_ok=True)
            kept = KEPT / f"{'-'.join(names).replace(' ', '-')[:60]}.json"
            kept.write_text(json.dumps(found, indent=2))
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.recovery")
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help=", ".join(TRIALS))
    parser.add_argument("--samples", type=int, help="no more of each than so many")
    parser.add_argument("--server", default="embedded", help="`embedded`, or a major version")
    options = parser.parse_args(arguments)
    if unknown := set(options.trials) - set(TRIALS):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(TRIALS)}")
    return options


def _tell(name: str, values: dict[str, list[float]]) -> None:
    for what, each in values.items():
        ordered = sorted(each)
        nine = ordered[math.ceil(0.9 * len(ordered)) - 1]
        print(
            f"{name:<16} {what:<14} {len(ordered):>4} times   median {statistics.median(ordered):8.2f}"
            f"   nine of ten {nine:8.2f}   worst {ordered[-1]:8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
