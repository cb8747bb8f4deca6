"""
What Prometheus is told.

Gauges are read when they are asked for. Of runs that end, and of their attempts, this process
counts from its start on: each time it is asked it looks at the runs that are new since, and at
those that were not over the last time, and never at all of `archive`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rush.client import Client
from rush.domain.rows import WorkerRow
from rush.domain.states import WorkerState
from rush.store import measures
from rush.store.session import Session

#: In seconds.
BUCKETS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
#: So many runs are looked at in one go.
BATCH = 5000
#: What is live is counted so far.
MOST = 100_000


class Metrics:
    """The measures of one database. May be asked by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._registry = CollectorRegistry()
        self._runs = Counter(
            "rush_runs_ended",
            "Runs that have ended.",
            ["pipeline", "state"],
            registry=self._registry,
        )
        self._run_seconds = Histogram(
            "rush_run_seconds",
            "How long runs took.",
            ["pipeline"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._attempts = Counter(
            "rush_attempts_ended",
            "Attempts of runs that have ended.",
            ["pipeline", "state", "reason"],
            registry=self._registry,
        )
        self._attempt_seconds = Counter(
            "rush_attempt_seconds",
            "Seconds that attempts took, of runs that have ended.",
            ["pipeline"],
            registry=self._registry,
        )
        #: The last run that is known; and those that were not over, with their state.
        self._newest: int | None = None
        self._open: dict[int, str] = {}

    def text(self, client: Client) -> bytes:
        """All measures, as Prometheus reads them."""
        with self._lock:
            client.read(self._count_ended)
            now = CollectorRegistry()
            now.register(_Gauges(client))
            return generate_latest(now) + generate_latest(self._registry)

    def _count_ended(self, session: Session) -> None:
        if self._newest is None:
            self._newest = measures.newest_run(session)
            self._open = {
                row.id: row.state for row in measures.runs_not_over(session, until=self._newest)
            }
            return
        newest = self._newest
        while new := measures.runs_after(session, newest, limit=BATCH):
            self._newest = newest = new[-1].id
            self._open |= {row.id: "" for row in new}
        ids = list(self._open)
        for start in range(0, len(ids), BATCH):
            self._look_at(session, ids[start : start + BATCH])

    def _look_at(self, session: Session, ids: list[int]) -> None:
        ended: list[int] = []
        rows = measures.runs_by_id(session, ids)
        for gone in set(ids) - {row.id for row in rows}:
            del self._open[gone]
        for row in rows:
            before = self._open[row.id]
            self._open[row.id] = row.state
            if row.state in ("Running", before):
                continue
            self._runs.labels(row.pipeline, row.state).inc()
            self._run_seconds.labels(row.pipeline).observe(row.seconds)
            if row.state != "Stuck":
                # A Stuck run may go on; nothing follows after the other ends but a re-run.
                del self._open[row.id]
                ended.append(row.id)
        for row in measures.attempts_of(session, ended):
            self._attempts.labels(row.pipeline, row.state, row.reason).inc(row.attempts)
            self._attempt_seconds.labels(row.pipeline).inc(row.seconds)


class _Gauges(Collector):
    """How things stand now."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def collect(self) -> Iterable[Metric]:
        yield from self._jobs()
        yield from self._requests()
        yield from self._workers(self._client.workers())
        standing = self._client.standing()
        yield _gauge("rush_master_term", "The term of the master.", standing.term)
        yield _gauge("rush_master", "Whether there is a master.", standing.master is not None)
        yield _gauge("rush_paused", "Whether everything is paused.", standing.paused)

    def _jobs(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily(
            "rush_jobs",
            f"Jobs that are live, counted up to {MOST:,}: of those that are Ready in each queue, of "
            "each other state in all queues.",
            labels=["queue", "state"],
        )
        oldest = GaugeMetricFamily(
            "rush_oldest_job_seconds",
            "How long the oldest job of a queue has been ready or has waited; of those that are "
            "Ready, the oldest of the next hundred of each priority.",
            labels=["queue", "state"],
        )
        for row in self._client.read(measures.jobs, most=MOST):
            jobs.add_metric([row.queue, row.state], row.jobs)
            oldest.add_metric([row.queue, row.state], row.oldest)
        runs = GaugeMetricFamily(
            "rush_runs",
            f"Runs with live jobs: those of the first {MOST:,} live jobs of each state.",
            labels=["pipeline", "state"],
        )
        for row in self._client.read(measures.runs, most=MOST):
            runs.add_metric([row.pipeline, row.state], row.runs)
        yield from (jobs, oldest, runs)

    def _requests(self) -> Iterator[Metric]:
        rest = self._client.read(measures.rest, most=MOST)
        yield _gauge(
            "rush_requests_pending",
            f"Requests that nobody has taken, counted up to {MOST:,}.",
            rest.pending,
        )
        yield _gauge(
            "rush_oldest_request_seconds",
            "How long the oldest of them has waited.",
            rest.pending_oldest or 0,
        )
        yield CounterMetricFamily("rush_handed_out", "Jobs that were handed out.", rest.handed_out)
        yield CounterMetricFamily("rush_runs_begun", "Runs that were begun.", rest.runs)
        yield CounterMetricFamily("rush_requests", "Requests that were made.", rest.requests)
        yield CounterMetricFamily(
            "rush_stale_writes_refused",
            "Writes that were refused because others had moved on: outcomes of attempts that were "
            "overtaken, heartbeats of workers that had been declared dead, what masters of terms "
            "that were over still wrote. Told with heartbeats.",
            rest.stale_writes,
        )

    def _workers(self, workers: list[WorkerRow]) -> Iterator[Metric]:
        slots = GaugeMetricFamily("rush_slots", "Slots of live workers.", labels=["worker"])
        taken = GaugeMetricFamily("rush_slots_taken", "Slots that are taken.", labels=["worker"])
        lease = GaugeMetricFamily(
            "rush_lease_seconds", "How long a worker's lease lasts yet.", labels=["worker"]
        )
        seen = GaugeMetricFamily(
            "rush_last_seen_seconds", "How long ago a worker was heard of.", labels=["worker"]
        )
        states = dict.fromkeys((str(state) for state in WorkerState), 0) | {"Silent": 0}
        for row in workers:
            states["Silent" if row.expired and row.state != "Dead" else str(row.state)] += 1
            lease.add_metric([row.name], (row.lease_expires_at - row.now).total_seconds())
            seen.add_metric([row.name], (row.now - row.last_seen).total_seconds())
            if row.takes_jobs:
                slots.add_metric([row.name], row.slots)
                taken.add_metric([row.name], row.running)
        counts = GaugeMetricFamily("rush_workers", "Workers.", labels=["state"])
        for state, number in states.items():
            counts.add_metric([state], number)
        yield from (counts, slots, taken, lease, seen)


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, what, value)
