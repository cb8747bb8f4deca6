"""
Task: assign Ready jobs to workers with free slots.

Workers that are busy help themselves with every report; this is for those that rest.
"""

from __future__ import annotations

from rush.master.tasks import Round
from rush.store import runs


def assign(round: Round) -> None:
    queue_sets = round.queue_sets
    if queue_sets is None:
        queue_sets = runs.queue_sets(round.session)
    with round.sending() as session:
        handed = [runs.assign(session, each, line=round.line) for each in queue_sets]
    for some in handed:
        round.handed += some()
