"""
Where to look for what there is to do.

While somebody's old snapshot is open, a backup's or a forgotten session's, no vacuum removes
from an index what was to be done once: a look goes over all of it, and takes longer with every
job that is over. So two slow looks at everything are followed by looks that leave out what lies
before the first that was found. What comes to lie there meanwhile is seen when everything is
looked at again: so seldom that slow looks take up a tenth of the time. Whoever has left
something out and found nothing looks again then, though nobody rings.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

#: A look that takes so many seconds, in the database, is slow.
SLOW = 0.005
#: A slow look is followed by one at everything after so many times what it took.
SELDOM = 10.0
#: And after so many seconds at the latest, whatever it took: a machine may have slept meanwhile.
SELDOMMEST = 60.0
#: So many ids may be committed before one that was drawn earlier, and it is seen at once all the same.
LATE = 1000

LOWEST, HIGHEST = -(2**31), 2**31 - 1
FIRST_TURN = -(2**63)


class Looks:
    """When to look at everything. Instants, `now`, are on the monotonic clock."""

    def __init__(self) -> None:
        self._whole_at = 0.0
        self._slow = False
        #: The last look has left something out.
        self.left_out = False

    def whole(self, now: float | None = None) -> bool:
        """Whether to look at everything now."""
        self.left_out = _now(now) < self._whole_at
        return not self.left_out

    def took(self, seconds: float, now: float | None = None) -> None:
        """How long the look took. The first slow one may have been held up by something else."""
        if self.left_out:
            return
        if seconds >= SLOW and self._slow:
            self._whole_at = _now(now) + min(SELDOM * seconds, SELDOMMEST)
        self._slow = seconds >= SLOW

    def look_at_all(self) -> None:
        """The next look is at everything."""
        self._whole_at = 0.0

    def wait(self, now: float | None = None) -> float:
        """After how many seconds to look again, for what the last look has left out."""
        return max(0.0, self._whole_at - _now(now)) if self.left_out else float("inf")


class Horizon(Looks):
    """What comes in the order of ids: up to where all is over."""

    def __init__(self) -> None:
        super().__init__()
        self._over = 0

    def after(self, now: float | None = None) -> int:
        """After which id to look now: a little early, since commits do not come in the order of ids."""
        return 0 if self.whole(now) else max(0, self._over - LATE)

    def looked(
        self, seconds: float, *, first: int | None, newest: int, now: float | None = None
    ) -> None:
        """That look took so long, and this was the first; without one, the newest of all is over."""
        self.took(seconds, now)
        self._over = max(self._over, newest if first is None else first - 1)


#: Parallel arrays: from one priority to another, what has this turn or a later one.
Bands = dict[str, str]

EVERYTHING: Bands = {
    "lows": f"{{{LOWEST}}}",
    "highs": f"{{{HIGHEST}}}",
    "turns": f"{{{FIRST_TURN}}}",
}


class Line(Looks):
    """
    What is Ready, sorted by priority, then by turn. In each priority there may be a gap before the
    living; what is more urgent is always seen.
    """

    def __init__(self) -> None:
        super().__init__()
        #: By priority: the turn before which nothing was alive.
        self._gaps: dict[int, int] = {}

    def bands(self, now: float | None = None) -> Bands:
        """Where to look now, as parameters of the statements that do."""
        if self.whole(now):
            self._gaps.clear()
            return EVERYTHING
        return _bands(self._gaps)

    def looked(
        self,
        seconds: float,
        *,
        first: Sequence[int] | None,
        newest: int,
        now: float | None = None,
    ) -> None:
        """
        That look took so long, and this was the first: its priority and turn. Without one there was
        nobody up to the newest turn.
        """
        self.took(seconds, now)
        if first is None:
            for each in {0, *self._gaps}:
                self._gaps[each] = max(newest, self._gaps.get(each, newest))
        else:
            priority, turn = first
            if seconds >= SLOW or priority in self._gaps:
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


def _now(now: float | None) -> float:
    return time.monotonic() if now is None else now
