"""
Task: fail what has taken too long, and what was with workers that have died.

A supervisor kills at the deadline and reports; this acts on deadline plus grace, for
supervisors that cannot. A worker is dead when its lease is over, or when its database
session has ended and has not come back within a short grace. Death is declared first,
which raises its generation; then what it held is inherited, in the same transaction. Sessions
that its jobs have open are ended: a frozen one would keep its locks.

The early sign is not believed of workers that vanish together, nor soon after the server
began: then it was the server, or the net, and only their leases tell.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rush.master.tasks import BATCH, Round
from rush.store import runs, workers
from rush.store.session import Session

log = logging.getLogger("rush.master")

#: A master that has not looked for workers for so many seconds could not.
GAP = 5.0
#: A database's clock that gains or loses more than this between two looks, in seconds, has jumped.
JUMP = 1.0


@dataclass(slots=True, kw_only=True)
class Timeouts:
    """Remembers, from round to round, whose session has been gone since when."""

    #: Between a deadline and the master's acting on it, in seconds: the supervisor's turn.
    grace: float
    poison_limit: int
    #: How long a session must be gone.
    gone_for: float = 1.0
    #: Nobody is judged this soon after the server began, nor leases this soon after the master did.
    outage_grace: float
    _gone: dict[tuple[str, int], float] = field(default_factory=dict[tuple[str, int], float])
    _since: float = field(default_factory=time.monotonic)
    _looked_at: float = field(default_factory=time.monotonic)
    #: How far the database's clock was ahead of the monotonic one: not less than, not more than.
    _offset: tuple[float, float] | None = None

    def fail_overdue(self, round: Round) -> None:
        with round.transaction() as session:
            failed = runs.fail_overdue(session, grace=self.grace, limit=BATCH)
        for job in failed:
            log.warning(
                "run %s %s#%s is overdue on %s", job.run_id, job.job, job.attempt, job.worker
            )
        round.more |= bool(failed)

    def bury(self, round: Round) -> None:
        """Declare dead who is, and inherit."""
        self._mind_the_gap()
        with round.transaction() as session:
            gone = self._believed_gone(session)
            names = self._declare_dead(session, gone)
            if names:
                workers.end_jobs(session, names)
            freed = runs.inherit(session, poison_limit=self.poison_limit, limit=BATCH)
        self._mind_the_gap()
        for name in names:
            log.warning("worker %s is dead", name)
        if freed:
            log.warning("jobs of workers that are gone, for others now: %s", len(freed))
        round.more |= bool(freed)

    def _mind_the_gap(self) -> None:
        """
        Who could not look for a while (a table was locked, the server was away) judges no leases
        for as long as after it began: nobody could renew them either.
        """
        now = time.monotonic()
        if now - self._looked_at > GAP:
            self._since = now
        self._looked_at = now

    def _mind_the_clock(self, session: Session) -> float:
        """
        A database whose clock has jumped says that leases are over which are not: they are not
        judged until all have had time to renew them. Returns how long the server says it is up.
        """
        asked = time.monotonic()
        alive = workers.workers_alive(session)
        now = time.monotonic()
        said = alive.now.timestamp()
        earliest, latest = said - now, said - asked
        if self._offset is not None:
            behind, ahead = self._offset
            if earliest > ahead + JUMP or latest < behind - JUMP:
                log.warning("the database's clock has jumped by %+.0f s", earliest - behind)
                self._since = now
        self._offset = (earliest, latest)
        return alive.server_up.total_seconds()

    def _believed_gone(self, session: Session) -> list[tuple[str, int]]:
        now = time.monotonic()
        gone = workers.sessions_gone(session)
        if len(gone) > 1:
            # Not believed for as long as they are gone.
            self._gone = dict.fromkeys(gone, math.inf)
        else:
            self._gone = {key: self._gone.get(key, now) for key in gone}
        return [key for key, since in self._gone.items() if now - since >= self.gone_for]

    def _declare_dead(self, session: Session, gone: Sequence[tuple[str, int]]) -> list[str]:
        up = self._mind_the_clock(session)
        # Less than nothing: the clock went back, and the server is older than it says.
        if 0 <= up < self.outage_grace:
            return []
        settled = time.monotonic() - self._since >= self.outage_grace
        return workers.declare_dead(session, gone, leases=settled)
