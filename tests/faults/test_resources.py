"""A worker's machine at its limits: disk, file descriptors, memory (A2, E)."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.test_deaths import children
from tests.faults.test_server import fill, small_disk
from tests.support.project import Project, project
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

LOGS = [{"name": "a", "kind": "Log"}, {"name": "b", "kind": "Log"}]


def test_a_full_log_folder_costs_lines_and_no_result(database: str, tmp_path: Path) -> None:
    """
    E1: the disk of the log folder is full: jobs complete, their lines are in the database, and when there is
    room again the file says how many are missing.
    """
    with small_disk(1) as disk, project(tmp_path / "p", database, log_folder=str(disk)) as rush:
        rush.pipeline("p", LOGS)
        rush.start()
        rush.ended(rush.started("p"))
        fill(disk / "filler")
        # What is left of the file's last block.
        for _ in range(30):
            run = rush.started("p")
            rush.ended(run)
        assert "hello from b" in rush.log(run)
        (disk / "filler").unlink()
        rush.ended(rush.started("p"))
        file = disk / "worker1.log"
        wait_for(
            lambda: "lines could not be written here before this one" in file.read_text(),
            what="the count of what is missing",
        )
        assert rush.workers["worker1"].poll() is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda logs: shutil.rmtree(logs),
        lambda logs: (logs / "worker1.log").rename(logs / "worker1.log.old"),
        lambda logs: (shutil.rmtree(logs), logs.touch()),
    ],
    ids=["deleted", "rotated", "a file in its place"],
)
def test_a_log_folder_that_goes_away(rush: Project, spoil: Callable[[Path], None]) -> None:
    """E1, E2: the log folder is deleted, its file rotated, or neither can be made: jobs do not notice."""
    rush.pipeline("p", LOGS)
    rush.start()
    rush.ended(rush.started("p"))
    logs = rush.folder / "logs"
    spoil(logs)
    run = rush.started("p")
    rush.ended(run)
    assert "hello from b" in rush.log(run)
    if logs.is_file():
        logs.unlink()
    wait_for(
        lambda: rush.ended(rush.started("p")) is None and (logs / "worker1.log").exists(),
        what="a new file",
    )
    assert rush.workers["worker1"].poll() is None


def test_without_descriptors_left_it_starts_no_runner_and_recovers(rush: Project) -> None:
    """
    E3: the worker can open no more files when it needs a new runner: it stays, takes nothing that it cannot
    run, and goes on when it can open some again.
    """
    rush.pipeline("p", [{"name": "a", "kind": "Exit", "retry_limit": 0}])
    rush.pipeline("q", [{"name": "a", "kind": "Noop"}])
    rush.start(slots=1)
    rush.ended(rush.started("q"))
    pid = rush.workers["worker1"].pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
    rush.ended(rush.started("p"), "Stuck")
    request = rush.request("q")
    wait_for(lambda: "too many open files" in rush.said().lower(), what="a word about it")
    assert rush.workers["worker1"].poll() is None

    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    _, _, run = rush.decided(request)
    assert run is not None
    rush.ended(run)
    assert rush.attempts(run) == [("a", 1, "Complete")]


def test_a_job_that_hits_its_memory_limit_fails_alone(rush: Project) -> None:
    """A2, E4: a job without memory left, and one that crashes: their attempts have failed, the worker lives."""
    greedy = rush.add_class(
        "Greedy",
        """
import resource
resource.setrlimit(resource.RLIMIT_AS, (300_000_000, 300_000_000))
return len(bytearray(1_000_000_000))
""",
    )
    crash = rush.add_class("Crash", "os.kill(os.getpid(), signal.SIGSEGV)")
    rush.pipeline("greedy", [{"name": "a", "class_name": greedy, "isolation": "process"}])
    rush.pipeline("crash", [{"name": "a", "class_name": crash}])
    rush.pipeline("q", [{"name": "a", "kind": "Noop"}])
    worker = rush.start(slots=1)
    rush.ended(rush.started("greedy"), "Stuck")
    rush.ended(rush.started("crash"), "Stuck")
    rush.ended(rush.started("q"))
    assert rush.sql(
        "SELECT reason, error FROM rush.archive WHERE state = 'Failed' ORDER BY run_id"
    ) == [
        ("raised", "MemoryError"),
        (
            "killed",
            f"the process ended (signal {signal.SIGSEGV:d}, SIGSEGV) before the job had returned",
        ),
    ]
    assert worker.poll() is None


def test_a_huge_result_fails_its_job_and_not_its_worker(rush: Project) -> None:
    """E4: a result of 300 MB is refused where it was made; the worker does not grow by it."""
    rush.pipeline(
        "p", [{"name": "a", "class_name": rush.add_class("Huge", "return 'x' * 300_000_000")}]
    )
    worker = rush.start(slots=1)
    run = rush.started("p")
    rush.ended(run, "Stuck")
    assert rush.sql("SELECT reason FROM rush.archive") == [("too large",)]
    status = Path(f"/proc/{worker.pid}/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0])
    assert peak < 200_000
    assert worker.poll() is None


def test_a_full_disk_for_temporary_files_fails_the_job_that_needs_it(rush: Project) -> None:
    """E6: a job that cannot write its file fails with that reason; the next job works."""
    with small_disk(1) as disk:
        fill(disk / "filler")
        writes = rush.add_class(
            "Writes", f"Path({str(disk)!r}, 'mine').write_bytes(b'x' * 1_000_000)"
        )
        rush.pipeline("p", [{"name": "a", "class_name": writes}])
        rush.pipeline("q", [{"name": "a", "kind": "Noop"}])
        rush.start(slots=1)
        rush.ended(rush.started("p"), "Stuck")
        rush.ended(rush.started("q"))
    (error,) = rush.sql("SELECT error FROM rush.archive WHERE state = 'Failed'")[0]
    assert error.endswith("No space left on device: '" + str(disk / "mine") + "'") or (
        "No space left on device" in error
    )


def test_a_job_that_deletes_the_folder_it_is_in_is_alone_with_that(rush: Project) -> None:
    """E6: the working directory is gone under a job: the next one is in the project's folder again."""
    lost = rush.add_class("Lost", "os.mkdir('d')\nos.chdir('d')\nos.rmdir('../d')")
    where = rush.add_class("Where", "return os.getcwd()")
    rush.pipeline("p", [{"name": "a", "class_name": lost}, {"name": "b", "class_name": where}])
    rush.start(slots=1)
    run = rush.started("p")
    rush.ended(run)
    assert rush.one("SELECT value FROM rush.result WHERE job = 'b'") == str(rush.folder)
    assert len(children(rush.workers["worker1"].pid)) == 2
