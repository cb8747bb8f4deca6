"""
Plant bugs, one at a time, each in a copy of `src`, and see that the tests catch them.

    python -m tests.mutants [--beside N] [NAME …]

Without names all of them are tried, on one server. First the tests that must fail run once on a
copy in which nothing was changed: all of them must pass there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.table import MUTANTS
from tests.mutants.trial import Ending, Mutant, attempt, copy, failures
from tests.support.server import Server


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    chosen = [each for each in MUTANTS if not options.names or each.name in options.names]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), None)
        try:
            return _try_all(chosen, server.url, beside=options.beside)
        finally:
            server.remove()


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--beside", type=int, default=2, help="how many at once")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - {mutant.name for mutant in MUTANTS}:
        parser.error(f"there is no planted bug named {', '.join(sorted(unknown))}")
    return options


def _try_all(chosen: Sequence[Mutant], server: str, *, beside: int) -> int:
    began = time.monotonic()
    tests = sorted({mutant.test for mutant in chosen})
    print(f"{len(chosen)} planted bugs, {len(tests)} tests; first without any bug", flush=True)
    with copy() as src:
        failed = failures(src, tests, server)
    if failed:
        print(*(f"{test} fails without a bug: {told}" for test, told in failed.items()), sep="\n")
        return 2
    width = max(len(mutant.name) for mutant in chosen)
    counts: Counter[str] = Counter()
    with ThreadPoolExecutor(beside) as threads:
        for ending in threads.map(lambda mutant: attempt(mutant, server), chosen):
            counts[ending.verdict] += 1
            print(_line(ending, width), flush=True)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    print(f"{told}; {time.monotonic() - began:.0f} s")
    return 0 if counts["caught"] == len(chosen) else 1


def _line(ending: Ending, width: int) -> str:
    said = ending.mutant.test if ending.verdict == "caught" else ending.told
    return f"{ending.mutant.name:{width}}  {ending.verdict:8}  {ending.seconds:4.1f} s  {said}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
