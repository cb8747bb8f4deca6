"""The server itself: what of it cannot be relied on, and what it has room for (`server.sql`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rush.store.session import Session


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
