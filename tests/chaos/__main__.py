"""
Run a campaign, and report.

    python -m tests.chaos [--seed N] [--seconds N] [--workers N] [--defaults] [--server 15]

The report goes to build/chaos/seed-N.json too. When something was found wrong, the folder of the
project, with the workers' logs, is kept beside it, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.chaos.campaign import DEFAULT_PAUSE, Plan, Report, campaign
from tests.support.server import Server, find_binaries

KEPT = Path("build/chaos")


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    plan = Plan(
        seed=options.seed,
        seconds=options.seconds,
        workers=options.workers,
        backlog=options.backlog,
        pace=options.pace,
        **({"defaults": True, "pause": DEFAULT_PAUSE} if options.defaults else {}),
    )
    binaries = None if options.server == "embedded" else find_binaries(options.server)
    KEPT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "server", binaries)
        try:
            with campaign(Path(folder) / "project", server, plan) as made:
                report = made.run()
        finally:
            if made.report.violations:
                kept = KEPT / f"seed-{plan.seed}"
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(Path(folder) / "project", kept)
            server.remove()
    text = json.dumps(asdict(report) | {"too few": report.floors()}, indent=2)
    (KEPT / f"seed-{plan.seed}.json").write_text(text)
    print(text)
    _tell(report)
    return 1 if report.violations else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long things break")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument(
        "--backlog", type=int, default=3000, help="about how many runs are in flight"
    )
    parser.add_argument("--pace", type=float, default=1.0, help="so many times as slow")
    parser.add_argument("--defaults", action="store_true", help="the settings as they come")
    parser.add_argument("--server", default="embedded", help="`embedded`, or a major version")
    return parser.parse_args(arguments)


def _tell(report: Report) -> None:
    print(
        f"seed {report.seed}: {sum(report.faults.values())} faults, {sum(report.runs.values())} runs,"
        f" {sum(report.refused_stale_writes.values())} stale writes refused,"
        f" {sum(report.unknown_commits.values())} unknown commits,"
        f" {len(report.violations)} invariants broken"
    )
    for violation in report.violations:
        print(f"  {violation}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
