"""
Task: process completed jobs.

What workers could not go on with by themselves is released here: fan-in, fan-out, the
end of a run that is no plain chain. Cancelled runs are swept here too.
"""

from __future__ import annotations

import logging

from rush.master.tasks import BATCH, Round
from rush.store import runs

log = logging.getLogger("rush.master")


def release(round: Round) -> None:
    with round.transaction() as session:
        rested = runs.release_finished(
            session, limit=BATCH, after=round.finished_after, line=round.line
        )
    for run in rested:
        log.info("run %s is %s", run.id, run.state)
    round.watchers |= bool(rested)
    round.more = True


def sweep(round: Round) -> None:
    """Two transactions: a run is Cancelled only when a later statement finds nothing of it alive."""
    with round.transaction() as session:
        swept, holders = runs.sweep_cancelled(session, limit=BATCH)
    with round.transaction() as session:
        ended = runs.end_cancelled(session)
    for run in ended:
        log.info("run %s is Cancelled", run.id)
    round.workers.update(holders)
    round.watchers |= bool(ended)
    round.more |= bool(ended) or swept == BATCH
