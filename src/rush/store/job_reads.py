"""What there is to see of a run beside its jobs' states (`job_reads.sql`)."""

from __future__ import annotations

from typing import Any

from rush.domain.params import merge, read_value
from rush.store.session import Session

#: So many results, and so many events, are read of a run.
MOST = 1000
#: How many of the newest requests are gone through for those about a run that nothing else finds.
WINDOW = 10_000


def params(session: Session, run_id: int, job: str) -> dict[str, Any]:
    """What a job is given, as things stand now."""
    row = session.one("job_params", run_id=run_id, job=job)
    if row is None:
        return {}
    return merge(row.definition, _read(row.tabled), row.run or {})


def defaults(session: Session, run_id: int) -> dict[str, Any]:
    """What all jobs of a run are given where the run says nothing else, as things stand now."""
    row = session.one("run_defaults", run_id=run_id)
    return {} if row is None else merge(row.definition or {}, _read(row.tabled))


def _read(tabled: dict[str, str | None] | None) -> dict[str, Any]:
    return {
        name: None if value is None else read_value(value) for name, value in (tabled or {}).items()
    }


def results(session: Session, run_id: int) -> list[Any]:
    """What the jobs of a run have returned: job, item, value."""
    return session.many("run_results", run_id=run_id, limit=MOST)


def events(session: Session, run_id: int) -> list[Any]:
    """What has happened to a run, the newest first: at, what, job, attempt, worker, state, said."""
    return session.many("run_events", run_id=run_id, limit=MOST, window=WINDOW)
