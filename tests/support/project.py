"""A project with real worker processes, for acceptance tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.support.waiting import wait_for

JOBS = '''
import ctypes, os, signal, subprocess, sys, time
from pathlib import Path

from rush import Job


class Noop(Job):
    def run(self):
        pass


class Log(Job):
    def run(self):
        self.logger.info("hello from %s", self.job)
        print("printed by", self.job)


class Fail(Job):
    """Fails until the attempt that `until` names."""

    def run(self):
        if self.attempt < self.params.get("until", 1000):
            raise ValueError(f"no luck in attempt {self.attempt}")


class Sleep(Job):
    def run(self):
        time.sleep(self.params.get("seconds", 60))


class SleepOnce(Job):
    """Sleeps for ever in its first attempt, so that something can be done to it meanwhile."""

    def run(self):
        if self.attempt == 1:
            time.sleep(600)


class Deaf(Job):
    """Sleeps in C code, deaf to SIGTERM, and starts a child that does the same."""

    def run(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 600"])
        Path(self.params["pids"]).write_text(f"{os.getpid()} {child.pid}")
        ctypes.CDLL(None).sleep(600)
        ctypes.CDLL(None).sleep(600)


class Exit(Job):
    def run(self):
        os._exit(0)


class KillWorker(Job):
    """Kills every worker that takes it."""

    def run(self):
        template = os.getppid()
        with open(f"/proc/{template}/stat") as stat:
            worker = int(stat.read().rpartition(")")[2].split()[1])
        os.kill(worker, signal.SIGKILL)
        time.sleep(60)


class Params(Job):
    def run(self):
        return self.params


class Results(Job):
    def run(self):
        return dict(self.results)


class Insert(Job):
    """Writes a row in its own transaction; fails after it when told to."""

    def run(self):
        with self.transaction() as connection:
            connection.execute("INSERT INTO effect (job, attempt) VALUES (%s, %s)", (self.job, self.attempt))
        if self.attempt < self.params.get("until", 1):
            raise ValueError("after the write")
        return self.idempotency_key


class Cancelled(Job):
    """Stops in good order when it is cancelled."""

    def run(self):
        while not self.cancelled:
            time.sleep(0.02)
        self.logger.info("stopping in good order")
'''


class Project:
    """A folder with jobs, a database, and the workers that were started for it."""

    def __init__(self, folder: Path, database: str, **settings: Any) -> None:
        self.folder = folder
        self.database = database
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "jobs").mkdir(parents=True, exist_ok=True)
        (folder / "jobs" / "kinds.py").write_text(JOBS)
        settings = {"poll_interval": 1.0, "kill_grace": 1.0, "log_level": "INFO"} | settings
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        (folder / "rush.toml").write_text("\n".join(lines))
        self.connection = psycopg.connect(database, autocommit=True)

    # Workers ---------------------------------------------------------------------------

    def start(self, name: str = "worker1", *flags: str, slots: int = 2) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it is in the table."""
        process = self.spawn("worker", name, "--slots", str(slots), *flags)
        self.workers[name] = process
        wait_for(
            lambda: (
                self.one("SELECT pid FROM rush.worker WHERE name = %s AND state = 'Alive'", name)
                == process.pid
                or process.poll() is not None
            ),
            what=f"{name} to be in the table",
            timeout=20,
        )
        return process

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{'-'.join(arguments[:2])}.out").open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "rush.cli", *arguments],
                cwd=self.folder,
                env=self.environment(),
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def rush(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line."""
        return subprocess.run(
            [sys.executable, "-m", "rush.cli", *arguments],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("RUSH_", "DATABASE_URL"))}
        return clean | {"RUSH_DATABASE_URL": self.database}

    def add_class(self, name: str, body: str) -> str:
        """A job class with this body of `run`. Returns its dotted path."""
        lines = "".join(f"        {line}\n" for line in body.strip("\n").splitlines())
        (self.folder / "jobs" / f"{name.lower()}.py").write_text(
            f"import os, signal, sys, time\nfrom pathlib import Path\n\nfrom rush import Job\n\n\n"
            f"class {name}(Job):\n    def run(self):\n{lines}"
        )
        return f"jobs.{name.lower()}.{name}"

    def said(self, name: str = "worker1") -> str:
        """What a worker has logged."""
        return (self.folder / "logs" / f"{name}.log").read_text()

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        self.workers[name].send_signal(number)

    def stop(self, name: str = "worker1", timeout: float = 20) -> int:
        """End a worker in good order. Returns its exit code."""
        process = self.workers.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout)

    def close(self) -> None:
        for process in self.workers.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        self.connection.close()

    # The database ------------------------------------------------------------------------

    def sql(self, statement: str, *values: Any) -> list[Any]:
        cursor = self.connection.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        rows = self.sql(statement, *values)
        return rows[0][0] if rows else None

    def pipeline(self, name: str, jobs: Iterable[dict[str, Any]]) -> None:
        """Store a pipeline; a job's `kind` is short for its class."""
        jobs = [
            {"class_name": f"jobs.kinds.{job.get('kind')}"}
            | {k: v for k, v in job.items() if k != "kind"}
            for job in jobs
        ]
        self.sql(
            "INSERT INTO rush.pipeline (name, definition) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET definition = excluded.definition",
            name,
            json.dumps({"jobs": jobs}),
        )

    def request(self, pipeline: str, **columns: Any) -> int:
        """Insert a run request. Returns its id."""
        columns = {"pipeline": pipeline} | columns
        names = ", ".join(columns)
        marks = ", ".join(["%s"] * len(columns))
        return self.one(
            f"INSERT INTO rush.run_request ({names}) VALUES ({marks}) RETURNING id",
            *columns.values(),
        )

    def decided(self, request: int, timeout: float = 20) -> tuple[str, str | None, int | None]:
        """Wait for a request's verdict: status, reason, run."""
        rows = wait_for(
            lambda: self.sql(
                "SELECT status, reason, run_id FROM rush.run_request WHERE id = %s AND status <> 'Pending'",
                request,
            ),
            what=f"request {request} to be decided",
            timeout=timeout,
        )
        return rows[0]

    def started(self, pipeline: str, **columns: Any) -> int:
        """Request a run and wait until it is there. Returns its id."""
        status, reason, run = self.decided(self.request(pipeline, **columns))
        assert status == "Accepted", reason
        assert run is not None
        return run

    def ended(self, run: int, state: str = "Complete", timeout: float = 30) -> None:
        """Wait until a run has come to rest in a state."""
        wait_for(
            lambda: self.one("SELECT state FROM rush.run WHERE id = %s", run) == state,
            what=lambda: f"run {run} to be {state}, not {self.told(run)}",
            timeout=timeout,
        )

    def told(self, run: int) -> Any:
        return (
            self.sql("SELECT state, open, stuck FROM rush.run WHERE id = %s", run),
            self.sql(
                "SELECT job, state, attempt, worker FROM rush.run_state WHERE run_id = %s", run
            ),
        )

    def attempts(self, run: int) -> list[tuple[str, int, str]]:
        """What the archive has of a run, in order: job, attempt, state."""
        return self.sql(
            "SELECT job, attempt, state FROM rush.archive WHERE run_id = %s ORDER BY finished_at, token",
            run,
        )

    def running(self, run: int, job: str, timeout: float = 20) -> str:
        """Wait until a job is Running. Returns the worker that it is with."""
        return wait_for(
            lambda: self.one(
                "SELECT worker FROM rush.run_state WHERE run_id = %s AND job = %s AND state = 'Running'",
                run,
                job,
            ),
            what=f"{job} of run {run} to be Running",
            timeout=timeout,
        )

    def log(self, run: int) -> str:
        rows = self.sql(
            "SELECT lines FROM rush.run_log WHERE run_id = %s ORDER BY token, part", run
        )
        return "\n".join(lines for (lines,) in rows)


@contextmanager
def project(folder: Path, database: str, **settings: Any) -> Generator[Project]:
    made = Project(folder, database, **settings)
    try:
        yield made
    finally:
        made.close()
