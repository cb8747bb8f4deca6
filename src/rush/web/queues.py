"""The queues: what waits in each, for how long, and who takes jobs of it."""

from __future__ import annotations

from rush.client import Client
from rush.domain.rows import WorkerRow
from rush.domain.states import JobState
from rush.store import measures, overview
from rush.web.api.models import Queue


def queues(client: Client, workers: list[WorkerRow]) -> list[Queue]:
    """Those in which something is live, and those that somebody serves."""
    live = client.read(measures.jobs, most=overview.MOST)
    takers = [worker for worker in workers if worker.takes_jobs]
    names = {row.queue for row in live} | {name for taker in takers for name in taker.queues}
    return [
        Queue(
            name=name,
            jobs={JobState(row.state): row.jobs for row in live if row.queue == name},
            oldest=max(
                (row.oldest for row in live if (row.queue, row.state) == (name, JobState.Ready)),
                default=None,
            ),
            workers=[taker.name for taker in takers if name in taker.queues],
            slots=sum(taker.slots for taker in takers if name in taker.queues),
        )
        for name in sorted(names)
    ]
