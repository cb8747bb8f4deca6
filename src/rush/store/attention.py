"""What somebody has to look at (`attention.sql`)."""

from __future__ import annotations

from typing import Any

from rush.store.session import Session

#: So many Stuck jobs are looked at, the newest.
MOST = 1000


def stuck_groups(session: Session) -> list[Any]:
    """
    What is Stuck, by pipeline, job and error, what came last first: how many `jobs`, from
    `first_at` to `last_at`, and some of the runs.
    """
    return session.many("stuck_groups", limit=MOST)


def pipelines_not_running(session: Session) -> list[Any]:
    """Pipelines that are paused, or (`error`) whose newest version cannot run."""
    return session.many("pipelines_not_running")


def pipeline_names(session: Session) -> list[str]:
    return [row.name for row in session.many("pipeline_names")]
