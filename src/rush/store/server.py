"""The server itself: what of it cannot be relied on, and what it has room for (`server.sql`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rush.store.session import Session

#: What a live job takes, with its entries in indexes, and how much more is too much.
ROW_BYTES = 1000
TIMES_TOO_LARGE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Traps:
    """What a crash of the server would lose, and what stands in everybody's way."""

    #: Parameters that are off.
    off: Sequence[str]
    #: Tables of Rush that a crash empties.
    unlogged: Sequence[str]
    #: Prepared transactions that nobody has ended: they keep their locks for ever.
    prepared: Sequence[str]

    def told(self) -> list[str]:
        """A sentence on each."""
        said: list[str] = []
        if self.off:
            said.append(
                f"{', '.join(self.off)} is off: a crash of the server can lose what was accepted"
            )
        if self.unlogged:
            said.append(f"{', '.join(self.unlogged)} is UNLOGGED: a crash of the server empties it")
        if self.prepared:
            said.append(
                f"prepared transactions keep their locks until they are ended: {', '.join(self.prepared)}"
            )
        return said


def traps(session: Session) -> Traps:
    row = session.one("traps", schema=session.schema)
    return Traps(off=row.off, unlogged=row.unlogged, prepared=row.prepared)


def clock(session: Session) -> float:
    """What it takes the time to be, in seconds since 1970."""
    return session.one("server_clock").now


def room(session: Session) -> tuple[int, int]:
    """How many more connections it takes, and how many in all."""
    row = session.one("room")
    return row.free, row.most


def old_transactions(session: Session, *, over: float) -> list[tuple[int, str, float]]:
    """Transactions open for more seconds than this: process, who it says it is, seconds."""
    rows = session.many("old_transactions", seconds=over)
    return [(row.pid, row.name, row.seconds) for row in rows]


def mostly_air(session: Session, *, over: int) -> list[tuple[str, int]]:
    """Tables of what is live that take more bytes than this, and many times what their rows need."""
    rows = session.many("sizes_of_live", schema=session.schema)
    return [
        (row.name, row.bytes)
        for row in rows
        if row.bytes > max(over, TIMES_TOO_LARGE * ROW_BYTES * row.rows)
    ]
