"""The invariants of the chaos tests' history, for stages where no real jobs leave marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from rush.domain.states import TRANSITIONS
from tests.chaos.history import INVARIANTS

#: About marks that jobs leave outside, about who acts as master, and about clocks.
NOT_ON_STAGE = ("I2 a transactional", "I3", "I8", "I14")

#: In place of I2's second: what is written inside of a transaction names its attempt.
EFFECTS = """
    SELECT e.token FROM public.effect e
     WHERE NOT EXISTS (SELECT FROM rush.archive a
                        WHERE a.token = e.token AND a.run_id = e.run_id AND a.state = 'Complete')
    UNION ALL
    SELECT token FROM public.effect GROUP BY token HAVING count(*) > 1
"""


def wrongs(connection: psycopg.Connection[Any], *, but: Sequence[str] = ()) -> list[str]:
    """The invariants that do not hold, but for those whose names begin like these."""
    states = {
        "before": [str(step.before or "") for step in TRANSITIONS],
        "after": [str(step.after) for step in TRANSITIONS],
    }
    asked = {
        name: statement
        for name, statement in INVARIANTS.items()
        if not name.startswith((*NOT_ON_STAGE, *but))
    }
    asked["I2 what was written with a completion is there with it, once, and only then"] = EFFECTS
    return [
        f"{name}: {rows[:3]}"
        for name, statement in asked.items()
        if (rows := connection.execute(statement.encode(), states).fetchall())
    ]
