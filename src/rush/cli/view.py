"""How a run is shown: a line for each job, in an order in which they can run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from rush.cli.output import GREY, LOOKS, Cell, Column, Output
from rush.domain.durations import format_duration
from rush.domain.phrases import counted, remark
from rush.domain.rows import JobRow, RunRow, RunView
from rush.domain.states import JobState
from rush.errors import NotFoundError
from rush.logs import escape_controls

if TYPE_CHECKING:
    from rush.client import Client

COLUMNS = (
    "State",
    "Job",
    Column("Attempt", right=True, spare=3),
    Column("Time", right=True, spare=2),
    Column("Progress", spare=1),
    Column("", wraps=True),
)

BAR_WIDTH = 12

#: What a long run's view leaves out first, where not all of its jobs fit.
QUIET = (JobState.Complete, JobState.Skipped, None)


def look_at(client: Client, run_id: int) -> RunView:
    """A run and its jobs. Raises NotFoundError when there is no such run."""
    from rush.store import run_reads

    view = client.read_at_once(run_reads.view, run_id)
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
    parts: list[RenderableType] = [heading(view, out), Text()]
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
    return Text(out.either("· not yet", "  not yet"), GREY) if run.goes_on else None


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
