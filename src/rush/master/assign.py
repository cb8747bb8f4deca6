"""
Task: assign Ready jobs to workers with free slots.

Workers that are busy help themselves with every report; this is for those that rest.
"""

from __future__ import annotations

from rush.master.tasks import Round
from rush.store import runs


def assign(round: Round) -> None:
    for queues in runs.queue_sets(round.session):
        with round.transaction() as session:
            round.workers.update(runs.assign(session, queues))
