"""Does the weather explain it? Compared with all else that is known of a flight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString

from psycopg.sql import SQL

from rush import Job

from .delays import RAIN, VISIBILITY, WIND

#: What could explain a delay: the flights are put into groups that have these in common.
FACTORS: Mapping[str, tuple[LiteralString, ...]] = {
    "day": ("date",),
    "hour": ("hour",),
    "weather": (VISIBILITY, WIND, RAIN),
    "hour and weather": ("hour", VISIBILITY, WIND, RAIN),
    "month": ("month",),
    "weekday": ("weekday",),
    "carrier": ("carrier",),
    "destination": ("dest",),
    "airport": ("origin",),
}

#: Flights that left, in weather that was measured: the same ones for every factor.
KNOWN = """
CREATE TEMPORARY TABLE known ON COMMIT DROP AS
SELECT date, hour, month, weekday, carrier, origin, dest, dep_delay, visibility, wind, rain,
       visibility < 3 OR wind >= 20 OR rain > 0 AS rough
  FROM flights.flight
 WHERE departed_at IS NOT NULL AND num_nulls(visibility, wind, rain) = 0
"""

TABLES = """
CREATE TABLE IF NOT EXISTS flights.explained (factor text PRIMARY KEY, share float NOT NULL);
CREATE TABLE IF NOT EXISTS flights.rough_weather (
    flights       bigint,  -- that left in known weather
    share_rough   float,   -- of these flights, in rough weather
    mean_delay    float,   -- minutes, of all of them
    mean_if_fine  float    -- had those in rough weather been as late as the others of their hour
);
TRUNCATE flights.explained, flights.rough_weather
"""

#: The share of the variance of delays that lies between groups, not within them. Many small
#: groups explain something by mere chance; dividing by degrees of freedom takes that away.
SHARE = """
INSERT INTO flights.explained
SELECT %s, 1 - sum(squares) / (sum(flights) - count(*)) / (SELECT var_samp(dep_delay) FROM known)
  FROM (SELECT count(*) AS flights, var_pop(dep_delay) * count(*) AS squares
          FROM known GROUP BY {}) AS grouped
HAVING count(*) > 1
"""

ROUGH = """
INSERT INTO flights.rough_weather
SELECT count(*),
       avg(rough::int),
       avg(dep_delay),
       avg(CASE WHEN rough THEN coalesce(fine.mean_delay, dep_delay) ELSE dep_delay END)
  FROM known
  LEFT JOIN (SELECT origin, hour, avg(dep_delay) AS mean_delay
               FROM known WHERE NOT rough GROUP BY origin, hour) AS fine USING (origin, hour)
"""


class Explain(Job):
    """
    Fill `flights.explained` and `flights.rough_weather`.

    The weather is that of the airport in the hour of the scheduled departure. What it
    did elsewhere or earlier that day, and passed on from plane to plane, is not in it.
    """

    def run(self) -> dict[str, float]:
        """The share that each factor explains."""
        with self.transaction() as tx:
            tx.execute(KNOWN)
            tx.execute(TABLES)
            for done, (factor, keys) in enumerate(FACTORS.items(), start=1):
                tx.execute(SQL(SHARE).format(SQL(", ").join(map(SQL, keys))), [factor])
                self.progress(done, len(FACTORS))
            tx.execute(ROUGH)
            explained = dict(tx.execute("SELECT factor, share FROM flights.explained").fetchall())
            for factor, share in explained.items():
                self.logger.info("%s explains %.1f %%", factor, 100 * share)
            return explained
