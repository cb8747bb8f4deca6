"""Signs that something has happened (`signs.sql`)."""

from __future__ import annotations

from typing import Any

from rush.store.session import Session


def signs(session: Session) -> Any:
    """Numbers that change when something happens; `running` is how many jobs run now."""
    return session.one("signs")
