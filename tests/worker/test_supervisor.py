"""The supervisor with real runners and no database: what it is told, and what it tells."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rush.domain.records import Answer, Claim, CompiledJob, Outcome
from rush.worker.process import RunnerProcess
from rush.worker.reports import Reply, Request
from rush.worker.runner import Greeting
from rush.worker.supervisor import MARK_AFTER, TOLD_AHEAD, Limits, Supervisor
from rush.worker.template import Template
from tests.support.project import JOBS
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

MORE = '''

class Pid(Job):
    def run(self):
        return os.getpid()


class Untidy(Job):
    def run(self):
        os.chdir("/")
        os.environ["LEFT"] = "behind"
        sys.path.append("/left/behind")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Look(Job):
    def run(self):
        return [os.getcwd(), os.environ.get("LEFT"), "/left/behind" in sys.path]


class Later(Job):
    async def run(self):
        import asyncio
        await asyncio.sleep(0.01)
        return "done"


class Mark(Job):
    """Leaves a mark that it was begun, and waits until a file is there."""

    def run(self):
        with Path(self.params["marks"]).open("a") as marks:
            marks.write("x")
        while not Path(self.params["for"]).exists():
            time.sleep(0.002)


class Haunt(Job):
    """Leaves threads behind that ask, and go on asking."""

    def run(self):
        from threading import Event, Thread
        asked = Event()

        def ask():
            while True:
                asked.set()
                try:
                    self.results
                except RuntimeError:
                    while not self.cancelled():
                        time.sleep(0.001)
                    time.sleep(0.001)

        for _ in range(2):
            Thread(target=ask, daemon=True).start()
        asked.wait()


class Measure(Job):
    def run(self):
        return len(self.results["a"])


class Wait(Job):
    """Waits until a file is there."""

    def run(self):
        while not Path(self.params["for"]).exists():
            time.sleep(0.002)
'''


class Bench:
    """A supervisor, and someone who plays the database for it."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        (folder / "jobs").mkdir()
        (folder / "jobs" / "kinds.py").write_text(JOBS + MORE)
        self.folder = folder
        self.template = Template()
        self.tokens = itertools.count(1)
        self.jobs: dict[int, CompiledJob] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.begun: list[int] = []
        self.given_back: list[int] = []
        self.log = ""
        self.supervisor = Supervisor(
            Limits(
                **{
                    "slots": 1,
                    "kill_grace": 0.3,
                    "max_log_bytes": 100_000,
                    "max_log_line": 1000,
                    "runner_jobs": 10_000,
                    "runner_memory_mb": 1000,
                }
                | limits
            ),
            self._runner,
        )
        self.supervisor.start()

    def _runner(self) -> RunnerProcess:
        return RunnerProcess(
            self.template,
            Greeting(
                project=str(self.folder),
                allowed_modules=None,
                database_url="",
                schema="rush",
                worker="bench",
                generation=1,
                code="abc",
                log_level="INFO",
                max_log_line=1000,
                max_log_bytes=100_000,
                max_result_bytes=10_000,
            ),
        )

    def close(self) -> None:
        self.supervisor.close()
        self.template.close()

    def claim(
        self, kind: str, *, timeout: float = 60, isolation: str = "warm", **params: Any
    ) -> int:
        """Hand a job to the supervisor. Returns its token."""
        token = next(self.tokens)
        self.jobs[token] = job_of(token, kind, timeout=timeout, isolation=isolation, **params)
        self.hand(token)
        return token

    def hand(self, token: int) -> None:
        """Hand a job to the supervisor, perhaps not for the first time."""
        self.supervisor.take_over([claim_of(token)], self.jobs)

    def hold(self, tokens: list[int], *, cancelling: bool = False, after: int = 0) -> None:
        """What the database says this worker holds, of tokens after one."""
        held = [claim_of(token, cancelling=cancelling) for token in tokens]
        request = Request(held_after=after)
        self.supervisor.take_in(Reply(request=request, answer=Answer(), held=held))

    def until(self, done: Callable[[], Any], timeout: float = 20) -> None:
        """Turn until something is so."""
        end = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < end, (self.outcomes, self.begun, self.given_back)
            self.supervisor.wait(0.05)
            self._listen()

    def over(self, token: int) -> Outcome:
        self.until(lambda: token in self.outcomes)
        return self.outcomes[token]

    def _listen(self) -> None:
        request = self.supervisor.news()
        for outcome in request.outcomes:
            assert outcome.claim.token not in self.outcomes
            self.outcomes[outcome.claim.token] = outcome
            self.log += outcome.log or ""
        self.log += "".join(part.lines for part in request.logs)
        self.begun += [claim.token for claim, _ in request.begun]
        self.given_back += [claim.token for claim in request.given_back]


def job_of(
    job_id: int, kind: str, *, timeout: float = 60, isolation: str = "warm", **params: Any
) -> CompiledJob:
    return CompiledJob(
        id=job_id,
        name="a",
        class_name=f"jobs.kinds.{kind}",
        timeout_seconds=timeout,
        retry_limit=0,
        isolation=isolation,
        on_lost_contact="continue",
        params=params,
        pipeline="p",
        version=1,
    )


def claim_of(token: int, *, cancelling: bool = False) -> Claim:
    return Claim(
        token=token,
        run_id=token,
        job="a",
        item=0,
        round=1,
        claim_id=token,
        job_id=token,
        pipeline="p",
        jobinstance=token,
        attempt=0,
        given_back=False,
        cancelling=cancelling,
        params=None,
        job_params=None,
    )


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Bench]:
    """With two slots."""
    made = Bench(tmp_path, slots=2)
    yield made
    made.close()


def test_a_warm_runner_runs_job_after_job_with_its_surroundings_put_back(bench: Bench) -> None:
    """One process runs them all; folder, environment, path and signals are as they were for each."""
    first = bench.over(bench.claim("Pid"))
    bench.over(bench.claim("Untidy"))
    looked = bench.over(bench.claim("Look"))
    last = bench.over(bench.claim("Pid"))

    assert first.result == last.result
    assert looked.result == f'["{bench.folder}", null, false]'
    assert first.state == "Complete"
    assert first.code == "abc"


def test_a_job_may_ask_for_a_process_of_its_own(bench: Bench) -> None:
    """Isolation `process`: nothing ran in its process before, and nothing runs there after."""
    warm = bench.over(bench.claim("Pid"))
    alone = bench.over(bench.claim("Pid", isolation="process"))
    after = bench.over(bench.claim("Pid"))

    assert len({warm.result, alone.result, after.result}) == 3


def test_an_async_run_is_run_to_its_end(bench: Bench) -> None:
    """`async def run` is awaited, and what it returns is the result."""
    assert bench.over(bench.claim("Later")).result == '"done"'


def test_a_runner_is_replaced_after_so_many_jobs(tmp_path: Path) -> None:
    """A runner ends when it has run as many jobs as the setting says."""
    bench = Bench(tmp_path, runner_jobs=2)

    pids = [bench.over(bench.claim("Pid")).result for _ in range(5)]

    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]
    bench.close()


def test_a_traceback_of_code_that_has_changed_says_so(bench: Bench) -> None:
    """Python quotes lines as they stand in the file now: they are not what ran."""
    first = bench.over(bench.claim("Fail"))
    assert first.traceback is not None and first.traceback.startswith("Traceback")

    file = bench.folder / "jobs" / "kinds.py"
    file.write_text("# one line more\n" + file.read_text())
    os.utime(file, (time.time() + 60, time.time() + 60))
    second = bench.over(bench.claim("Fail"))

    assert second.traceback is not None
    note, _, rest = second.traceback.partition("\n\n")
    assert note.startswith("jobs/kinds.py changed after this worker had loaded it: ")
    assert "`rush workers reload`" in note
    assert rest.startswith("Traceback")
    assert second.error == first.error


def test_a_long_job_is_told_as_begun_before_it_is_over(bench: Bench) -> None:
    """What has run for a while is marked, once."""
    gate = bench.folder / "gate"
    long = bench.claim("Wait", **{"for": str(gate)})
    bench.until(lambda: long in bench.begun)
    gate.touch()
    bench.over(long)

    assert bench.begun.count(long) == 1


def test_what_its_runner_has_not_taken_has_not_begun(bench: Bench) -> None:
    """However long it takes: it is taken for begun when it has been, and can be given back until then."""
    bench.over(bench.claim("Noop"))
    (runner,) = bench.supervisor._runners
    os.kill(runner.pid, signal.SIGSTOP)
    wait_for(lambda: is_stopped(runner.pid), what="the runner to stop")
    marks = bench.folder / "marks"
    waiting = bench.claim("Mark", marks=str(marks), **{"for": str(marks)})

    for _ in range(5):
        bench.supervisor.wait(2 * MARK_AFTER)
        bench._listen()
    bench.supervisor.stop_running(now=True)
    assert runner.current is None
    assert waiting not in bench.begun

    bench.supervisor.drain()
    bench._listen()
    assert bench.given_back == [waiting]
    os.kill(runner.pid, signal.SIGCONT)
    bench.supervisor._stopping = False
    bench.over(bench.claim("Noop"))
    assert not marks.exists()


def test_what_has_just_been_begun_is_not_given_back(bench: Bench) -> None:
    """No message tells that it was begun: that its runner has taken it does."""
    bench.over(bench.claim("Noop"))
    gate, marks = bench.folder / "gate", bench.folder / "marks"
    begun = bench.claim("Mark", marks=str(marks), **{"for": str(gate)})
    wait_for(marks.exists, what="the job to begin")
    assert bench.supervisor._held[begun].began is None

    bench.supervisor.drain()
    bench._listen()
    assert bench.given_back == []
    gate.touch()

    assert bench.over(begun).state == "Complete"
    assert marks.read_text() == "x"


def test_what_has_just_been_begun_ends_with_its_worker(bench: Bench) -> None:
    """A worker that stops at once ends it, though nobody has noted yet that it runs."""
    bench.over(bench.claim("Noop"))
    gate, marks = bench.folder / "gate", bench.folder / "marks"
    begun = bench.claim("Mark", marks=str(marks), **{"for": str(gate)})
    wait_for(marks.exists, what="the job to begin")

    bench.supervisor.drain()
    bench.supervisor.stop_running(now=True)

    bench.until(lambda: bench.given_back == [begun])
    assert begun not in bench.outcomes


def test_what_has_just_been_begun_is_killed_when_it_is_let_go(bench: Bench) -> None:
    """A registration that is over has begun it a moment ago: it does not go on beside the next one."""
    bench.over(bench.claim("Noop"))
    gate, marks = bench.folder / "gate", bench.folder / "marks"
    bench.claim("Mark", marks=str(marks), **{"for": str(gate)})
    wait_for(marks.exists, what="the job to begin")
    (runner,) = bench.supervisor._runners

    bench.supervisor.let_go()

    bench.until(lambda: runner.killed)
    assert bench.over(bench.claim("Noop")).state == "Complete"
    assert marks.read_text() == "x"


def test_what_lay_behind_is_let_go_too(bench: Bench) -> None:
    """What a runner had ahead when its registration was over is begun by nobody here."""
    for _ in range(20):
        bench.over(bench.claim("Noop"))
    gate, marks = bench.folder / "gate", bench.folder / "marks"
    long = bench.claim("Wait", **{"for": str(gate)})
    bench.claim("Mark", marks=str(marks), **{"for": str(gate)})
    bench.until(lambda: bench.supervisor._runners[0].current == long)

    bench.supervisor.let_go()

    assert bench.over(bench.claim("Noop")).state == "Complete"
    assert not marks.exists()


def test_threads_that_ask_on_take_nothing_from_the_jobs_that_follow(bench: Bench) -> None:
    """Their job is over, and nobody answers: what comes on the wire finds whom it is for."""
    bench.over(bench.claim("Haunt"))
    first = bench.over(bench.claim("Pid"))

    for _ in range(50):
        assert bench.over(bench.claim("Pid")).result == first.result


def test_a_job_was_begun_when_its_runner_says(bench: Bench) -> None:
    """The outcome has the runner's own instants, which its supervisor had not asked for until then."""
    before = time.monotonic()
    over = bench.over(bench.claim("Later"))

    assert over.began is not None
    assert before < over.began < over.ended < time.monotonic()
    assert over.ended - over.began >= 0.01


def test_runners_are_told_ahead_what_may_come(two: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was looked up together is told together: nothing is told when such a job comes."""
    posted: list[str] = []
    post = RunnerProcess.post

    def noted(runner: RunnerProcess, messages: list[Any]) -> None:
        posted.extend(message[0] for message in messages)
        post(runner, messages)

    for kind in ("Noop", "Pid"):
        two.over(two.claim(kind))
    known = list(two.jobs.values())
    unknown = [replace(job, id=job.id + 100) for job in known]
    large = replace(known[0], id=300, params={"much": "x" * TOLD_AHEAD})
    monkeypatch.setattr(RunnerProcess, "post", noted)
    two.supervisor.take_in(
        Reply(request=Request(), answer=Answer(), learned=[*unknown, large, known[0]])
    )
    # Each of the two is told what it does not know; what takes too much room is not told ahead.
    assert posted == ["define", "define"] * 2

    posted.clear()
    two.jobs[3] = replace(unknown[1], id=102)
    token = next(two.tokens)
    two.supervisor.take_over([claim_of(token)._replace(job_id=102)], {102: two.jobs[3]})
    assert two.over(token).result is not None
    assert posted == ["job"]


def test_a_runner_that_is_roused_waits_on(bench: Bench) -> None:
    """What may come in a moment may not come: nothing is begun, and the next job is."""
    bench.over(bench.claim("Noop"))
    bench.supervisor.rouse()

    assert bench.over(bench.claim("Noop")).state == "Complete"
    assert len(bench.outcomes) == 2


def test_it_is_lent_to_nobody_while_it_is_in_use(bench: Bench) -> None:
    """One thread uses it at a time: another may while its own waits, and not before."""
    with bench.supervisor.borrowed() as mine:
        assert not mine

    waiting = threading.Thread(target=bench.supervisor.wait, args=(1.0,))
    waiting.start()
    token = next(bench.tokens)
    bench.jobs[token] = job_of(token, "Noop")
    lent = False
    while waiting.is_alive() and not lent:
        with bench.supervisor.borrowed() as lent:
            if lent:
                bench.hand(token)
    waiting.join()

    assert lent
    assert bench.over(token).state == "Complete"


def test_what_fails_where_it_is_lent_fails_it(bench: Bench) -> None:
    """Whoever borrows it may leave half of something: its own thread does not go on with that."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bench.supervisor.wait, 20)
        wait_for(lambda: not bench.supervisor._in_use.locked(), what="it to wait")

        with pytest.raises(MemoryError), bench.supervisor.borrowed() as lent:
            assert lent
            raise MemoryError
        # It wakes up.
        os.kill(bench.supervisor._runners[0].pid, signal.SIGKILL)

        assert isinstance(waiting.exception(timeout=20), MemoryError)


def test_results_larger_than_the_wire_takes_arrive(bench: Bench) -> None:
    """What cannot be sent at once is sent as the runner reads on, which waits for all of it."""
    token = bench.claim("Measure")
    asked: dict[int, int] = {}

    def is_asked() -> bool:
        asked.update(bench.supervisor.news().results_of)
        return bool(asked)

    wait_for(lambda: bench.supervisor.wait(0.05) or is_asked(), what="the question")
    bench.supervisor.take_in(
        Reply(request=Request(), answer=Answer(), results={token: {"a": "x" * 4_000_000}})
    )

    assert bench.over(token).result == "4000000"


def test_what_a_runner_has_said_before_it_died_is_heard(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that was complete is not failed by the end of the next one, though nothing can be sent any more."""
    for _ in range(40):
        bench.over(bench.claim("Noop"))
    gate = bench.folder / "gate"
    ended = bench.supervisor._ended

    def late(runner: RunnerProcess, *end: Any) -> None:
        if not gate.exists():
            gate.touch()
            wait_for(runner._process.has_ended, what="the runner to die")
        ended(runner, *end)

    monkeypatch.setattr(bench.supervisor, "_ended", late)
    bench.claim("Noop")
    complete = bench.claim("Wait", **{"for": str(gate)})
    last = bench.claim("Exit")
    # More than it takes ahead: when the first is over, another is sent.
    more = [bench.claim("Noop") for _ in range(300)]

    assert bench.over(complete).state == "Complete"
    assert bench.over(last).reason == "exited"
    bench.until(lambda: {*more} <= {*bench.outcomes, *bench.given_back})
    assert {bench.outcomes[token].state for token in {*more} & {*bench.outcomes}} <= {"Complete"}


def test_short_jobs_behind_a_long_one_go_to_others(bench: Bench) -> None:
    """What lies behind a job that turns out to be long is given back, begun by nobody here."""
    for _ in range(20):
        bench.over(bench.claim("Noop"))
    assert bench.supervisor.room() > 5
    runners = list(bench.supervisor._runners)
    gate = bench.folder / "gate"
    long = bench.claim("Wait", **{"for": str(gate)})
    marks = bench.folder / "marks"
    mark = {"marks": str(marks), "for": str(gate)}
    short = [bench.claim("Mark", **mark) for _ in range(5)]

    bench.until(lambda: set(bench.given_back) == set(short))
    gate.touch()
    bench.over(long)

    # What it had begun all the same would have left its mark before this was over.
    bench.over(bench.claim("Noop"))
    assert not set(short) & set(bench.outcomes)
    assert not marks.exists()
    # Nor was there anything to be killed for.
    assert bench.supervisor._runners == runners


def test_short_jobs_behind_a_long_one_go_to_the_runner_beside(two: Bench) -> None:
    """With another runner free they are run there, and not given back."""
    gate = two.folder / "gate"
    long = two.claim("Wait", **{"for": str(gate)})
    for _ in range(10):
        two.over(two.claim("Noop"))
    short = [two.claim("Noop") for _ in range(20)]

    two.until(lambda: all(token in two.outcomes for token in short))
    gate.touch()
    two.over(long)

    assert two.given_back == []


def test_no_new_jobs_are_wanted_behind_one_that_runs_for_long(two: Bench) -> None:
    """While a runner is in a job that takes its time, only the others are there for new ones."""
    for _ in range(40):
        two.over(two.claim("Noop"))
    both = two.supervisor.reach(deep=False)
    gate = two.folder / "gate"
    long = two.claim("Wait", **{"for": str(gate)})
    two.until(lambda: long in two.begun)

    assert two.supervisor.reach(deep=False) == both // 2 - 1
    assert two.supervisor.reach(deep=True) > two.supervisor.reach(deep=False)
    gate.touch()
    two.over(long)


def test_what_follows_is_kept_only_while_it_is_begun_soon(bench: Bench) -> None:
    """A worker that holds more than it begins soon leaves what follows to others."""
    for _ in range(40):
        bench.over(bench.claim("Noop"))
    room = bench.supervisor.room()
    gate = bench.folder / "gate"
    long = bench.claim("Wait", **{"for": str(gate)})
    bench.until(lambda: long in bench.begun)
    for _ in range(room):
        bench.claim("Noop")

    assert bench.supervisor.news().keep == 0
    gate.touch()
    bench.over(long)


def test_a_job_out_of_time_is_killed_and_the_next_runs(bench: Bench) -> None:
    """At its timeout a job gets SIGTERM, then SIGKILL; its outcome says so, and the next job runs."""
    late = bench.claim("Sleep", timeout=0.2)
    following = bench.claim("Noop")

    assert bench.over(late).reason == "timeout"
    assert "out of time: asked to end by SIGTERM" in bench.log
    bench.until(lambda: following in bench.outcomes or following in bench.given_back)


def test_a_job_that_is_deaf_to_sigterm_is_killed(bench: Bench) -> None:
    """A job in C code that ignores SIGTERM ends all the same, its grace after its timeout."""
    late = bench.claim("Deaf", timeout=0.2, pids=str(bench.folder / "pids"))

    assert bench.over(late).error == "killed at its timeout of 0.2 s"


def test_a_job_that_is_heard_of_twice_runs_once(bench: Bench) -> None:
    """Heard of in an answer and from the master beside it, a job is begun once."""
    gate = bench.folder / "gate"
    marks = bench.folder / "marks"
    token = bench.claim("Mark", **{"marks": str(marks), "for": str(gate)})
    bench.hand(token)
    gate.touch()
    bench.over(token)

    # What was begun a second time would be over before this.
    bench.over(bench.claim("Noop"))
    assert marks.read_text() == "x"


def test_what_is_held_no_more_is_killed_without_an_outcome(bench: Bench) -> None:
    """A job that the database says is others' is ended here, and nothing is told of it."""
    token = bench.claim("Sleep")
    bench.until(lambda: token in bench.begun)

    bench.hold([])
    bench.until(lambda: bench.supervisor.holding == 0)

    assert bench.outcomes == {}
    assert bench.over(bench.claim("Noop")).state == "Complete"


def test_what_was_not_asked_about_goes_on(bench: Bench) -> None:
    """An answer about tokens after one says nothing of those before it."""
    gate = bench.folder / "gate"
    old, new = bench.claim("Wait", **{"for": str(gate)}), bench.claim("Pid")
    bench.until(lambda: old in bench.begun)
    assert bench.supervisor.held_after < old < new

    bench.hold([], after=old)
    gate.touch()

    assert bench.over(old).state == "Complete"
    assert bench.supervisor.holding == 0
    assert new not in bench.outcomes


def test_a_cancelled_job_that_has_not_begun_never_does(bench: Bench) -> None:
    """Cancelled while it waits behind another: its outcome is Cancelled, with no beginning."""
    gate = bench.folder / "gate"
    first = bench.claim("Wait", **{"for": str(gate)})
    second = bench.claim("Pid")
    bench.supervisor.take_in(
        Reply(
            request=Request(),
            answer=Answer(),
            held=[claim_of(first), claim_of(second, cancelling=True)],
        )
    )
    gate.touch()
    bench.over(first)

    outcome = bench.over(second)
    assert (outcome.state, outcome.began) == ("Cancelled", None)


def test_draining_gives_back_what_has_not_begun(bench: Bench) -> None:
    """A worker that stops keeps what runs and gives back the rest."""
    gate = bench.folder / "gate"
    first = bench.claim("Wait", **{"for": str(gate)})
    bench.until(lambda: first in bench.begun)
    second = bench.claim("Noop")

    bench.supervisor.drain()
    bench.until(lambda: bench.given_back == [second])
    gate.touch()

    assert bench.over(first).state == "Complete"
    assert bench.supervisor.room() == 0


def test_a_runner_killed_from_outside_fails_its_job_only(bench: Bench) -> None:
    """The signal that ended it is told; what lay behind it runs in another runner."""
    token = bench.claim("Sleep")
    bench.until(lambda: token in bench.begun)
    following = bench.claim("Noop")
    runner = bench.supervisor._runners[0]
    os.kill(runner.pid, signal.SIGSEGV)

    outcome = bench.over(token)
    assert (outcome.reason, outcome.error) == (
        "killed",
        "the process ended (signal 11, SIGSEGV) before the job had returned",
    )
    bench.until(lambda: following in bench.outcomes or following in bench.given_back)
