"""
Watching a run until it rests.

On a terminal it is a picture that is drawn anew in its place; elsewhere a line for each
thing that becomes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group
from rich.live import Live
from rich.text import Text

from rush.cli.output import GREY, LOOKS, Output
from rush.cli.view import look_at, picture
from rush.client import Client, Run
from rush.domain.durations import format_duration
from rush.domain.states import JobState
from rush.errors import GaveUpWaiting
from rush.logs import escape_controls
from rush.store import run_reads
from rush.store.run_reads import AttemptRow, JobRow

#: How often to look again, at the least, in seconds.
OFTEN = 0.25

NO_WORKER = "no worker is alive: start one by `rush worker`"


def watch(client: Client, run: Run, out: Output, *, timeout: float | None, silent: bool) -> None:
    """
    Show a run until it rests; with `silent` only wait for that.

    Raises RefusedError with the master's reason, GaveUpWaiting when `timeout` seconds are over.
    """
    if out.console.is_terminal and not silent:
        over = _draw(client, run, out, timeout)
    else:
        over = _tell(client, run, out, timeout, silent=silent)
    if not over:
        after = format_duration(timeout or 0)
        raise GaveUpWaiting(f"{run.name} is still {run.state} after {after}; it goes on")


def _draw(client: Client, run: Run, out: Output, timeout: float | None) -> bool:
    with (
        Live(console=out.console, auto_refresh=False) as live,
        client.beats(timeout, longest=OFTEN) as beats,
    ):
        for _ in beats:
            over = run.is_over()
            live.update(_drawn(client, run, out), refresh=True)
            if over:
                return True
    return False


def _drawn(client: Client, run: Run, out: Output) -> Group:
    if run.id is None:
        drawn = Group(Text(f"request {run.request_id} is Pending", GREY))
    else:
        drawn = picture(look_at(client, run.id), out, height=out.console.height)
    if not run.state.terminal and not somebody_works(client):
        drawn = Group(drawn, Text(NO_WORKER, LOOKS["Failed"].colour))
    return drawn


def _tell(client: Client, run: Run, out: Output, timeout: float | None, *, silent: bool) -> bool:
    teller = Teller(out)
    warned = False
    with client.beats(timeout, longest=OFTEN) as beats:
        for _ in beats:
            over = run.is_over()
            if run.id is not None and not silent:
                attempts = client.read(run_reads.attempts, run.id)
                for line in teller.news(attempts, run.jobs()):
                    out.say(line)
            if over:
                return True
            if not warned and not somebody_works(client):
                out.note(NO_WORKER)
                warned = True
    return False


def somebody_works(client: Client) -> bool:
    return any(worker.takes_jobs for worker in client.workers())


class Teller:
    """Tells each thing that becomes of a run's jobs once."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._told: set[tuple[object, ...]] = set()

    def news(self, attempts: Iterable[AttemptRow], jobs: Iterable[JobRow]) -> Iterator[Text]:
        for attempt in attempts:
            if self._is_news(attempt.job, attempt.round, attempt.attempt, attempt.state):
                yield self._line(attempt.state, _of_attempt(attempt))
        for job in jobs:
            told = _of_rest(job)
            if told and job.state and self._is_news(job.name, job.attempt, job.state, job.ready_at):
                yield self._line(job.state, told)

    def _is_news(self, *thing: object) -> bool:
        if thing in self._told:
            return False
        self._told.add(thing)
        return True

    def _line(self, state: JobState, text: str) -> Text:
        look = LOOKS[state]
        return Text.assemble((self._out.shape(look), look.colour), f" {escape_controls(text)}")


def _of_attempt(attempt: AttemptRow) -> str:
    if attempt.started_at is None or attempt.seconds is None:
        return f"{attempt.job} {attempt.state}"
    what = f"{attempt.job}#{attempt.attempt} {attempt.state}"
    if attempt.state is JobState.Running:
        return f"{what} on {attempt.worker}"
    after = f"{what} after {format_duration(attempt.seconds)}"
    return f"{after}: {attempt.error}" if attempt.error else after


def _of_rest(job: JobRow) -> str | None:
    """What is to be told of a job while no attempt of it runs."""
    match job.state:
        case JobState.Waiting if job.paused:
            return f"{job.name} waits: its pipeline is paused"
        case JobState.Waiting if job.attempt and job.ready_at:
            return f"{job.name} waits for its retry at {job.ready_at:%H:%M:%S} UTC"
        case JobState.Stuck:
            return f"{job.name} is Stuck after attempt {job.attempt}: {job.error}"
        case _:
            return None
