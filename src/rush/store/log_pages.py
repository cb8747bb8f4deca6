"""
A run's log, page by page (`log_pages.sql`).

Pages are of whole parts, which stand in the order of the times at which they were kept. A
reader gives back a text to go on from, in either direction: a place between two parts, and the
snapshot in which it was read. What was visible then is on one side of the place or the other;
what was not has not been read, wherever it stands. So a part that is committed late, however
late, is given to who goes forward, and once; and who goes back does not get it again.

This relies on two things. All of a page is read in one snapshot, which the caller takes. And
parts are kept by transactions, not by savepoints within them, which snapshots do not tell. After
a failover to a standby that has lost commits a snapshot may be of transactions that never were:
then what was committed late just before it may be missing until the log is opened anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple, Self

from rush.domain.log_lines import LogLine, read_lines
from rush.errors import ConfigurationError
from rush.store.session import Session

#: How many parts are read at first; then twice as many, until there are lines enough.
FIRST_PARTS = 32
MOST_PARTS = 1024
#: Before all parts.
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PLACE = re.compile(
    r"(?P<at>\d{1,17})-(?P<token>\d{1,18})-(?P<part>\d{1,9}|1\d{9}|20\d{8}|214748\d{4})"
    r"@(?P<seen>\d{1,18}:\d{1,18}:(\d{1,18}(,\d{1,18})*)?)",
    re.ASCII,
)


class Place(NamedTuple):
    """Of one part: where it stands in the order."""

    at: datetime
    token: int
    part: int

    @classmethod
    def of(cls, row: Any) -> Place:
        return cls(row.at, row.token, row.part)


class Cursor(NamedTuple):
    """What was read: in a snapshot, up to a place or from it on."""

    place: Place
    #: As PostgreSQL writes it.
    seen: str

    def __str__(self) -> str:
        at, token, part = self.place
        return f"{(at - _EPOCH) // _MICROSECOND}-{token}-{part}@{self.seen}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ConfigurationError for what was never one."""
        match = _PLACE.fullmatch(text)
        try:
            if match is None or not _is_snapshot(match["seen"]):
                raise ValueError
            at, token, part = map(int, match.group("at", "token", "part"))
            return cls(Place(_EPOCH + at * _MICROSECOND, token, part), match["seen"])
        except (ValueError, OverflowError):
            raise ConfigurationError("this is no place in a log: begin from its end") from None


def _is_snapshot(text: str) -> bool:
    """Whether PostgreSQL takes it: `low:high:` and what is between them, in order."""
    low, high, between = text.split(":")
    numbers = [int(low), *(int(each) for each in between.split(",") if each), int(high)]
    return numbers[0] > 0 and all(one <= next for one, next in pairwise(numbers))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Some lines in the order of time, and the places at both of their ends."""

    lines: list[LogLine]
    first: str | None
    last: str | None
    #: Whether there is more in each direction.
    before: bool
    after: bool
    #: How many parts these lines are of.
    parts: int = 0
    #: About how many lines there are, where that was asked for.
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOf:
    """Whose log: a run's, or that of one job of it, or of one attempt."""

    run_id: int
    job: str | None = None
    attempt: int | None = None

    def filters(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "job": self.job, "attempt": self.attempt}


def last_page(session: Session, log: LogOf, *, limit: int) -> LogPage:
    """The last lines, at least so many where there are. To be read in a snapshot."""
    page = page_before(session, log, None, limit=limit)
    parts = session.one("log_parts", **log.filters()).parts
    if not page.lines:
        return page
    return replace(page, total=len(page.lines) * max(parts, page.parts) // page.parts)


def page_before(session: Session, log: LogOf, place: str | None, *, limit: int) -> LogPage:
    """The lines before a place; before the end, where it is None. To be read in a snapshot."""
    start = None if place is None else Cursor.parse(place)
    rows: list[Any] = []
    size, lines, more = FIRST_PARTS, 0, True
    while more and lines < limit:
        here = Place.of(rows[-1]) if rows else start and start.place
        at, token, part = here or (None, None, None)
        seen = start and start.seen
        some = session.many(
            "log_before", **log.filters(), at=at, token=token, part=part, seen=seen, limit=size
        )
        rows, lines, more = _enough(rows, lines, some, size=size, limit=limit)
        size = min(2 * size, MOST_PARTS)
    rows.reverse()
    seen = start.seen if start else _now(session)
    return _page(rows, seen=seen, before=more, after=start is not None)


def page_after(session: Session, log: LogOf, place: str, *, limit: int) -> LogPage:
    """
    The lines after a place, with all of those before it that have turned up since. To be read
    in a snapshot.
    """
    start = Cursor.parse(place)
    at, token, part = start.place
    late = session.many("log_late", **log.filters(), at=at, token=token, part=part, seen=start.seen)
    rows: list[Any] = []
    size, lines, more = FIRST_PARTS, 0, True
    while more and lines < limit:
        at, token, part = Place.of(rows[-1]) if rows else start.place
        some = session.many("log_after", **log.filters(), at=at, token=token, part=part, limit=size)
        rows, lines, more = _enough(rows, lines, some, size=size, limit=limit)
        size = min(2 * size, MOST_PARTS)
    last = Cursor(Place.of(rows[-1]) if rows else start.place, _now(session))
    if not late and not rows:
        return LogPage(lines=[], first=None, last=str(last), before=True, after=False)
    page = _page([*late, *rows], seen=last.seen, before=True, after=more)
    return replace(page, last=str(last))


def _enough(
    rows: list[Any], lines: int, some: Sequence[Any], *, size: int, limit: int
) -> tuple[list[Any], int, bool]:
    """More rows, until there are lines enough; how many those are; whether there may be more rows."""
    taken = list(rows)
    for at, row in enumerate(some, 1):
        taken.append(row)
        lines += row.lines.count("\n") + 1
        if lines >= limit:
            return taken, lines, at < len(some) or len(some) == size
    return taken, lines, len(some) == size


def _now(session: Session) -> str:
    return session.one("log_snapshot").seen


def _page(rows: Sequence[Any], *, seen: str, before: bool, after: bool) -> LogPage:
    if not rows:
        return LogPage(lines=[], first=None, last=None, before=False, after=False)
    return LogPage(
        lines=_lines(rows),
        first=str(Cursor(Place.of(rows[0]), seen)),
        last=str(Cursor(Place.of(rows[-1]), seen)),
        before=before,
        after=after,
        parts=len(rows),
    )


def _lines(rows: Sequence[Any]) -> list[LogLine]:
    timed = [line for row in _once(rows) for line in _timed(row)]
    timed.sort(key=lambda each: each[0])
    return [line for _, line in timed]


def _once(rows: Iterable[Any]) -> Iterator[Any]:
    """A part is there twice when its worker did not hear that it was kept."""
    seen: set[tuple[int, int]] = set()
    for row in rows:
        if (row.token, row.part) not in seen:
            seen.add((row.token, row.part))
            yield row


def _timed(row: Any) -> Iterator[tuple[datetime, LogLine]]:
    """Each line with its place in time, which within a part never goes back."""
    latest = BEGINNING
    for said in read_lines(row.lines, otherwise=row.at):
        latest = max(said.at, latest)
        yield (
            latest,
            LogLine(
                at=said.at,
                job=row.job,
                round=row.round,
                attempt=row.attempt,
                level=said.level,
                text=said.text,
            ),
        )
