"""What somebody has to look at (`attention.sql`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rush.store.session import Session, array

#: So many Stuck jobs are looked at, the newest.
MOST = 1000
#: Of so many last runs it is said how long a pipeline takes, where so many of them are Complete.
LAST_RUNS = 100
LEAST = 10


def stuck_groups(session: Session) -> list[Any]:
    """
    What is Stuck and unresolved, by pipeline, job and error, what came last first: how many `jobs`, from
    `first_at` to `last_at`, and some of the runs.
    """
    return session.many("stuck_groups", limit=MOST)


def unresolved_runs(session: Session, *, limit: int) -> list[int]:
    """The newest runs of which something is Stuck that nobody has looked at."""
    return [row.run_id for row in session.many("unresolved_runs", limit=limit)]


def resolution(session: Session, run_id: int) -> Any:
    """
    Whether a run with something Stuck is `unresolved`; if not, `at`, `who` and `why` it was
    acknowledged, or which run it was `resolved_by`. None: nothing of it is Stuck.
    """
    return session.one("resolution", run_id=run_id)


def acknowledge(session: Session, run_ids: Sequence[int], *, who: str, why: str) -> list[int]:
    """Somebody has looked at what is Stuck of these runs. Returns those that were unresolved."""
    rows = session.many("acknowledge", ids=array(run_ids), who=who, why=why)
    return [row.run_id for row in rows]


def settle_resolved(session: Session, *, limit: int) -> int:
    """Keep for good which Stuck runs later ones have resolved. Returns how many those were."""
    return session.one("settle_resolved", limit=limit).count


def longer_than_usual(session: Session, run_ids: Sequence[int]) -> dict[int, float]:
    """
    Those of some runs that go on for longer than 95 of 100 of their pipeline took, and these seconds.
    """
    rows = session.many("longer_than_usual", ids=array(run_ids), runs=LAST_RUNS, least=LEAST)
    return {row.id: row.usual for row in rows}


def pipelines_not_running(session: Session) -> list[Any]:
    """Pipelines that are paused, or (`error`) whose newest version cannot run."""
    return session.many("pipelines_not_running")


def pipeline_names(session: Session) -> list[str]:
    return [row.name for row in session.many("pipeline_names")]
