"""
Task: move Waiting jobs whose time has come to Ready, and keep what is paused from it.

The set of paused pipelines is remembered. When it changes, what is Ready or Waiting in
them is held, or let go; for a while after that again, for what was released by somebody
who had not seen the change.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from rush.master.tasks import BATCH, Round
from rush.store import runs


def wake(round: Round) -> None:
    with round.transaction() as session:
        woken = runs.wake_waiting(session, limit=BATCH)
    round.more |= woken == BATCH


#: No set of names: they hold no spaces at their ends.
UNKNOWN = " "


@dataclass(slots=True)
class Pauses:
    """What is paused, as far as this master has acted on it."""

    #: Somebody may not have seen a change for this long, in seconds.
    lag: float = 5.0
    _paused: str | None = UNKNOWN
    _until: float = 0.0

    def due(self, paused: str | None) -> bool:
        """Whether there is anything to do about this set of paused pipelines (names in order)."""
        now = time.monotonic()
        if paused == self._paused:
            return now < self._until
        first, self._paused = self._paused == UNKNOWN, paused
        # A master that begins looks once; nobody has changed anything just now.
        self._until = now if first else now + self.lag
        return True

    def apply(self, round: Round) -> None:
        with round.transaction() as session:
            held = runs.hold_paused(session, limit=BATCH)
            lifted = runs.lift_paused(session, limit=BATCH)
        if held or lifted:
            # There may be more than one batch of them.
            self._until = time.monotonic() + self.lag
            round.more = True
