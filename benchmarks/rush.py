"""Rush on a database of its own: its project, its workers, and what is measured on them."""

from __future__ import annotations

import contextlib
import random
import shutil
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

from benchmarks.children import PATIENCE, Stamps, environment, stop
from rush import Client
from rush.store.migrate import migrate

INSIDE = Path(__file__).parent / "inside"
#: Seconds between two looks at whether all is done. A look is a lookup in an index.
LOOK = 0.004


@dataclass(frozen=True, slots=True)
class Drained:
    """What it took until nothing was unfinished."""

    seconds: float
    steps: int
    wal_bytes: int
    #: Transactions that wrote something, of anybody.
    commits: int

    @property
    def rate(self) -> float:
        """Steps a second."""
        return self.steps / self.seconds


class Rush:
    """A project, the database it is in, and the workers that were started for it."""

    def __init__(self, url: str, folder: Path, stamps: Stamps) -> None:
        self.url = url
        self.folder = folder
        self.stamps = stamps
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("steps.py", "rush_jobs.py"):
            shutil.copy(INSIDE / name, folder)
        (folder / "rush.toml").write_text("")
        migrate(url)
        self.client = Client(url)
        self.connection = psycopg.connect(url, autocommit=True)

    # Workers ----------------------------------------------------------------------------

    def start(self, workers: int, slots: int, *flags: str) -> None:
        """Start so many more, and wait until each has run jobs in all its slots."""
        began = len(self.workers)
        for number in range(began, began + workers):
            self.spawn(f"worker{number}", slots, *flags)
        self._wait(lambda: self._alive() == len(self.workers), "the workers to be up")
        self.warm_up(len(self.workers) * slots)

    def spawn(self, name: str, slots: int, *flags: str) -> None:
        with (self.folder / "workers.err").open("ab") as errors:
            self.workers[name] = subprocess.Popen(
                [sys.executable, "-m", "rush.cli", "worker", name, "--slots", str(slots), *flags],
                cwd=self.folder,
                env=environment(RUSH_DATABASE_URL=self.url, BENCH_STAMPS=str(self.stamps.path)),
                stdout=errors,
                stderr=errors,
            )

    def warm_up(self, runners: int) -> None:
        """Some more jobs than there are runners, so that interpreters and plans are warm."""
        self.define("warm_up", chain("Noop", 2))
        self.drain("warm_up", runs=20 * runners, jobs=2)

    def stop_workers(self) -> None:
        for process in self.workers.values():
            process.terminate()
        for process in self.workers.values():
            stop(process)
        self.workers.clear()

    def close(self) -> None:
        self.stop_workers()
        self.client.close()
        self.connection.close()

    # Work -------------------------------------------------------------------------------

    def define(self, name: str, jobs: list[dict[str, Any]]) -> None:
        """Store a pipeline, and wait until the master has compiled it, if there is a master."""
        self.client.apply(name, {"jobs": jobs})
        if self.workers:
            self._wait(lambda: self.client.versions(name)[0].compiled_at, f"{name} to be compiled")

    def drain(self, pipeline: str, *, runs: int, jobs: int) -> Drained:
        """
        Have so many runs done, all asked for at once, and count all that they leave behind.

        The workers are up and everything is paused until the clock starts: the end of the
        pause and the requests, all of them Pending, are committed together.
        """
        before = self.newest_run()
        asked = self.one("SELECT coalesce(max(id), 0) FROM rush.run_request")
        self.client.pause(None)
        with psycopg.connect(self.url) as asker:
            asker.execute(
                "INSERT INTO rush.run_request (pipeline) SELECT %s FROM generate_series(1, %s)",
                [pipeline, runs],
            )
            asker.execute("UPDATE rush.control SET paused = false")
            wal, commits = self.written()
            began = time.monotonic()
        self.wait_until_done(pipeline, before, asked)
        seconds = time.monotonic() - began
        wal_after, commits_after = self.written()
        self.count(before, runs, jobs)
        return Drained(seconds, runs * jobs, wal_after - wal, commits_after - commits)

    def chain(self, pipeline: str) -> float:
        """Seconds from the submit call to the end of the last step, which sends a stamp."""
        began = time.monotonic()
        run = self.client.submit(pipeline)
        seconds = self.stamps.next() - began
        run.wait(timeout=PATIENCE)
        return seconds

    def pickups(self, submit: Callable[[], object], samples: int) -> list[float]:
        """Milliseconds from before the submit call to the first line of the job's body, one by one."""
        found = []
        for _ in range(samples):
            rest()
            began = time.monotonic()
            submit()
            found.append((self.stamps.next() - began) * 1000)
        return found

    def submit(self) -> None:
        self.client.submit("pickup")

    def insert(self) -> None:
        self.connection.execute("INSERT INTO rush.run_request (pipeline) VALUES ('pickup')")

    def bare_inserts(self, samples: int) -> list[float]:
        """Milliseconds of an INSERT that concerns nobody, after the same rest: what no pickup is below."""
        self.connection.execute("CREATE TABLE IF NOT EXISTS public.bare (at timestamptz)")
        found = []
        for _ in range(samples):
            rest()
            began = time.monotonic()
            self.connection.execute("INSERT INTO public.bare VALUES (now())")
            found.append((time.monotonic() - began) * 1000)
        return found

    # What the tables say ----------------------------------------------------------------

    def newest_run(self) -> int:
        return self.one("SELECT coalesce(max(id), 0) FROM rush.run")

    def wait_until_done(self, pipeline: str, before: int, asked: int = 0) -> None:
        """Until no newer request is Pending and no newer run of the pipeline is Running."""
        self.wait_until_admitted(asked)
        oldest: int | None = before + 1
        while oldest:
            began = time.monotonic()
            oldest = self._running_from(oldest, pipeline)
            # A look that goes over what no vacuum may remove takes long: it is not what is measured.
            time.sleep(max(LOOK, 5 * (time.monotonic() - began)) if oldest else 0)

    def wait_until_admitted(self, asked: int = 0) -> None:
        """Whatever was asked for before is none of its business: a look at it may take long."""
        pending = (
            "SELECT EXISTS (SELECT FROM rush.run_request WHERE status = 'Pending' AND id > %s)"
        )
        while self.one(pending, asked):
            time.sleep(LOOK)

    def _running_from(self, oldest: int, pipeline: str) -> int | None:
        """What lies before it is over: a look never goes over it again."""
        return self.one(
            "SELECT id FROM rush.run WHERE id >= %s AND pipeline = %s AND state = 'Running'"
            " ORDER BY id LIMIT 1",
            oldest,
            pipeline,
        )

    def count(self, before: int, runs: int, jobs: int) -> None:
        """Each run is Complete, and each step is in the archive and has its line, from a child process."""
        found = {
            "runs": self.one(
                "SELECT count(*) FROM rush.run WHERE id > %s AND state = 'Complete'", before
            ),
            "steps": self.one(
                "SELECT count(*) FROM rush.archive WHERE run_id > %s AND state = 'Complete'", before
            ),
            "lines": self.one(
                "SELECT count(*) FROM rush.run_log WHERE run_id > %s"
                " AND substring(lines from 'in process (\\d+)')::int <> ALL (%s)",
                before,
                [process.pid for process in self.workers.values()],
            ),
        }
        if found != {"runs": runs, "steps": runs * jobs, "lines": runs * jobs}:
            raise SystemExit(f"{runs} runs of {jobs} jobs were asked for, and there are {found}")

    def written(self) -> tuple[int, int]:
        """Bytes of WAL so far, and the next number of a transaction that writes."""
        return self.connection.execute(
            "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint,"
            " pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
        ).fetchone()

    def one(self, statement: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        row = self.connection.execute(statement, values or None).fetchone()
        return row and row[0]

    def _alive(self) -> int:
        return sum(worker.takes_jobs for worker in self.client.workers())

    def _wait(self, reached: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not reached():
            if time.monotonic() > deadline:
                raise SystemExit(f"waited too long for {what}: see {self.folder}")
            time.sleep(0.05)


@contextlib.contextmanager
def on(url: str, stamps: Stamps) -> Iterator[Rush]:
    """Rush in an empty database."""
    with tempfile.TemporaryDirectory(prefix="bench-rush-") as folder:
        rush = Rush(url, Path(folder), stamps)
        try:
            yield rush
        finally:
            rush.close()


# Definitions ----------------------------------------------------------------------------


def chain(kind: str, jobs: int, **more: Any) -> list[dict[str, Any]]:
    """So many jobs in a row."""
    return [job(f"job{number}", kind, **more) for number in range(jobs)]


def fibo_chain(jobs: int, n: int, **more: Any) -> list[dict[str, Any]]:
    """So many steps fibo(n) in a row, the last of which tells of its end."""
    steps = chain("Fibo", jobs, params={"n": n}, **more)
    steps[-1] |= {"params": {"n": n, "last": True}}
    return steps


def diamond() -> list[dict[str, Any]]:
    return fan(2)


def fan(width: int) -> list[dict[str, Any]]:
    """One job, so many that wait for it, and one that waits for all of these."""
    middle = [f"middle{number}" for number in range(width)]
    return [
        job("first", "Noop"),
        *(job(name, "Noop", depends_on=["first"]) for name in middle),
        job("last", "Noop", depends_on=middle),
    ]


def job(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "class_name": f"rush_jobs.{kind}", **more}


# Samples --------------------------------------------------------------------------------


def rest() -> None:
    """Between two samples: long enough to be idle again, and not in step with any poll."""
    time.sleep(random.uniform(0.02, 0.04))


def percentile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]
