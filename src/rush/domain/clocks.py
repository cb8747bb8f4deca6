"""Clocks that may be set, watched by one that never is."""

from __future__ import annotations

from dataclasses import dataclass

#: A clock that gains or loses more than this between two looks, in seconds, has jumped.
JUMP = 1.0


@dataclass(slots=True)
class ClockWatch:
    """Watches one clock. All is in seconds; `asked` and `heard` are monotonic."""

    #: How far it was ahead of the monotonic one: not less than, not more than.
    _offset: tuple[float, float] | None = None

    def jumped(self, said: float, *, asked: float, heard: float) -> float:
        """By how much it has jumped since the last look, where `said` is what it says now; 0: not at all."""
        earliest, latest = said - heard, said - asked
        before, self._offset = self._offset, (earliest, latest)
        if before is None:
            return 0.0
        behind, ahead = before
        if earliest > ahead + JUMP or latest < behind - JUMP:
            return earliest - behind
        return 0.0
