"""
All growth scripts, at sizes of some minutes; each alone takes larger ones.

    python -m benchmarks.growth [archive backlog …] [--small]
"""

from __future__ import annotations

import argparse

from benchmarks.growth import archive, backlog, graphs, held, idle, steady, workers

#: What each is given: (as it stands, small enough to only try it).
SIZES = {
    archive: ("--rows 1000000", "--rows 3000 --runs 50 --rounds 1"),
    backlog: ("--jobs 100000", "--jobs 500 --runs 50 --rounds 1"),
    workers: ("", "--counts 1 2 --runs 50 --jobs 200 --rounds 1"),
    graphs: ("--sizes 100 1000 10000", "--sizes 150 --fan-in 50 --rounds 1"),
    idle: ("", "--registered 0 20 --seconds 3 --runs 50"),
    held: ("--seconds 60", "--seconds 4 --slices 2 --runs 50"),
    steady: ("--minutes 1", "--minutes 0.1 --slices 2 --rate 150 --runs 50 --rounds 1"),
}
SCRIPTS = {script.__name__.rpartition(".")[2]: script for script in SIZES}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scripts", nargs="*", choices=[[], *SCRIPTS], help=", ".join(SCRIPTS))
    parser.add_argument("--small", action="store_true", help="only to try whether they work")
    arguments = parser.parse_args()
    for name in arguments.scripts or SCRIPTS:
        SCRIPTS[name].main(SIZES[SCRIPTS[name]][arguments.small].split())


if __name__ == "__main__":
    main()
