"""
`rush demo`: a real pipeline on real data, from an empty folder to a report.

The demo has a folder, a PostgreSQL and a worker of its own. Whatever ends it, an error
and Ctrl-C included, ends the worker in good order and then stops the server.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import IO, Annotated

from cyclopts import App, Parameter
from rich.text import Text

from rush.cli.context import COMMON_OPTIONS, EMBEDDED_FOLDER, CommonOptions
from rush.cli.engine import INTERRUPTED
from rush.cli.leftovers import DemoLock, WorkerLock, the_only_demo
from rush.cli.output import LOOKS, Output
from rush.cli.pipelines import apply_file
from rush.cli.run import tell_end
from rush.cli.view import look_at
from rush.cli.watching import watch
from rush.client import Client, Run
from rush.config import LoadedSettings, load_settings
from rush.demo import DEFINITION, is_laid_down, lay_down
from rush.domain.deeds import this_user
from rush.domain.durations import format_duration
from rush.domain.states import JobState, RunState
from rush.errors import ConfigurationError, GaveUpWaiting, RushError
from rush.store import run_reads
from rush.store.embedded import Embedded, bundled_binaries
from rush.store.migrate import migrate

app = App(name="demo")

PIPELINE = "flights"
#: The job that fails once.
FAILING = "check_feed"
#: Where the demo goes when this folder has something else in it.
ELSEWHERE = Path("rush-demo")
#: Seconds until the worker is in its table, at the most.
WORKER_START = 60.0

DATABASE_VARIABLES = ("RUSH_DATABASE_URL", "DATABASE_URL")


@app.default
def demo(
    folder: Annotated[Path | None, Parameter(name="FOLDER")] = None,
    /,
    *,
    full: Annotated[bool, Parameter(negative=())] = False,
    keep: Annotated[bool, Parameter(negative=())] = False,
    options: CommonOptions = COMMON_OPTIONS,
) -> int:
    """See a real pipeline run on real data, from an empty folder to a report.

    It lays down a project, starts a PostgreSQL and a worker for it, and shows a run of ten
    jobs on all flights that left New York in January 2013. One job fails at first, so that
    you see it tried again. At the end worker and server are stopped. Once more in the same
    folder is another run; one that was interrupted or killed is gone on with, and what it has
    left running is ended.

    For example:
      mkdir try-rush && cd try-rush && rush demo
      rush demo /tmp/flights --keep

    Parameters
    ----------
    folder
        Where; made if it is missing (default: this folder if it is empty, else rush-demo in it).
    full
        Take the flights of the whole year, which come with a checkout of Rush.
    keep
        Leave PostgreSQL running at the end.
    """
    out = options.output()
    bundled_binaries()  # raises, before anything is made
    folder = chosen_folder(folder, out)
    lay_down(folder, full=full)
    set_database_aside(out)
    loaded = load_settings(folder, flags={}, environ=os.environ)
    with signals_as_interrupts(), the_only_demo(loaded.project / EMBEDDED_FOLDER) as lock:
        stage = Stage(loaded=loaded, out=out, full=full, keep=keep, lock=lock)
        try:
            return perform(stage)
        except KeyboardInterrupt:
            out.note(f"interrupted; `rush demo` in {named(stage.folder)} goes on with it")
            return INTERRUPTED


class Stage:
    """Where the demo is given, and to whom: its project, its server, its output."""

    def __init__(
        self, *, loaded: LoadedSettings, out: Output, full: bool, keep: bool, lock: DemoLock
    ) -> None:
        self.loaded = loaded
        self.out = out
        #: Whether it has the whole year.
        self.full = full
        self.folder = loaded.project
        self.embedded = Embedded(self.folder / EMBEDDED_FOLDER)
        #: Whether PostgreSQL stays up. What was up before does, unless a demo has left it.
        self.keep = keep or (self.embedded.running() and not lock.server_was_left)
        lock.note_server(to_be_stopped=not self.keep)
        self.worker_lock = WorkerLock(self.folder / EMBEDDED_FOLDER)

    @property
    def slots(self) -> int:
        """Two at least: branches are to be seen side by side."""
        return self.loaded.settings.slots or max(2, os.cpu_count() or 1)


def perform(stage: Stage) -> int:
    """The demo, in a folder that is laid down. The exit code."""
    with (
        server(stage) as url,
        Client(
            url, stage.loaded.settings.schema, name="rush demo", doer=this_user("command")
        ) as client,
        worker(stage) as child,
    ):
        apply_file(client, stage.folder / DEFINITION, name=PIPELINE)
        wait_until_at_work(client, child)
        run = begin(client, stage.out)
        with raising_when_it_ends(child):
            watch(client, run, stage.out, timeout=None, silent=False)
        assert run.id is not None
        code = tell_end(look_at(client, run.id), stage.out, json=False)
        if code:
            for command, _ in how_to_begin(stage):
                stage.out.help(f"before that: {command}")
        else:
            tell_retry(client, run, stage.out)
            tell_findings(run, stage)
            tell_what_is_next(run, stage)
        return code


# The folder -----------------------------------------------------------------------------


def chosen_folder(given: Path | None, out: Output) -> Path:
    """Raises ConfigurationError for a folder with something else in it."""
    folder = given or Path()
    if is_welcoming(folder):
        return folder
    if given is not None:
        raise ConfigurationError(f"{given} is not empty; choose another folder")
    if not is_welcoming(ELSEWHERE):
        raise ConfigurationError(
            f"neither this folder nor {ELSEWHERE} is empty: try `rush demo FOLDER` with a new one"
        )
    out.note(f"this folder is not empty: the demo goes into {ELSEWHERE}")
    return ELSEWHERE


def is_welcoming(folder: Path) -> bool:
    """Whether it is missing, empty, or holds the demo already."""
    if not folder.exists():
        return True
    try:
        return is_laid_down(folder) or not any(folder.iterdir())
    except OSError as error:
        raise ConfigurationError(f"{folder}: {error.strerror}") from None


def shown(path: Path) -> Path:
    """As it is said from here: what is not below this folder is said in full."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def named(folder: Path) -> str:
    return "this folder" if folder.samefile(Path.cwd()) else f"{shown(folder)}"


# The surroundings -----------------------------------------------------------------------


def set_database_aside(out: Output) -> None:
    """The tables of the demo must not meet those of somebody's database, nor its jobs other workers."""
    for name in DATABASE_VARIABLES:
        if os.environ.pop(name, None):
            out.note(
                f"{name} is left alone: the demo has a PostgreSQL of its own. "
                f"For the commands that it ends with: unset {name}"
            )


@contextmanager
def signals_as_interrupts() -> Generator[None]:
    """Who is asked to end, or loses the terminal, clears up as after Ctrl-C."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def server(stage: Stage) -> Generator[str]:
    """The URL of the project's PostgreSQL, with all migrations."""
    stage.out.note(f"starting PostgreSQL and a worker in {named(stage.folder)}")
    try:
        url = stage.embedded.start()
        migrate(url, stage.loaded.settings.schema)
        yield url
    finally:
        if not stage.keep:
            stage.embedded.stop()


@dataclass(frozen=True, slots=True)
class ChildWorker:
    """A worker that was started, what it says on its terminal, and where its log is."""

    process: subprocess.Popen[bytes]
    said: IO[bytes]
    log_folder: Path

    def raise_if_ended(self) -> None:
        """Raises RushError with its last words."""
        code = self.process.poll()
        if code is not None:
            self.said.seek(0)
            lines = self.said.read().decode(errors="replace").splitlines() or ["it said nothing"]
            raise RushError(
                f"the worker has ended with exit code {code}: {lines[-1]} "
                f"(its log is in {shown(self.log_folder)})"
            )


@contextmanager
def worker(stage: Stage) -> Generator[ChildWorker]:
    """A worker with its log in the project's log folder, ended in good order."""
    end_what_was_left(stage)
    with tempfile.TemporaryFile() as said:
        with stage.worker_lock.to_inherit() as lock:
            process = subprocess.Popen(
                [sys.executable, "-m", "rush.cli", "worker", "--slots", f"{stage.slots}"],
                cwd=stage.folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                # Ctrl-C is for the demo, which then ends the worker.
                start_new_session=True,
                pass_fds=[lock],
            )
            stage.worker_lock.note_pid(process.pid)
        try:
            yield ChildWorker(process, said, stage.loaded.log_folder)
        finally:
            end(process, stage)


def end_what_was_left(stage: Stage) -> None:
    """End the worker of a demo that was killed in this folder."""
    pid = stage.worker_lock.left()
    if pid is not None:
        settings = stage.loaded.settings
        stage.out.note(f"a demo was killed here, and has left its worker (pid {pid}): ending that")
        stage.worker_lock.end(pid, patience=settings.stop_grace + settings.kill_grace + 10)


def end(process: subprocess.Popen[bytes], stage: Stage) -> None:
    """What runs may finish, unless the user loses patience, or it takes longer than the settings say."""
    settings = stage.loaded.settings
    for patience in (settings.stop_grace + settings.kill_grace, settings.kill_grace):
        process.terminate()
        try:
            process.wait(patience + 10)
            return
        except subprocess.TimeoutExpired:
            continue
        except KeyboardInterrupt:
            stage.out.note("ending it now")
    process.kill()
    process.wait()


def wait_until_at_work(client: Client, child: ChildWorker) -> None:
    with client.beats(WORKER_START, longest=0.1) as beats:
        for _ in beats:
            child.raise_if_ended()
            if any(row.pid == child.process.pid and row.takes_jobs for row in client.workers()):
                return
    raise GaveUpWaiting(f"the worker has not begun to work within {WORKER_START:g} s")


# The run --------------------------------------------------------------------------------


def begin(client: Client, out: Output) -> Run:
    """A new run, or the one that was interrupted."""
    unfinished = client.runs(pipeline=PIPELINE, state=RunState.Running, limit=1)
    if not unfinished:
        return client.submit(PIPELINE)
    [row] = unfinished
    out.note(f"{row.name} was interrupted, and goes on where it was")
    return client.run(row.id)


@contextmanager
def raising_when_it_ends(child: ChildWorker) -> Generator[None]:
    """Who watches a run waits for ever when its only worker is gone."""

    def look(number: int, frame: FrameType | None) -> None:
        child.raise_if_ended()

    before = signal.signal(signal.SIGCHLD, look)
    try:
        child.raise_if_ended()
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


# What is said at the end ----------------------------------------------------------------


def tell_retry(client: Client, run: Run, out: Output) -> None:
    """Explain the failure that was seen."""
    assert run.id is not None
    attempts = client.read(run_reads.attempts, run.id, job=FAILING)
    for failed, again in pairwise(attempts):
        if failed.attempt == 1 and failed.finished_at and again.started_at:
            look = LOOKS[JobState.Failed]
            later = format_duration((again.started_at - failed.finished_at).total_seconds())
            out.say(
                Text.assemble(
                    (out.shape(look), look.colour),
                    f" {FAILING} failed at its first attempt, on purpose, and was tried again "
                    f"{later} later",
                )
            )


def tell_findings(run: Run, stage: Stage) -> None:
    result = run.result("report")
    report = stage.folder / result["report"]
    stage.out.say()
    for sentence in result["findings"]:
        stage.out.say(f"  {sentence}")
    stage.out.say()
    stage.out.say(f"The report, with pictures: {shown(report)}")
    stage.out.say(f"  {report.as_uri()}")


def tell_what_is_next(run: Run, stage: Stage) -> None:
    out = stage.out
    out.say()
    out.say("In the terminal:")
    lines = list(what_is_next(run.name, stage))
    width = max(len(command) for command, _ in lines)
    for command, purpose in lines:
        out.say(Text.assemble(f"  {command:{width}}  ", (purpose, "dim")))
    out.say()
    out.say(
        "PostgreSQL stays up until `rush db stop`"
        if stage.keep
        else "PostgreSQL is stopped; `rush db start` starts it, and it stays up until `rush db stop`"
    )
    out.say()
    out.say("Or all of it in a browser, the graph, the timeline, the logs and the report:")
    out.say(f"  {dashboard_command(stage.folder)}")
    out.say(
        f"It starts what it needs, and prints the address to open; {run.name} is there under Runs. "
        "Ctrl-C ends it."
    )


def what_is_next(run: str, stage: Stage) -> Iterator[tuple[str, str]]:
    yield from how_to_begin(stage)
    yield f"rush runs show {run}", "its jobs, and the attempt that failed"
    yield f"rush logs {run} {FAILING}", "what that job said, in both attempts"
    yield f"rush explain {run}", "why a job is not running, of any run"
    yield "rush db shell", "psql on the tables: TABLE flights.delays_by_carrier;"
    yield 'psql "$(rush db url)"', "the same with a psql of yours"
    yield "rush worker", "run jobs, and in another terminal:"
    if stage.full:
        yield "rush run flights -p month=7 --wait", "the same for July alone"
    else:
        yield "rush run flights --wait", "ask for another run, and watch it"
    yield "rush init ../mine", "a project of your own"


def how_to_begin(stage: Stage) -> Iterator[tuple[str, str]]:
    """What the commands that look at the demo need before they are typed."""
    yield from how_to_get_there(stage.folder)
    if not stage.keep:
        yield "rush db start", "the demo's PostgreSQL, which is stopped now"


def dashboard_command(folder: Path) -> str:
    """What serves the dashboard of a folder, typed here as it stands."""
    rush = "rush" if is_found() else shlex.quote(f"{shown(scripts() / 'rush')}")
    there = "" if folder.samefile(Path.cwd()) else f" --project {shlex.quote(str(shown(folder)))}"
    return f"{rush} dev{there}"


def scripts() -> Path:
    return Path(sysconfig.get_path("scripts"))


def is_found() -> bool:
    """Whether the shell finds this `rush` by its name."""
    first = shutil.which("rush")
    return first is not None and Path(first).parent.samefile(scripts())


def how_to_get_there(folder: Path) -> Iterator[tuple[str, str]]:
    """Where the commands are typed, and where the shell finds `rush`, unless both are so here."""
    if not is_found() and (scripts() / "activate").exists():
        yield f". {shown(scripts())}/activate", "so that `rush` is this one"
    if not folder.samefile(Path.cwd()):
        yield f"cd {shown(folder)}", "where the demo is"
