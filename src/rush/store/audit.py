"""
What was done, and by whom (`audit.sql`).

A deed is a row of `audit`. What was asked for without one, by SQL or by a program, is a run
request alone: both together are what there is to see.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, Self

from rush.errors import ConfigurationError
from rush.store.session import Session, array

#: What is done to runs, pipelines and workers. Others may be noted too.
ACTIONS = (
    "run", "retry", "cancel", "acknowledge", "pause", "resume", "apply", "drain", "reload",
)  # fmt: skip

#: How many of the newest requests are gone through for those that nobody has noted.
WINDOW = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeedRow:
    """Who did what, when, why, and what came of it."""

    id: int
    #: It is a run request that no deed has made.
    is_request: bool
    at: datetime
    who: str
    via: str
    action: str
    target: str
    detail: dict[str, Any] | None
    why: str
    #: `done`, or why not. None: nobody knows; or it is a request, which has a status.
    outcome: str | None
    #: How the requests stand that were made.
    pending: int
    accepted: int
    rejected: int
    #: Why one was rejected.
    reason: str | None

    @property
    def key(self) -> str:
        return f"{'request' if self.is_request else 'deed'}-{self.id}"

    @property
    def said(self) -> str:
        """What came of it, as far as is known by now."""
        if self.outcome not in (None, "done") or not (
            self.pending or self.accepted or self.rejected
        ):
            return self.outcome or "not known"
        if self.rejected:
            others = "other" if self.accepted == 1 else "others"
            rest = f" ({self.accepted:,} {others} accepted)" if self.accepted else ""
            return f"rejected: {self.reason}{rest}"
        return "not decided yet" if self.pending else "accepted"


class Place(NamedTuple):
    """Before which deed and which request what is older begins."""

    deed: int | None = None
    request: int | None = None

    def __str__(self) -> str:
        return f"{self.deed or ''}-{self.request or ''}"

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Raises ConfigurationError for what was never a place."""
        if not text:
            return cls()
        match = re.fullmatch(r"(\d{0,18})-(\d{0,18})", text, re.ASCII)
        if match is None:
            raise ConfigurationError("this is no place in the audit: begin with its newest row")
        deed, request = (int(digits) if digits else None for digits in match.groups())
        return cls(deed, request)


def begin_deed(
    session: Session,
    *,
    who: str,
    via: str,
    action: str,
    target: str,
    detail: Mapping[str, Any] | None,
    why: str,
) -> int:
    """Note what somebody is about to do. Returns the id under which its outcome is noted."""
    row = session.one(
        "begin_deed",
        who=who,
        via=via,
        action=action,
        target=target,
        detail=None if detail is None else json.dumps(detail, default=str),
        why=why,
    )
    return row.id


def end_deed(session: Session, deed: int, outcome: str, requests: Iterable[int] = ()) -> None:
    """Note what came of it, and which requests it has made."""
    session.run("end_deed", id=deed, outcome=outcome, requests=array(requests))


def withdraw_deed(session: Session, deed: int) -> None:
    """It was none: what was asked for could not be."""
    session.run("withdraw_deed", id=deed)


def deeds(
    session: Session,
    *,
    before: str | None = None,
    target: str | None = None,
    who: str | None = None,
    action: str | None = None,
    limit: int = 50,
) -> tuple[list[DeedRow], str | None]:
    """
    What was done and asked for, the newest first, and where what is older begins (None: there
    is nothing older). Raises ConfigurationError for a place that is none.
    """
    place = Place.parse(before)
    like = {"target": target, "who": who, "action": action, "limit": limit + 1}
    noted = session.many("deeds", before=place.deed, **like)
    plain = session.many("plain_requests", before=place.request, window=WINDOW, **like)
    # Each in the order of its ids, whatever the clock has done: so none is left out between pages.
    merged = heapq.merge(
        (DeedRow(is_request=False, **row._asdict()) for row in noted),
        (DeedRow(is_request=True, **row._asdict()) for row in plain),
        key=lambda row: row.at,
        reverse=True,
    )
    rows = list(islice(merged, limit + 1))
    shown = rows[:limit]
    if len(rows) <= limit:
        return shown, None
    last = Place(
        min((row.id for row in shown if not row.is_request), default=place.deed),
        min((row.id for row in shown if row.is_request), default=place.request),
    )
    return shown, str(last)
