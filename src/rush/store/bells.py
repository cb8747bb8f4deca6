"""
Waiting: for bells, and for the end of an outage.

A bell wakes; it carries nothing that polling would miss. So a waiter looks again and again,
by its own clock, and a bell only makes it look sooner. An outage is a time in which the
database does not answer: looking fails, the session is gone, and a new one must be opened.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias, TypeVar

import psycopg

from rush.domain.durations import format_duration
from rush.errors import DatabaseError
from rush.store.session import Session

T = TypeVar("T")

#: While no bell rings there is a look so often, in seconds: at first, and at last.
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0

#: How long an outage is sat out by who has no other limit, in seconds.
LONGEST_OUTAGE = 300.0


def rest(session: Session, seconds: float) -> None:
    """Wait until a bell rings, at most so many seconds. A session that ends rings too."""
    try:
        for _ in session.connection.notifies(timeout=seconds, stop_after=1):
            pass
    except psycopg.OperationalError:
        if not session.connection.closed:
            raise


def ping(session: Session) -> None:
    """Ask for nothing. Raises OperationalError where the session has ended."""
    session.connection.execute("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """The database is out of reach."""

    #: On this machine's clock: to be shown, nothing depends on it.
    since: datetime
    #: How long it has lasted so far.
    seconds: float
    #: What the last try came to.
    reason: str


#: Is told of an outage after each try that fails, and (None) of its end.
OnOutage: TypeAlias = Callable[[Outage | None], None]


def outlast(
    look: Callable[[], T],
    *,
    lost: Callable[[], bool],
    patience: float,
    on_outage: OnOutage | None = None,
) -> T:
    """
    What `look` gives, which is called again while it fails because the session is `lost`.

    Raises DatabaseError when that has gone on for `patience` seconds.
    """
    began, since = time.monotonic(), datetime.now(UTC)
    pauses = growing_pauses()
    tell = on_outage or _nobody
    told = False
    while True:
        try:
            seen = look()
        except DatabaseError as error:
            seconds = time.monotonic() - began
            if not lost() or patience <= 0:
                raise
            if seconds >= patience:
                raise DatabaseError(f"{error} (for {format_duration(seconds)} now)") from error
            tell(Outage(since=since, seconds=seconds, reason=str(error)))
            told = True
            time.sleep(min(next(pauses), patience - seconds))
        else:
            if told:
                tell(None)
            return seen


def _nobody(_: Outage | None) -> None:
    """Nobody is to be told."""


def growing_pauses(first: float = 0.05, longest: float = 2.0) -> Iterator[float]:
    """In seconds, each twice the last one, and each with some chance in it."""
    pause = first
    while True:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311 (spreads reconnections, hides nothing)
        pause = min(pause * 2, longest)


class Beats:
    """
    The steps of a wait, each of them worth a look: the first at once, then one whenever
    `rest` ends early, and after `longest` seconds without that. The last comes when
    `timeout` seconds are over.
    """

    def __init__(
        self,
        rest: Callable[[float], None],
        lost: Callable[[], bool],
        *,
        timeout: float | None = None,
        longest: float = LONGEST_PAUSE,
        on_outage: OnOutage | None = None,
    ) -> None:
        self._rest = rest
        self._lost = lost
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._longest = longest
        self._on_outage = on_outage

    def outlast(self, look: Callable[[], T]) -> T:
        """
        What `look` gives, when it takes an outage to its end to learn it.

        Raises DatabaseError when the time for waiting ends first; without such a time,
        when the outage has lasted for LONGEST_OUTAGE.
        """
        left = LONGEST_OUTAGE
        if self._deadline is not None:
            left = max(0.0, self._deadline - time.monotonic())
        return outlast(look, lost=self._lost, patience=left, on_outage=self._on_outage)

    def __iter__(self) -> Iterator[None]:
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            yield
            now = time.monotonic()
            if self._deadline is not None and now >= self._deadline:
                return
            # Who looks at something large does not look all the time.
            rest_for = max(pause, min(now - began, LONGEST_PAUSE))
            if self._deadline is not None:
                rest_for = min(rest_for, self._deadline - now)
            self._rest(rest_for)
            pause = min(pause * 2, self._longest)
