"""
A run's log, page by page (`log_pages.sql`).

Pages are of whole parts, which stand in the order in which they were kept. A place between
two parts is a text that a reader gives back to go on from there, in either direction.

A part that was committed late may turn up before a place that was read already. So who goes
forward looks back a little: the place says from where on, and which parts after that are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from rush.domain.log_lines import LogLine, read_lines
from rush.errors import ConfigurationError
from rush.store.session import Session

#: How late a part may become visible, after the time that it says.
LATE = timedelta(seconds=2)
#: How many parts are read at first; then twice as many, until there are lines enough.
FIRST_PARTS = 32
MOST_PARTS = 1024
#: Before all parts.
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Place(NamedTuple):
    """Of one part: where it stands in the order."""

    at: datetime
    token: int
    part: int

    @classmethod
    def of(cls, row: Any) -> Place:
        return cls(row.at, row.token, row.part)

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // _MICROSECOND}-{self.token}-{self.part}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises ConfigurationError for what was never a place."""
        try:
            # A part may be -1: before the first one of its time.
            at, token, part = map(int, text.split("-", 2))
            return cls(_EPOCH + at * _MICROSECOND, token, part)
        except (ValueError, OverflowError):
            raise ConfigurationError("this is no place in a log: begin from its end") from None


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
    """The last lines, at least so many where there are."""
    page = page_before(session, log, None, limit=limit)
    parts = session.one("log_parts", **log.filters()).parts
    if not page.lines:
        return page
    return replace(page, total=len(page.lines) * max(parts, page.parts) // page.parts)


def page_before(session: Session, log: LogOf, place: str | None, *, limit: int) -> LogPage:
    """The lines before a place; before the end, where it is None."""
    before = None if place is None else Place.parse(place)
    rows: list[Any] = []
    size, lines, more = FIRST_PARTS, 0, True
    while more and lines < limit:
        here = Place.of(rows[-1]) if rows else before
        at, token, part = here or (None, None, None)
        some = session.many(
            "log_before", **log.filters(), at=at, token=token, part=part, limit=size
        )
        more = len(some) == size
        for row in some:
            rows.append(row)
            lines += row.lines.count("\n") + 1
            if lines >= limit:
                more = more or row is not some[-1]
                break
        size = min(2 * size, MOST_PARTS)
    rows.reverse()
    return _page(rows, before=more, after=place is not None)


def page_after(session: Session, log: LogOf, place: str, *, limit: int) -> LogPage:
    """The lines after a place, with those that have turned up a little before it since."""
    start, *known = [Place.parse(each) for each in place.split("~")]
    seen = {start, *known}
    rows: list[Any] = []
    here = start
    size, lines, more = FIRST_PARTS, 0, True
    while more and lines < limit:
        some = session.many(
            "log_after", **log.filters(), at=here.at, token=here.token, part=here.part, limit=size
        )
        more = len(some) == size
        for row in some:
            here = Place.of(row)
            if here in seen:
                continue
            rows.append(row)
            lines += row.lines.count("\n") + 1
            if lines >= limit:
                more = more or row is not some[-1]
                break
        size = min(2 * size, MOST_PARTS)
    if not rows:
        return LogPage(lines=[], first=None, last=place, before=True, after=False)
    return _page(rows, before=True, after=more, start=start, known=known)


def _page(
    rows: Sequence[Any],
    *,
    before: bool,
    after: bool,
    start: Place | None = None,
    known: Iterable[Place] = (),
) -> LogPage:
    """A page of these parts. Who goes on after it begins at `start`, or at its first part."""
    if not rows:
        return LogPage(lines=[], first=None, last=None, before=False, after=False)
    places = [Place.of(row) for row in rows]
    return LogPage(
        lines=_lines(rows),
        first=str(places[0]),
        last=_last(start or places[0], {*places, *known}),
        before=before,
        after=after,
        parts=len(rows),
    )


def _last(start: Place, known: set[Place]) -> str:
    """Where to go on from: a little before the last part that is known, and what is known since."""
    begin = max(start, Place(max(known).at - LATE, 0, -1))
    return "~".join(map(str, [begin, *sorted(place for place in known if place > begin)]))


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
