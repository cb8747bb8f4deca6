"""A demo that was killed, and the next one in its folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from rush.cli.leftovers import WorkerLock, the_only_demo
from rush.errors import ConfigurationError, RushError
from rush.store.embedded import Embedded
from tests.support.waiting import wait_for

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
WILLING = "import time; print(flush=True); time.sleep(60)"


def test_one_demo_at_a_time(tmp_path):
    """A second demo in a folder is refused while the first is on, and welcome after it."""
    with (
        the_only_demo(tmp_path / ".rush"),
        pytest.raises(ConfigurationError, match="a demo is under way in"),
        the_only_demo(tmp_path / ".rush"),
    ):
        pass
    with the_only_demo(tmp_path / ".rush") as lock:
        assert not lock.server_was_left


@pytest.mark.parametrize("to_be_stopped", [True, False])
def test_what_a_killed_demo_has_left_is_known(tmp_path, to_be_stopped):
    """A demo that was killed has left its server exactly if it was going to stop it."""
    code = (
        "import os; from pathlib import Path; from rush.cli.leftovers import the_only_demo\n"
        f"with the_only_demo(Path({str(tmp_path)!r})) as lock:\n"
        f"    lock.note_server(to_be_stopped={to_be_stopped}); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)

    with the_only_demo(tmp_path) as lock:
        assert lock.server_was_left == to_be_stopped
    with the_only_demo(tmp_path) as lock:
        assert not lock.server_was_left


@contextmanager
def left_behind(lock: WorkerLock, code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the lock of a demo's worker."""
    with lock.to_inherit() as descriptor:
        process = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=[descriptor], stdout=subprocess.PIPE
        )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(
    ("code", "number"), [(WILLING, signal.SIGTERM), (DEAF, signal.SIGKILL)], ids=["willing", "deaf"]
)
def test_a_worker_that_was_left_is_ended(tmp_path, code, number):
    """It is found as long as it lives, asked to end, and killed when it does not."""
    lock = WorkerLock(tmp_path)
    assert lock.left() is None
    with left_behind(lock, code) as process:
        lock.note_pid(process.pid)
        assert lock.left() == process.pid

        lock.end(process.pid, patience=0.3)

        assert process.wait(10) == -number
        assert lock.left() is None


def test_a_worker_whose_pid_is_unknown_is_not_worked_beside(tmp_path):
    """A demo that was killed before it could note the pid makes the next one stop and say so."""
    lock = WorkerLock(tmp_path)
    with left_behind(lock, WILLING):
        assert lock.left() is None
        with pytest.raises(RushError, match="that an earlier demo has started"), lock.to_inherit():
            pass


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "new"
    made.mkdir()
    yield made
    if (pid := WorkerLock(made / ".rush").left()) is not None:
        os.kill(pid, signal.SIGKILL)
    Embedded(made / ".rush").remove()


@contextmanager
def demo(folder: Path) -> Iterator[subprocess.Popen[str]]:
    aside = ("RUSH_", "DATABASE_URL")
    with subprocess.Popen(
        [sys.executable, "-m", "rush.cli", "demo"],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith(aside)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.process
@pytest.mark.slow
def test_the_demo_after_one_that_was_killed(folder):
    """
    What a killed demo has left running is noticed; its run is gone on with, and at the end
    neither worker nor server is left.
    """
    embedded, lock = Embedded(folder / ".rush"), WorkerLock(folder / ".rush")
    with demo(folder) as first:
        assert first.stdout is not None
        assert any("check_feed#1 Failed" in line for line in first.stdout)
        first.kill()
    left = lock.left()
    assert left is not None and embedded.running()

    with demo(folder) as second:
        said, aside = second.communicate(timeout=90)

    assert second.returncode == 0, aside
    assert f"has left its worker (pid {left}): ending that" in aside
    assert "flights/1 is Complete" in said
    assert "PostgreSQL is stopped" in said
    assert not embedded.running()
    wait_for(lambda: lock.left() is None, what="the worker to be gone")
    assert not Path(f"/proc/{left}").exists()
    url = embedded.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT jobinstance, state FROM run").fetchall() == [
            (1, "Complete")
        ]
