"""How a run is shown: a line for each job, in an order in which they can run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text

from rush.cli.output import GREY, LOOKS, Cell, Column, Output
from rush.client import Client
from rush.domain.durations import format_duration
from rush.domain.states import JobState, RunState
from rush.errors import NotFoundError
from rush.logs import escape_controls
from rush.store import run_reads
from rush.store.run_reads import JobRow, RunRow
from rush.store.session import Session

COLUMNS = (
    "State",
    "Job",
    Column("Attempt", right=True),
    Column("Time", right=True),
    "Progress",
    Column("", wraps=True),
)

BAR_WIDTH = 12

#: What a long run's view leaves out first, where not all of its jobs fit.
QUIET = (JobState.Complete, JobState.Skipped, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run and its jobs, of one instant."""

    run: RunRow
    jobs: tuple[JobRow, ...]


def look_at(client: Client, run_id: int) -> RunView:
    """Raises NotFoundError when there is no such run."""

    def look(session: Session) -> RunView | None:
        row = run_reads.run(session, run_id)
        return row and RunView(run=row, jobs=tuple(run_reads.jobs(session, run_id)))

    view = client.read_at_once(look)
    if view is None:
        raise NotFoundError(f"there is no run {run_id}")
    return view


def heading(view: RunView, out: Output) -> Text:
    """`◐ Running etl/7 (run 12), version 3, 12 s`."""
    run = view.run
    state = "being cancelled" if run.cancelling else run.state
    version = "" if run.version is None else f", version {run.version}"
    return Text.assemble(
        out.state(state), (f" {run.name}", "bold"),
        f" (run {run.id}){version}, {format_duration(run.seconds)}",
    )  # fmt: skip


def picture(view: RunView, out: Output, *, height: int | None = None) -> Group:
    """The whole run; with a `height`, in so many lines at most."""
    rows, left_out = fitting(view.jobs, None if height is None else max(3, height - 5))
    parts: list[Text | Table] = [heading(view, out), Text()]
    parts.append(out.laid_out(COLUMNS, [cells(job, view.run, out) for job in rows]))
    if left_out:
        parts.append(Text(f"and {counted(left_out)}", style="dim"))
    return Group(*parts)


def fitting(jobs: Sequence[JobRow], limit: int | None) -> tuple[Sequence[JobRow], Sequence[JobRow]]:
    """What to show in so many lines and what to leave out: first what is over or not begun."""
    if limit is None or len(jobs) <= limit:
        return jobs, ()
    ranked = sorted(jobs, key=lambda job: job.state in QUIET)
    chosen = {job.name for job in ranked[:limit]}
    shown = [job for job in jobs if job.name in chosen]
    return shown, [job for job in jobs if job.name not in chosen]


def counted(jobs: Iterable[JobRow]) -> str:
    """`12 Complete, 3 not yet begun`."""
    counts = Counter(job.state or "not yet begun" for job in jobs)
    return ", ".join(f"{count:,} {state}" for state, count in counts.items())


def cells(job: JobRow, run: RunRow, out: Output) -> list[Cell]:
    return [
        _state(job, run, out),
        job.name,
        job.attempt or None,
        None if job.seconds is None else format_duration(job.seconds),
        progress(job, out),
        Text(escape_controls(remark(job, run)), style="dim", no_wrap=True, overflow="ellipsis"),
    ]


def _state(job: JobRow, run: RunRow, out: Output) -> Cell:
    if job.state is not None:
        return out.state(job.state)
    return Text(out.either("· not yet", "  not yet"), GREY) if goes_on(run) else None


def goes_on(run: RunRow) -> bool:
    """Whether what has not begun may still begin."""
    return run.state in (RunState.Running, RunState.Stuck)


def progress(job: JobRow, out: Output) -> Cell:
    """A bar where it is known how much there is, else what is done of it."""
    if job.done is None:
        return ""
    if not job.total:
        return f"{job.done:g}"
    share = min(1.0, max(0.0, job.done / job.total))
    full = round(share * BAR_WIDTH)
    return Text.assemble(
        (out.either("━", "#") * full, LOOKS["Running"].colour),
        (out.either("─", "-") * (BAR_WIDTH - full), GREY),
        f" {job.done:g}/{job.total:g}",
    )


def remark(job: JobRow, run: RunRow) -> str:
    """What more there is to know of a job, in a few words."""
    match job.state:
        case None:
            return f"after {listed(job.waits_for)}" if job.waits_for and goes_on(run) else ""
        case JobState.Running | JobState.Complete:
            return f"on {job.worker}" if job.worker else ""
        case JobState.Ready:
            return f"handed to {job.worker}" if job.worker else ""
        case JobState.Waiting if job.paused:
            return "its pipeline is paused"
        case JobState.Waiting if job.ready_at and job.ready_at > run.now:
            soon = f"again in {format_duration((job.ready_at - run.now).total_seconds())}"
            return f"{soon}: {job.error}" if job.error else soon
        case JobState.Skipped:
            return ""
        case _:
            return job.error or ""


def listed(names: Sequence[str], limit: int = 5) -> str:
    """`a, b and c`; of many, the first few."""
    if len(names) > limit:
        return f"{', '.join(names[:limit])} and {len(names) - limit:,} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
