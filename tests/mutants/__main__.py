"""
Plant bugs, one at a time, each in a copy of `src`, and see that the tests catch them.

    python -m tests.mutants [--beside N] [NAME …]

Without names all of them are tried. First the named tests run once on a copy in which nothing
was changed: all of them must pass there.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.mutants.table import MUTANTS
from tests.mutants.trial import Ending, Mutant, attempt, copy, failures


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    chosen = [each for each in MUTANTS if not options.names or each.name in options.names]
    began = time.monotonic()
    tests = sorted({mutant.test for mutant in chosen})
    print(
        f"{len(chosen)} planted bugs, {len(tests)} tests; first on a copy without any", flush=True
    )
    with copy() as src:
        failed = failures(src, tests)
    if failed:
        print(*(f"{test} fails without a bug: {told}" for test, told in failed.items()), sep="\n")
        return 2
    endings = _try_all(chosen, beside=options.beside)
    counts = Counter(ending.verdict for ending in endings)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    print(f"{told}; {time.monotonic() - began:.0f} s")
    return 0 if counts["caught"] == len(chosen) else 1


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--beside", type=int, default=2, help="how many at once")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - {mutant.name for mutant in MUTANTS}:
        parser.error(f"there is no planted bug named {', '.join(sorted(unknown))}")
    return options


def _try_all(chosen: Sequence[Mutant], *, beside: int) -> list[Ending]:
    width = max(len(mutant.name) for mutant in chosen)
    endings: list[Ending] = []
    with ThreadPoolExecutor(beside) as pool:
        for ending in pool.map(attempt, chosen):
            endings.append(ending)
            print(
                f"{ending.mutant.name:{width}}  {ending.verdict:8}  {ending.seconds:4.1f} s"
                f"  {ending.mutant.test if ending.verdict == 'caught' else ending.told}",
                flush=True,
            )
    return endings


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
