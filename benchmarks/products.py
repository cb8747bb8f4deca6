"""
Rush and its peers, each with a round of all that it can be measured on.

A round has a database of its own. Values are by the names of `goals.METRICS`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import psycopg

from benchmarks import environments, rush
from benchmarks.children import PATIENCE, Child, Stamps
from benchmarks.goals import Sizes
from benchmarks.rush import INSIDE, LOOK, percentile

Values = dict[str, float]
WORKLOADS = ("W1", "W2", "W3", "W4", "W5")


class Product(Protocol):
    """What can be measured."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> str: ...

    @property
    def versions(self) -> list[str]: ...

    def round(self, url: str, stamps: Stamps, sizes: Sizes, workloads: set[str]) -> Values:
        """All that it can be measured on of these workloads, in an empty database."""
        ...


# Rush -----------------------------------------------------------------------------------


class RushItself:
    def __init__(self, workers: int, slots: int) -> None:
        self.name = f"Rush {workers}x{slots}"
        self._workers = workers
        self._slots = slots

    @property
    def settings(self) -> str:
        return (
            f"workers: {self._workers}, slots of each: {self._slots}, else its defaults; every step"
            " in a child process, with its log line and its row in archive, which are counted"
        )

    @property
    def versions(self) -> list[str]:
        return [f"{name} {version(name)}" for name in ("rush-pipelines", "psycopg")]

    def round(self, url: str, stamps: Stamps, sizes: Sizes, workloads: set[str]) -> Values:
        with rush.on(url, stamps) as found:
            found.start(self._workers, self._slots)
            values: Values = {}
            if "W1" in workloads:
                values |= self._drain(found, sizes)
            if "W4" in workloads:
                values |= self._pipelines(found, sizes)
            if "W2" in workloads:
                values |= self._pickup(found, sizes)
            if "W3" in workloads:
                values |= self._chains(found, sizes)
            if "W5" in workloads:
                values |= self._graphs(found, sizes)
            return values

    def _drain(self, found: rush.Rush, sizes: Sizes) -> Values:
        found.define("one", rush.chain("Noop", 1))
        return {"drain": found.drain("one", runs=sizes.jobs, jobs=1).rate}

    def _pipelines(self, found: rush.Rush, sizes: Sizes) -> Values:
        found.define("three", rush.chain("Noop", 3))
        drained = found.drain("three", runs=sizes.runs, jobs=3)
        return {
            "pipelines": drained.rate,
            "wal": drained.wal_bytes / drained.steps / 1024,
            "commits": drained.commits / drained.steps,
        }

    def _pickup(self, found: rush.Rush, sizes: Sizes) -> Values:
        found.define("pickup", rush.chain("Stamp", 1))
        found.pickups(found.submit, 2)
        by_client = found.pickups(found.submit, sizes.samples)
        by_insert = found.pickups(found.insert, sizes.samples)
        return {
            "pickup_p50": percentile(by_client, 0.5),
            "pickup_p99": percentile(by_client, 0.99),
            "insert_p50": percentile(by_insert, 0.5),
            "insert_p99": percentile(by_insert, 0.99),
            "insert_alone": percentile(found.bare_inserts(sizes.samples), 0.5),
        }

    def _chains(self, found: rush.Rush, sizes: Sizes) -> Values:
        """Bare Python is measured before and after, since machines drift."""
        found.define("short", rush.fibo_chain(sizes.short, 10))
        found.define("long", rush.fibo_chain(sizes.long, 33))
        first, *short = (found.chain("short") for _ in range(1 + sizes.chains))
        bare = bare_seconds(sizes.long)
        seconds = found.chain("long")
        bare = (bare + bare_seconds(sizes.long)) / 2
        return {
            "short": statistics.median(short),
            "short_first": first,
            "long": seconds / bare,
            "long_seconds": seconds,
            "bare": bare,
        }

    def _graphs(self, found: rush.Rush, sizes: Sizes) -> Values:
        found.define("diamond", rush.diamond())
        found.define("fan", rush.fan(sizes.width))
        found.define("process", rush.fibo_chain(sizes.short, 10, isolation="process"))
        return {
            "diamonds": found.drain("diamond", runs=sizes.diamonds, jobs=4).rate,
            "fan": found.drain("fan", runs=1, jobs=sizes.width + 2).seconds,
            "process": found.chain("process") / sizes.short * 1000,
        }


def bare_seconds(steps: int) -> float:
    """Seconds for so many fibo(33), in an interpreter that does nothing else."""
    program = (
        "import time; from steps import fibo; began = time.monotonic()\n"
        f"for _ in range({steps}): fibo(33)\n"
        "print(time.monotonic() - began)"
    )
    command = [sys.executable, "-c", program]
    return float(subprocess.run(command, cwd=INSIDE, capture_output=True, check=True).stdout)


# Peers ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Peer:
    """A product in an environment of its own: `inside/on_<script>.py` is what runs there."""

    name: str
    script: str
    settings: str
    #: None: whoever asks runs it too.
    workers: int | None
    #: The first unfinished row from %(oldest)s on, or none: a look must cost next to nothing.
    unfinished: str
    #: How many steps are over: %(steps)s is how many a run of them has.
    done: str
    client: str = "client"
    #: Its workers are up before, and the clock starts when what was enqueued is committed.
    commits: bool = False

    @property
    def versions(self) -> list[str]:
        return environments.pinned(self.script)

    def round(self, url: str, stamps: Stamps, sizes: Sizes, workloads: set[str]) -> Values:
        with (
            tempfile.TemporaryDirectory(prefix="bench-peer-") as folder,
            psycopg.connect(url, autocommit=True) as connection,
        ):
            at_work = _AtWork(self, url, stamps, Path(folder, "log"), connection)
            try:
                return at_work.round(sizes, workloads)
            finally:
                at_work.close()


class _AtWork:
    """A peer on a database: one process that asks, and those that work."""

    def __init__(
        self, peer: Peer, url: str, stamps: Stamps, log: Path, connection: psycopg.Connection
    ) -> None:
        self._peer = peer
        self._url = url
        self._stamps = stamps
        self._log = log
        self._connection = connection
        self._workers: list[Child] = []
        self._client = self._child(peer.client)
        self._client.ask("install")

    def round(self, sizes: Sizes, workloads: set[str]) -> Values:
        values: Values = {}
        if "W1" in workloads:
            values["drain"] = sizes.jobs / self.drain(sizes.jobs, 1)
        if "W4" in workloads:
            values["pipelines"] = 3 * sizes.runs / self.drain(sizes.runs, 3)
        if not self._workers:
            self._start_workers()
            self._tell_go()
        if "W2" in workloads:
            self.pickups(2)
            found = self.pickups(sizes.samples)
            values["pickup_p50"] = percentile(found, 0.5)
            values["pickup_p99"] = percentile(found, 0.99)
        if "W3" in workloads:
            first, *short = (self.chain(sizes.short, 10) for _ in range(1 + sizes.chains))
            values["short"], values["short_first"] = statistics.median(short), first
            bare = bare_seconds(sizes.long)
            values["long_seconds"] = self.chain(sizes.long, 33)
            values["bare"] = (bare + bare_seconds(sizes.long)) / 2
            values["long"] = values["long_seconds"] / values["bare"]
        return values

    def drain(self, count: int, steps: int) -> float:
        """Seconds from the workers' start, all being imported, until nothing is unfinished."""
        self._stop_workers()
        before = self._done(steps)
        if self._peer.workers is None:
            began = time.monotonic()
            self._client.ask("enqueue", "noop", count, steps)
        elif self._peer.commits:
            self._start_workers()
            self._tell_go()
            self._client.ask("enqueue", "noop", count, steps)
            began = time.monotonic()
            self._client.ask("commit")
        else:
            self._client.ask("enqueue", "noop", count, steps)
            self._start_workers()
            began = time.monotonic()
            self._tell_go()
        self._wait_until_done()
        seconds = time.monotonic() - began
        if (done := self._done(steps) - before) != count * steps:
            raise SystemExit(f"{self._peer.name} did {done} steps of {count * steps}")
        return seconds

    def pickups(self, samples: int) -> list[float]:
        found = []
        for _ in range(samples):
            rush.rest()
            began = self._client.ask("pickup")
            found.append((self._stamps.next() - began) * 1000)
        return found

    def chain(self, steps: int, n: int) -> float:
        began = self._client.ask("chain", steps, n)
        seconds = self._stamps.next() - began
        self._wait_until_done()
        return seconds

    def close(self) -> None:
        self._stop_workers()
        self._client.stop()

    def _child(self, *words: str) -> Child:
        role, *rest = words
        python = environments.python_of(self._peer.script)
        script = INSIDE / f"on_{self._peer.script}.py"
        return Child([python, script, role, self._url, *rest], self._stamps, self._log)

    def _start_workers(self) -> None:
        count = self._peer.workers or 0
        self._workers = [self._child("worker", str(number)) for number in range(count)]
        for child in self._workers:
            child.hear()

    def _tell_go(self) -> None:
        for child in self._workers:
            child.tell("go")

    def _stop_workers(self) -> None:
        for child in self._workers:
            child.stop()
        self._workers = []

    def _wait_until_done(self) -> None:
        deadline = time.monotonic() + PATIENCE
        oldest = 0
        while row := self._connection.execute(self._peer.unfinished, {"oldest": oldest}).fetchone():
            if time.monotonic() > deadline:
                raise SystemExit(f"{self._peer.name} is not done within {PATIENCE:.0f} s")
            oldest = row[0]
            time.sleep(LOOK)

    def _done(self, steps: int) -> int:
        return self._connection.execute(self._peer.done, {"steps": steps}).fetchone()[0]


_DBOS_UNFINISHED = """
    SELECT 0 FROM dbos.workflow_status WHERE status IN ('PENDING', 'ENQUEUED') LIMIT 1
"""
_DBOS_DONE = """
    SELECT CASE WHEN %(steps)s = 1
                THEN (SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS')
                ELSE (SELECT count(*) FROM dbos.operation_outputs) END
"""

PEERS = [
    Peer(
        name="PgQueuer",
        script="pgqueuer",
        settings=(
            "workers: 2, batches of 500, uvloop, asyncpg, `pgq autovac`, durable; async steps"
            " in the worker's own process, each enqueues the next over a pool of 5"
        ),
        workers=2,
        unfinished="SELECT id FROM pgqueuer WHERE id >= %(oldest)s ORDER BY id LIMIT 1",
        done="SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'",
    ),
    Peer(
        name="procrastinate",
        script="procrastinate",
        settings=(
            "workers: 2, concurrency 10, a pool of 12; async steps in the worker's own process,"
            " each defers the next"
        ),
        workers=2,
        unfinished=(
            "SELECT id FROM procrastinate_jobs WHERE id >= %(oldest)s"
            " AND status IN ('todo', 'doing') ORDER BY id LIMIT 1"
        ),
        done="SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'",
    ),
    Peer(
        name="DBOS alone",
        script="dbos",
        settings="the workflow in the process that asks for it; W1 and W4 include the asking",
        workers=None,
        client="alone",
        unfinished=_DBOS_UNFINISHED,
        done=_DBOS_DONE,
    ),
    Peer(
        name="DBOS queue",
        script="dbos",
        settings="workers: 2, polling every 10 ms, 50 workflows at once on each, a pool of 20",
        workers=2,
        commits=True,
        unfinished=_DBOS_UNFINISHED,
        done=_DBOS_DONE,
    ),
]
