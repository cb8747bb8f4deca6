"""
Try definitions from a seed.

    python -m tests.fuzz --cases 1000000 --seed 1      what `make fuzz` does
    python -m tests.fuzz --seed 1 --only 4711          one case again, shown
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.fuzz.generate import fuzzed
from tests.fuzz.judge import judge, judge_in_database
from tests.support.kernel import Kernel
from tests.support.server import Server

TOLD_EVERY = 50_000


@dataclass
class Tally:
    cases: Counter[str] = field(default_factory=Counter[str])
    broken: list[str] = field(default_factory=list[str])

    def try_case(self, seed: int, number: int, kernel: Kernel | None) -> None:
        case = fuzzed(seed, number)
        try:
            if kernel is not None:
                judge_in_database(case, kernel)
                self.cases["in the database"] += 1
            self.cases["refused" if judge(case) is None else "accepted"] += 1
        except Exception as error:
            self.broken.append(
                f"case {number} ({case.form}): {type(error).__name__}: {error}"[:500]
            )
        self.cases[case.form] += 1

    def told(self, seconds: float) -> str:
        counts = ", ".join(f"{count:,} {what}" for what, count in sorted(self.cases.items()))
        return f"{counts}; {len(self.broken)} broken; {seconds:.0f} s"


def main() -> int:
    options = _options()
    if options.only is not None:
        return show(options.seed, options.only)
    # What the master refuses is judged here, and need not be told.
    logging.disable(logging.WARNING)
    tally, began = Tally(), time.monotonic()
    with ExitStack() as stack:
        server = Server(Path(stack.enter_context(tempfile.TemporaryDirectory())), None)
        stack.callback(server.remove)
        url = stack.enter_context(server.database())
        connection = stack.enter_context(psycopg.connect(url, autocommit=True))
        kernel = Kernel(connection)
        for number in range(options.first, options.first + options.cases):
            tally.try_case(options.seed, number, kernel if number % options.sample == 0 else None)
            if (number + 1) % TOLD_EVERY == 0:
                print(tally.told(time.monotonic() - began), flush=True)
    print(f"seed {options.seed}: {tally.told(time.monotonic() - began)}")
    for line in tally.broken[:20]:
        print(line)
    return 1 if tally.broken else 0


def show(seed: int, number: int) -> int:
    case = fuzzed(seed, number)
    print(case.form, case.value if case.form != "python" else repr(case.value), sep="\n")
    print("accepted" if judge(case) else "refused")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--sample", type=int, default=500, help="one in so many meets a database")
    parser.add_argument("--only", type=int, help="the number of one case, to be shown")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
