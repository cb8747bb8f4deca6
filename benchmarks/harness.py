"""What all benchmarks need: a database with PostgreSQL's own defaults, a project, a worker."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rush import Client
from rush.store.embedded import Embedded
from rush.store.migrate import migrate

JOBS = """
import time

from rush import Job


class Stamp(Job):
    def run(self):
        return time.monotonic()


class Noop(Job):
    def run(self):
        self.logger.info("nothing to do")


class Fibo(Job):
    def run(self):
        return fibo(self.params["n"])


def fibo(n):
    return n if n < 2 else fibo(n - 1) + fibo(n - 2)
"""


@contextlib.contextmanager
def database(url: str | None) -> Iterator[tuple[Path, str]]:
    """A project's folder and a migrated database: the one at the URL, else an embedded one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "work.py").write_text(JOBS)
        server = None if url else Embedded(folder / ".rush")
        try:
            found = url or server.start()
            migrate(found)
            yield folder, found
        finally:
            if server is not None:
                server.remove()


@contextlib.contextmanager
def worker(folder: Path, url: str, *, name: str = "bench", slots: int = 2) -> Iterator[None]:
    """A worker process, ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rush.cli", "worker", name, "--slots", str(slots)],
        cwd=folder,
        env={**os.environ, "RUSH_DATABASE_URL": url},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def define(client: Client, name: str, jobs: int, kind: str, **params: object) -> None:
    """A chain of so many jobs of one kind."""
    client.apply(
        name,
        {
            "jobs": [
                {"name": f"job{n}", "class_name": f"work.{kind}", "params": params}
                for n in range(jobs)
            ]
        },
    )
