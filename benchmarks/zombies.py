"""
Workers that are frozen until others have their jobs and then resume, and workers that are killed:
Rush beside procrastinate and PgQueuer, each set up as its documentation advises.

    python -m benchmarks.zombies [PRODUCT …] [--samples 20]

The zombie: every victim runs one job. All are frozen, until every job has begun once more with an
heir. Then the victims resume and finish, while the heirs still run. A report has *landed* when the
product's own table says then that the job is over. The killed: the victims die one by one, some
seconds apart; measured is the time until the job begins with an heir.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import environments
from benchmarks.children import environment, stop
from benchmarks.rush import INSIDE
from benchmarks.server import FOLDER, running
from rush.store.migrate import migrate

#: How long anything may take, in seconds: more than two rounds of the slowest rescue.
PATIENCE = 400.0
#: Between two kills, in seconds, at least and at most.
GAP = (3.0, 7.0)
#: How long a report may take to arrive, in seconds.
ARRIVAL = 10.0

MARKS = """
    CREATE TABLE mark (number int, name text, what text, at timestamptz DEFAULT clock_timestamp())
"""


@dataclass(frozen=True, slots=True)
class Product:
    name: str
    #: Whose environment; None: this one.
    script: str | None
    #: How many jobs are over, by the product's own table.
    over: str


PRODUCTS = [
    Product(
        "Rush", None,
        "SELECT count(*) FROM rush.archive WHERE state = 'Complete'",
    ),
    Product(
        "procrastinate", "procrastinate",
        "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'hold'"
        " AND status NOT IN ('todo', 'doing')",
    ),
    Product(
        "PgQueuer", "pgqueuer",
        "SELECT count(DISTINCT job_id) FROM pgqueuer_log"
        " WHERE status NOT IN ('queued', 'picked')",
    ),
]  # fmt: skip


class Trial:
    """A product on a database of its own, with victims that hold a job each and heirs that wait."""

    def __init__(self, product: Product, url: str, folder: Path, samples: int) -> None:
        self._product = product
        self._url = url
        self._folder = folder
        self._samples = samples
        self._workers: dict[str, list[subprocess.Popen[bytes]]] = {"victim": [], "heir": []}
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(MARKS)

    def begin(self) -> None:
        self._prepare()
        self._ask()
        self._start("victim", self._samples, 1)
        self._wait(lambda: self._marks("victim", "begun") >= self._samples, "the victims to begin")
        self._start("heir", 2, self._samples)
        # Until they are up and known, whatever that takes them.
        time.sleep(15)

    def zombies(self) -> dict[str, Any]:
        for victim in self._workers["victim"]:
            self._signal(victim, signal.SIGSTOP)
        began = self._now()
        self._wait(lambda: self._marks("heir", "begun") >= self._samples, "the heirs to begin")
        rescued = self._since(began)
        (self._folder / "victim").touch()
        for victim in self._workers["victim"]:
            self._signal(victim, signal.SIGCONT)
        time.sleep(ARRIVAL)
        found = {
            "frozen": self._samples,
            "begun again after": rescued,
            "late reports landed": self._one(self._product.over),
            "heirs still at it": self._samples - self._marks("heir", "over"),
        }
        (self._folder / "heir").touch()
        self._wait(lambda: self._marks("heir", "over") >= self._samples, "the heirs to be over")
        return found

    def killed(self) -> dict[str, Any]:
        chance = random.Random("killed")
        died: dict[str, Any] = {}
        for number, victim in enumerate(self._workers["victim"]):
            time.sleep(chance.uniform(*GAP))
            died[f"victim{number}"] = self._now()
            self._signal(victim, signal.SIGKILL)
        self._wait(lambda: self._marks("heir", "begun") >= self._samples, "the heirs to begin")
        begun = self._connection.execute(
            "SELECT v.name, min(h.at) FROM mark v JOIN mark h USING (number)"
            " WHERE v.name LIKE 'victim%' AND h.name LIKE 'heir%' GROUP BY v.name, number"
        ).fetchall()
        (self._folder / "heir").touch()
        return {
            "killed": self._samples,
            "begun again after": sorted((at - died[name]).total_seconds() for name, at in begun),
        }

    def close(self) -> None:
        for workers in self._workers.values():
            for worker in workers:
                self._signal(worker, signal.SIGCONT)
                self._signal(worker, signal.SIGKILL)
                stop(worker)
        self._connection.close()

    # How ------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        if self._product.script is not None:
            self._run("install", 0)
            return
        for name in ("zombies.py", "zombies_on_rush.py"):
            shutil.copy(INSIDE / name, self._folder)
        (self._folder / "rush.toml").write_text("")
        migrate(self._url)
        definition = {"jobs": [{"name": "hold", "class_name": "zombies_on_rush.Hold",
                                "retry_limit": 3, "retry_gap_minutes": 0}]}  # fmt: skip
        self._connection.execute(
            "INSERT INTO rush.pipeline (name, definition) VALUES ('hold', %s)",
            [json.dumps(definition)],
        )

    def _ask(self) -> None:
        if self._product.script is not None:
            self._run("ask", self._samples)
            return
        self._connection.execute(
            "INSERT INTO rush.run_request (pipeline, params)"
            " SELECT 'hold', jsonb_build_object('number', n) FROM generate_series(1, %s) n",
            [self._samples],
        )

    def _run(self, verb: str, count: int) -> None:
        subprocess.run(self._command(verb, "", count), check=True, env=environment())

    def _start(self, role: str, workers: int, jobs: int) -> None:
        for number in range(workers):
            with (self._folder / "out").open("ab") as out:
                self._workers[role].append(
                    subprocess.Popen(
                        self._command("work", f"{role}{number}", jobs),
                        cwd=self._folder,
                        env=environment(
                            ZOMBIE_NAME=f"{role}{number}", ZOMBIE_FOLDER=str(self._folder),
                            RUSH_DATABASE_URL=self._url,
                        ),
                        stdout=out,
                        stderr=out,
                        start_new_session=True,
                    )
                )  # fmt: skip

    def _command(self, verb: str, name: str, jobs: int) -> list[str]:
        if self._product.script is None:
            return [sys.executable, "-m", "rush.cli", "worker", name, "--slots", str(jobs)]
        python = environments.python_of(self._product.script)
        script = INSIDE / f"zombies_on_{self._product.script}.py"
        return [str(python), str(script), verb, self._url, str(jobs)]

    def _signal(self, worker: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """To the worker and, for one that has processes of its own, to these: a whole machine's fate."""
        for pid in (worker.pid, *_descendants(worker.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _marks(self, role: str, what: str) -> int:
        """Of how many jobs workers of this role have said so."""
        row = self._connection.execute(
            "SELECT count(DISTINCT number) FROM mark WHERE name LIKE %s AND what = %s",
            [f"{role}%", what],
        ).fetchone()
        return row[0]

    def _since(self, began: Any) -> list[float]:
        rows = self._connection.execute(
            "SELECT extract(epoch FROM min(at) - %s)::float8 FROM mark"
            " WHERE name LIKE 'heir%%' AND what = 'begun' GROUP BY number ORDER BY 1", [began]
        )  # fmt: skip
        return [seconds for (seconds,) in rows]

    def _now(self) -> Any:
        return self._one("SELECT clock_timestamp()")

    def _one(self, statement: str) -> Any:
        return self._connection.execute(statement).fetchone()[0]

    def _wait(self, over: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not over():
            if time.monotonic() > until:
                said = (self._folder / "out").read_text(errors="replace")[-2000:]
                raise SystemExit(
                    f"{self._product.name}: waited {PATIENCE:.0f} s in vain for {what}\n{said}"
                )
            time.sleep(0.05)


def _descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in task.read_text().split():
                yield int(child)
                yield from _descendants(int(child))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zombies")
    names = [product.name for product in PRODUCTS]
    parser.add_argument("products", nargs="*", metavar="PRODUCT", help=", ".join(names))
    parser.add_argument("--samples", type=int, default=20)
    arguments = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    # Each victim has some connections.
    with running(None, settings={"max_connections": "500"}) as server:
        print(f"{server.version}, {arguments.samples} samples of each")
        for product in PRODUCTS:
            if product.name not in (arguments.products or names):
                continue
            found[product.name] = {}
            for kind in ("zombies", "killed"):
                with server.database() as url, tempfile.TemporaryDirectory() as folder:
                    trial = Trial(product, url, Path(folder), arguments.samples)
                    try:
                        trial.begin()
                        found[product.name][kind] = getattr(trial, kind)()
                    finally:
                        trial.close()
                _tell(product.name, kind, found[product.name][kind])
    (FOLDER / "zombies.json").write_text(json.dumps(found, indent=2))


def _tell(name: str, kind: str, found: dict[str, Any]) -> None:
    delays = found.pop("begun again after")
    counts = ", ".join(f"{value} {what}" for what, value in found.items())
    print(
        f"{name:<14} {kind:<8} {counts}; begun again after {statistics.median(delays):.1f} s"
        f" in the median, {max(delays):.1f} s at worst",
        flush=True,
    )
    found["begun again after"] = delays


if __name__ == "__main__":
    main()
