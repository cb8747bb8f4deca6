"""All that there is to say of one job of a run: for the drawer beside it, and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rush.domain.reasons import Reason, Situation, why_job
from rush.domain.redaction import redacted
from rush.domain.rows import AttemptRow, JobRow
from rush.domain.states import JobState
from rush.errors import NotFoundError
from rush.store import job_reads, run_reads
from rush.store.session import Session
from rush.web.files import files_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One job."""

    job: JobRow
    attempts: tuple[AttemptRow, ...]
    #: The one that is looked at; none where nothing has been tried.
    attempt: AttemptRow | None
    reason: Reason
    params: dict[str, Any]
    result: Any
    has_result: bool
    #: Files that the result names.
    files: list[str]
    followers: tuple[str, ...]


def panel_of(
    session: Session, situation: Situation, name: str, attempt: int | None, folder: Path | None
) -> Panel:
    """Raises NotFoundError for a job that the run does not have. To be read in a snapshot."""
    job = next((each for each in situation.jobs if each.name == name), None)
    if job is None:
        raise NotFoundError(f"{situation.run.name} has no job {name}")
    attempts = tuple(run_reads.attempts(session, situation.run.id, job=name))
    chosen = next((each for each in attempts if each.attempt == attempt), None)
    result = run_reads.result(session, situation.run.id, name)
    return Panel(
        job=job,
        attempts=attempts,
        attempt=chosen or (attempts[-1] if attempts else None),
        reason=why_job(job, situation),
        params=redacted(job_reads.params(session, situation.run.id, name)),
        result=None if result is None else redacted(result[0]),
        has_result=result is not None and job.state is JobState.Complete,
        files=[] if result is None else files_in(folder, result[0]),
        followers=tuple(each.name for each in situation.jobs if name in each.predecessors),
    )
