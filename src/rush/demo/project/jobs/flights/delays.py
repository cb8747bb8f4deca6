"""Count the delays: one table for each thing that a flight can be grouped by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, LiteralString

from psycopg.sql import SQL, Identifier, Literal

from rush import Job

#: Cancelled flights have no delay, so shares and minutes are those of the flights that left.
MEASURES = """
    count(*) AS flights,
    count(*) FILTER (WHERE departed_at IS NULL) AS cancelled,
    count(*) FILTER (WHERE late) AS late,
    avg(late::int)::float AS share_late,
    avg(dep_delay)::float AS mean_delay,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY dep_delay) AS median_delay
"""


class Delays(Job):
    """Makes a table `flights.delays_by_…` for each of its groups."""

    #: Name of the table → what to group by: SQL expressions over `flights.flight`.
    groups: ClassVar[Mapping[str, tuple[LiteralString, ...]]]

    def run(self) -> dict[str, int]:
        """The number of rows of each table."""
        with self.transaction() as tx:
            rows: dict[str, int] = {}
            for done, (name, keys) in enumerate(self.groups.items(), start=1):
                table = Identifier("flights", f"delays_by_{name}")
                tx.execute(SQL("DROP TABLE IF EXISTS {}").format(table))
                rows[name] = tx.execute(
                    SQL("CREATE TABLE {} AS SELECT {}, {} FROM flights.flight GROUP BY {}").format(
                        table,
                        SQL(", ").join(map(SQL, keys)),
                        SQL(MEASURES),
                        SQL(", ").join(map(Literal, range(1, len(keys) + 1))),
                    )
                ).rowcount
                self.logger.info("delays by %s: %s rows", name, rows[name])
                self.progress(done, len(self.groups))
            return rows


class DelaysByTime(Delays):
    groups: ClassVar = {
        "hour": ("hour",),
        "weekday": ("weekday",),
        "month": ("month",),
        "date": ("date",),
    }


class DelaysByPlace(Delays):
    groups: ClassVar = {"airport": ("origin", "airport"), "destination": ("dest", "destination")}


class DelaysByCarrier(Delays):
    groups: ClassVar = {"carrier": ("carrier", "airline")}


def at_least(column: LiteralString, bounds: LiteralString) -> LiteralString:
    """The class of a measurement, named by its lower bound. NULL: it was not measured."""
    return f"('{bounds}'::float[])[width_bucket({column}, '{bounds}'::float[])]"


VISIBILITY = at_least("visibility", "{0, 1, 3, 6, 10}")
WIND = at_least("wind", "{0, 10, 15, 20, 25}")
RAIN = at_least("rain", "{0, 0.01, 0.05, 0.1}")


class DelaysByWeather(Delays):
    groups: ClassVar = {
        "visibility": (f"{VISIBILITY} AS miles",),
        "wind": (f"{WIND} AS miles_per_hour",),
        "rain": (f"{RAIN} AS inches",),
    }
