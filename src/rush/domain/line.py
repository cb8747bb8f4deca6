"""
Where to look for what is Ready.

The line is sorted by priority, then by turn. While somebody's old snapshot is open, a
backup's or a forgotten session's, no vacuum removes from the index what stood in line once:
a look from the front goes over all of it, and takes longer with every job that was done. So
a look that was slow teaches where the living begin, and those that follow leave out what lies
before, in that priority. What comes into this gap meanwhile, as a job of a run that began
earlier does, is seen when the next look goes over everything: after so long that slow looks
take up a tenth of the time at most. What is more urgent is always seen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

#: A look that takes so many seconds, in the database, is slow.
SLOW = 0.005
#: A slow look is followed by one at everything after so many times what it took.
SELDOM = 10.0

LOWEST, HIGHEST = -(2**31), 2**31 - 1
FIRST_TURN = -(2**63)

#: Parallel arrays: from one priority to another, what has this turn or a later one.
Bands = dict[str, str]

EVERYTHING: Bands = {
    "lows": f"{{{LOWEST}}}",
    "highs": f"{{{HIGHEST}}}",
    "turns": f"{{{FIRST_TURN}}}",
}


class Line:
    """What one of those who look at the line has learned about it. `now` is on the monotonic clock."""

    def __init__(self) -> None:
        #: By priority: the turn before which nothing was alive.
        self._gaps: dict[int, int] = {}
        self._whole_at = 0.0
        #: The last look has left something out.
        self.left_out = False

    def bands(self, now: float | None = None) -> Bands:
        """Where to look now, as parameters of the statements that do."""
        now = time.monotonic() if now is None else now
        if now >= self._whole_at:
            self._gaps.clear()
        self.left_out = bool(self._gaps)
        return _bands(self._gaps) if self._gaps else EVERYTHING

    def wait(self, now: float | None = None) -> float:
        """After how many seconds to look again, for what the last look has left out."""
        now = time.monotonic() if now is None else now
        return max(0.0, self._whole_at - now) if self.left_out else float("inf")

    def found(self, rows: Sequence[Any]) -> None:
        """The jobs that were taken from the front, with their places and how long the look took."""
        if rows and (rows[0].looked >= SLOW or self._gaps):
            first = min(rows, key=lambda row: (-row.priority, row.turn))
            self.looked(first.looked, priority=first.priority, turn=first.turn)

    def found_nothing(self, row: Any) -> None:
        """Nobody stands in line; the newest turn was this."""
        self.looked(row.looked, priority=0, turn=row.turn)

    def looked(self, seconds: float, *, priority: int, turn: int, now: float | None = None) -> None:
        """A look at these bands took so long, and nobody before this place was alive."""
        if seconds < SLOW and priority not in self._gaps:
            return
        if not self.left_out:
            now = time.monotonic() if now is None else now
            self._whole_at = max(self._whole_at, now + SELDOM * seconds)
        self._gaps[priority] = max(turn, self._gaps.get(priority, turn))


def _bands(gaps: dict[int, int]) -> Bands:
    bands: list[tuple[int, int, int]] = []
    high = HIGHEST
    for priority in sorted(gaps, reverse=True):
        bands += [(priority + 1, high, FIRST_TURN), (priority, priority, gaps[priority])]
        high = priority - 1
    bands.append((LOWEST, high, FIRST_TURN))
    lows, highs, turns = zip(*[band for band in bands if band[0] <= band[1]], strict=True)
    return {"lows": _array(lows), "highs": _array(highs), "turns": _array(turns)}


def _array(values: tuple[int, ...]) -> str:
    return "{" + ",".join(map(str, values)) + "}"
