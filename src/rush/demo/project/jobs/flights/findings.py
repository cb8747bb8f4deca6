"""What the tables of delays say, read back for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, LiteralString

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier

from .delays import MEASURES

#: Each table of delays, and its column that names the groups.
NAMES: Mapping[str, LiteralString] = {
    "hour": "hour",
    "weekday": "weekday",
    "month": "month",
    "date": "date",
    "airport": "airport",
    "destination": "destination",
    "carrier": "airline",
    "visibility": "miles",
    "wind": "miles_per_hour",
    "rain": "inches",
}

#: Fewer flights than this that left are too few to speak of.
ENOUGH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Flights that have something in common. Minutes, and shares from 0 to 1."""

    name: Any
    flights: int
    cancelled: int
    late: int
    share_late: float
    mean_delay: float
    median_delay: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rough:
    """All flights in weather that is known, and what they would be had it always been fine."""

    flights: int
    share_rough: float
    mean_delay: float
    mean_if_fine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    first: date
    last: date
    total: Group
    #: By the name of the table; groups in the order of their names.
    by: Mapping[str, list[Group]]
    #: The share of the variance of delays that each factor explains, from 0 to 1.
    explained: Mapping[str, float]
    rough: Rough


def read_findings(tx: Connection[Any]) -> Findings:
    total = SQL("SELECT 'all' AS name, {} FROM flights.flight").format(SQL(MEASURES))
    [(first, last)] = tx.execute("SELECT min(date), max(date) FROM flights.flight").fetchall()
    explained = tx.execute("SELECT factor, share FROM flights.explained ORDER BY share DESC")
    rough = tx.cursor(row_factory=class_row(Rough)).execute("TABLE flights.rough_weather")
    return Findings(
        first=first,
        last=last,
        total=next(tx.cursor(row_factory=class_row(Group)).execute(total)),
        by={name: read_groups(tx, name, column) for name, column in NAMES.items()},
        explained=dict(explained.fetchall()),
        rough=next(rough),
    )


def read_groups(tx: Connection[Any], name: str, column: LiteralString) -> list[Group]:
    """The groups that have a name and enough flights."""
    query = SQL(
        "SELECT {column} AS name, flights, cancelled, late, share_late, mean_delay, median_delay"
        "  FROM {table} WHERE {column} IS NOT NULL AND flights - cancelled >= %s ORDER BY 1"
    ).format(column=Identifier(column), table=Identifier("flights", f"delays_by_{name}"))
    return tx.cursor(row_factory=class_row(Group)).execute(query, [ENOUGH]).fetchall()
