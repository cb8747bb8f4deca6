"""Who has been master (`terms.sql`)."""

from __future__ import annotations

from typing import Any

from rush.store.session import Session


def terms(session: Session, *, limit: int) -> list[Any]:
    """Terms, the newest first: term, holder, elected_at, and `until` the next one was elected."""
    return session.many("terms", limit=limit)
