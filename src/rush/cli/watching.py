"""
Watching a run until it rests.

On a terminal it is a picture that is drawn anew in its place; elsewhere a line for each
thing that becomes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.text import Text

from rush.cli.engine import NO_WORKER, OutageTeller, of_outage, somebody_works
from rush.cli.output import GREY, LOOKS, Output
from rush.cli.view import look_at, picture
from rush.domain.durations import format_duration
from rush.domain.rows import AttemptRow, JobRow
from rush.domain.states import JobState
from rush.errors import GaveUpWaiting
from rush.logs import escape_controls

if TYPE_CHECKING:
    from rush.client import Client, Run
    from rush.store.bells import Outage

#: How often to look again, at the least, in seconds.
OFTEN = 0.25


def watch(client: Client, run: Run, out: Output, *, timeout: float | None, silent: bool) -> None:
    """
    Show a run until it rests; with `silent` only wait for that. An outage of the database is
    said, and sat out.

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
    drawn = Group()

    def look() -> tuple[bool, Group]:
        return run.is_over(), _drawn(client, run, out)

    def say_outage(outage: Outage | None) -> None:
        if outage is not None:
            line = Text(
                of_outage(outage), LOOKS["Failed"].colour, no_wrap=True, overflow="ellipsis"
            )
            live.update(Group(drawn, line), refresh=True)

    with (
        Live(console=out.console, auto_refresh=False) as live,
        client.beats(timeout, longest=OFTEN, on_outage=say_outage) as beats,
    ):
        for _ in beats:
            over, drawn = beats.outlast(look)
            live.update(drawn, refresh=True)
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

    def look() -> tuple[bool, list[AttemptRow], list[JobRow], bool]:
        over = run.is_over()
        attempts, jobs = ([], []) if silent else (run.attempts(), run.jobs())
        return over, attempts, jobs, over or warned or somebody_works(client)

    with client.beats(timeout, longest=OFTEN, on_outage=OutageTeller(out)) as beats:
        for _ in beats:
            over, attempts, jobs, attended = beats.outlast(look)
            for line in teller.news(attempts, jobs, over=over):
                out.say(line)
            if over:
                return True
            if not attended:
                out.note(NO_WORKER)
                warned = True
    return False


class Teller:
    """Tells each thing that becomes of a run's jobs once."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._told: set[tuple[object, ...]] = set()

    def news(
        self, attempts: Iterable[AttemptRow], jobs: Iterable[JobRow], *, over: bool = False
    ) -> Iterator[Text]:
        """What has not been told yet. Of a run that is `over`, its end tells what is Stuck."""
        for attempt in attempts:
            if self._is_news(attempt.job, attempt.round, attempt.attempt, attempt.state):
                yield self._line(attempt.state, _of_attempt(attempt))
        for job in () if over else jobs:
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
            return f"{job.name} is Stuck: its retries are used up"
        case _:
            return None
