"""What was done by way of the dashboard and the HTTP API (`audit.sql`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rush.store.session import Session


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


def end_deed(session: Session, deed: int, outcome: str) -> None:
    session.run("end_deed", id=deed, outcome=outcome)


def deeds(
    session: Session,
    *,
    before: int | None = None,
    target: str | None = None,
    who: str | None = None,
    action: str | None = None,
    limit: int = 50,
) -> list[Any]:
    """What was done, the newest first; with an id below `before`."""
    return session.many("deeds", before=before, target=target, who=who, action=action, limit=limit)
