"""What is said of jobs in a few words, on a page and in a terminal alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rush.domain.durations import format_duration
from rush.domain.rows import JobRow, RunRow
from rush.domain.states import JobState


def remark(job: JobRow, run: RunRow) -> str:
    """What more there is to know of a job than its state."""
    match job.state:
        case None:
            return f"after {listed(job.waits_for)}" if job.waits_for and run.goes_on else ""
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


def counted(jobs: Iterable[JobRow]) -> str:
    """`12 Complete, 3 not yet begun`."""
    counts = Counter(job.state or "not yet begun" for job in jobs)
    return ", ".join(f"{count:,} {state}" for state, count in counts.items())


def listed(names: Sequence[str], limit: int = 5) -> str:
    """`a, b and c`; of many, the first few."""
    if len(names) > limit:
        return f"{', '.join(names[:limit])} and {len(names) - limit:,} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
