"""
Task: make partitions ahead, and remove what is older than the retention setting says.

Attempts and logs go with their weekly partitions, once all in them is old enough; runs,
results and requests are deleted, some at a time. Without the setting nothing is removed. What
a later run has resolved is noted before that one may be forgotten.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from rush.master.tasks import Round
from rush.store import attention, history, runs, workers

log = logging.getLogger("rush.master")

#: How often to look, in seconds.
EVERY = 3600.0


@dataclass(slots=True)
class Retention:
    """When it was last looked after."""

    days: int | None
    _at: float = 0.0

    def due(self) -> bool:
        return time.monotonic() >= self._at

    def keep_up(self, round: Round) -> None:
        self._at = time.monotonic() + EVERY
        session = round.session
        now = runs.outlook(session).now
        try:
            for name in history.make_partitions(session, now=now):
                log.info("made partition %s", name)
            if self.days is not None:
                removed = history.drop_partitions(session, before=now - timedelta(days=self.days))
                for name in removed:
                    log.info("dropped partition %s", name)
        except psycopg.errors.LockNotAvailable:
            log.info("a partition is in use; trying again later")
            self._at = time.monotonic() + 60
        except psycopg.errors.InsufficientPrivilege as error:
            log.error("this role may not make partitions: %s", error)
        self._report_rest(round)
        with round.transaction():
            workers.forget_dead(session)
            attention.settle_resolved(session, limit=1000)
            if self.days is not None:
                before = now - timedelta(days=self.days)
                gone = history.forget_runs(session, before=before, limit=1000)
                gone += history.forget_requests(session, before=before, limit=1000)
                if gone:
                    # There may be more: go on, but let others have their turn.
                    self._at = time.monotonic() + 1.0

    def _report_rest(self, round: Round) -> None:
        rest = history.rest_used(round.session)
        if rest.archive or rest.log:
            log.error(
                "%s attempts and %s log parts lie in the rest partitions: no weekly partition was there for them",
                rest.archive,
                rest.log,
            )
