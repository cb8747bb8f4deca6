"""
Task: retry failed jobs, or call them Stuck.

A failed job waits for its retry gap while retries remain. When they are used up it is
Stuck: a person decides. When nothing else of its run can go on, so is the run, and an
alert is due.
"""

from __future__ import annotations

import logging

from rush.master.tasks import BATCH, Round
from rush.store import runs

log = logging.getLogger("rush.master")


def retry(round: Round, *, poison_limit: int) -> None:
    with round.transaction() as session:
        moved = runs.retry_failed(session, poison_limit=poison_limit, limit=BATCH)
    for job in moved:
        if job.state == "Stuck":
            log.warning("run %s %s is Stuck; attempts: %s", job.run_id, job.job, job.attempt)
    round.watchers |= any(job.state == "Stuck" for job in moved)
    round.more |= bool(moved)
