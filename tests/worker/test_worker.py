"""What a worker's main thread does turn by turn, on a real server and with real runners."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rush.config import LoadedSettings, Settings
from rush.master.master import Master
from rush.store import held
from rush.store.database import connect
from rush.store.session import Session
from rush.store.wire import Wire
from rush.worker.reports import Reporter
from rush.worker.worker import Worker
from tests.support.kernel import Kernel, shared
from tests.support.waiting import wait_for

__all__ = ["shared"]

pytestmark = pytest.mark.process

JOBS = """
import time
from pathlib import Path
from rush import Job


class Mark(Job):
    def run(self):
        with (Path(__file__).parent / "marks").open("a") as file:
            file.write("x")


class Wait(Job):
    def run(self):
        while not (Path(__file__).parent / "gate").exists():
            time.sleep(0.01)
"""


class Bench:
    """A worker whose turns are taken by the test, and somebody else who is master."""

    def __init__(self, kernel: Kernel, database: str, folder: Path) -> None:
        (folder / "jobs").mkdir()
        (folder / "jobs" / "some.py").write_text(JOBS)
        self._marks = folder / "jobs" / "marks"
        self.gate = folder / "jobs" / "gate"
        self.kernel = kernel
        self.settings = Settings(slots=1, poll_interval=60, worker_lease=3600)

        def wire(purpose: str) -> Wire:
            return Wire(connect(database, application_name=purpose), "rush")

        self.worker = Worker(
            "worker1",
            LoadedSettings(project=folder, settings=self.settings, origins={}),
            database,
            connect=lambda purpose: Session(connect(database, application_name=purpose), "rush"),
            wire=wire,
            master=Master(self.settings, lambda: wire("master")),
        )
        # It does not beat: the lease is longer than any test.
        self.pulse = self.worker._enter()
        registration = self.worker._registration
        assert registration is not None
        self.registration = registration
        self.reporter = Reporter(lambda: wire("reports"), registration, self.worker._wake)
        self.reporter.start()
        self.worker._reporter = self.reporter
        self.worker.supervisor.start()
        # The poll that a worker begins with: from now on it looks when it is rung.
        self.settle()

    def close(self) -> None:
        self.worker.supervisor.close()
        self.worker._template.close()
        self.reporter.stop()
        self.pulse._hang_up()

    def start(self, kind: str = "Mark") -> int:
        self.kernel.define({"a": []}, of={"a": {"class_name": f"jobs.some.{kind}"}})
        return self.kernel.start()

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Take turns until something is so."""

        def look() -> bool:
            self.worker._wake()
            self.worker._turn(self.pulse, self.reporter)
            return done()

        wait_for(look, what=what)

    def settle(self) -> None:
        """Take turns until there is nothing more to do."""
        self.worker._turn(self.pulse, self.reporter)
        worker = self.worker
        self.until(
            lambda: not (worker._handed or worker._unsettled(self.reporter)), what="all to settle"
        )

    @property
    def is_resting(self) -> bool:
        """Whether the thread that takes its turns waits for something to happen."""
        with self.worker.supervisor.borrowed() as mine:
            return mine

    @property
    def marks(self) -> int:
        """How often the job has been begun."""
        return len(self._marks.read_text()) if self._marks.exists() else 0


@pytest.fixture
def bench(shared: Kernel, database: str, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(shared, database, tmp_path)
    yield made
    made.close()


def test_what_the_master_beside_it_hands_over_is_begun(bench: Bench) -> None:
    """A job that is handed over is run, whether the worker knows what it is or not."""
    for run in (bench.start(), bench.kernel.start()):
        bench.worker.hand(bench.kernel.assign().handed)
        bench.settle()
        assert bench.kernel.state(run) == "Complete"
    assert bench.marks == 2


def test_what_it_has_learned_is_begun_without_a_look(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run of a pipeline needs no question when the master has told of it before."""
    run = bench.start()
    handed = bench.kernel.assign().handed
    bench.worker.learn([each.claim.job_id for each in handed])
    bench.settle()
    assert bench.marks == 0
    monkeypatch.setattr(held, "held", None)

    bench.worker.rouse()
    bench.worker.hand(handed)
    bench.settle()

    assert (bench.kernel.state(run), bench.marks) == ("Complete", 1)


def test_what_is_handed_over_while_it_rests_is_begun_by_whoever_hands_it_over(
    bench: Bench,
) -> None:
    """Its thread need not wake up first. It does then, since there is a deadline to keep."""
    run = bench.start("Wait")
    handed = bench.kernel.assign().handed
    bench.worker.learn([each.claim.job_id for each in handed])
    bench.settle()
    supervisor = bench.worker.supervisor
    resting = threading.Thread(target=supervisor.wait, args=(120,))
    resting.start()
    wait_for(lambda: bench.is_resting, what="the worker to rest")

    bench.worker.hand(handed)

    assert (len(bench.worker._handed), supervisor.holding) == (0, 1)
    resting.join(timeout=20)
    assert not resting.is_alive()
    bench.gate.touch()
    bench.settle()
    assert bench.kernel.state(run) == "Complete"


def test_a_hand_over_that_comes_late_begins_nothing_twice(bench: Bench) -> None:
    """What was found by looking, and is over, is not begun again when its hand-over arrives."""
    run = bench.start()
    handed = bench.kernel.assign().handed
    assert [each.generation for each in handed] == [bench.registration.generation]

    bench.worker.ring()
    bench.settle()
    assert bench.kernel.state(run) == "Complete"
    bench.worker.hand(handed)
    bench.settle()

    assert bench.marks == 1


def test_what_is_handed_over_to_a_worker_that_stops_goes_back(bench: Bench) -> None:
    """It has been drained and has looked already: what still comes is given back, not kept."""
    bench.start()
    handed = bench.kernel.assign().handed
    bench.worker.supervisor.drain()

    bench.worker.hand(handed)
    while bench.worker._unsettled(bench.reporter):
        bench.worker._settle(bench.pulse, bench.reporter)

    assert bench.kernel.held(bench.registration) == []
    assert bench.marks == 0


def test_what_was_claimed_by_a_registration_that_is_over_is_not_begun(bench: Bench) -> None:
    """It was declared dead while it asked for jobs: those in the answer are others' by now."""
    kernel, worker = bench.kernel, bench.worker
    bench.start()
    worker._ready = True
    worker._converse(bench.pulse, bench.reporter, claim=True)
    wait_for(lambda: kernel.held(bench.registration), what="the claim to be committed")
    kernel.bury(bench.registration)
    anew = kernel.worker("worker1")

    worker._is_over(anew)
    worker._begin_again(bench.reporter)
    while bench.reporter.busy:
        worker.supervisor.wait(0.1)
        worker._hear(bench.pulse, bench.reporter)

    assert worker.supervisor.holding == 0


def test_what_a_look_may_have_left_out_is_left_to_the_master(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A worker that runs dry after a look that left something out rings, once: the master looks at all.
    """
    rung: list[int] = []
    monkeypatch.setattr(bench.worker, "_ring_master", lambda pulse: rung.append(1))
    bench.start()
    bench.worker.hand(bench.kernel.assign().handed)
    bench.settle()
    assert rung == []

    for _ in range(2):
        bench.reporter._line.bands()
        bench.reporter._line.looked(1000, first=None, newest=0)
    bench.kernel.start()
    bench.worker.hand(bench.kernel.assign().handed)
    bench.settle()
    assert bench.marks == 2
    assert rung == [1]

    bench.worker.ring()
    bench.settle()
    assert rung == [1]
