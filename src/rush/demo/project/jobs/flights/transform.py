"""Clean the raw rows and bring together what belongs to a flight."""

from __future__ import annotations

from psycopg.rows import dict_row

from rush import Job

TABLE = """
CREATE TABLE IF NOT EXISTS flights.flight (
    scheduled_at timestamptz NOT NULL,
    departed_at  timestamptz,           -- NULL: cancelled
    date         date NOT NULL,         -- these four are New York's
    month        int NOT NULL,
    weekday      int NOT NULL,          -- 1 is Monday
    hour         int NOT NULL,
    carrier      text NOT NULL,
    airline      text NOT NULL,
    flight       int NOT NULL,
    origin       text NOT NULL,
    airport      text NOT NULL,         -- the name of the origin
    dest         text NOT NULL,
    destination  text NOT NULL,
    distance     int NOT NULL,          -- miles
    dep_delay    int,                   -- minutes; less than 0 is early
    arr_delay    int,
    late         boolean,               -- left 15 minutes after schedule, or later
    tailnum      text,
    built        int,                   -- the year; NULL: not in the register of planes
    seats        int,
    visibility   float,                 -- miles; 10 is clear
    wind         float,                 -- miles per hour
    rain         float                  -- inches in the hour, molten if it is snow
)
"""

CLEAN = """
INSERT INTO flights.flight
SELECT scheduled_at,
       scheduled_at + dep_delay * interval '1 minute',
       date,
       month,
       extract(isodow FROM date),
       sched_dep_time / 100,
       carrier,
       coalesce(airline.name, carrier),
       flight,
       raw.origin,
       coalesce(airport.name, raw.origin),
       dest,
       coalesce(destination.name, dest),
       distance,
       dep_delay,
       arr_delay,
       dep_delay >= 15,
       tailnum,
       plane.year,
       seats,
       visib,
       CASE WHEN wind_speed <= 150 THEN wind_speed END,
       precip
  FROM flights.raw_flights AS raw
 CROSS JOIN LATERAL make_date(raw.year, month, day) AS date
 CROSS JOIN LATERAL make_timestamptz(
           raw.year, month, day, sched_dep_time / 100, sched_dep_time %% 100, 0, 'America/New_York'
       ) AS scheduled_at
  LEFT JOIN flights.raw_airlines AS airline USING (carrier)
  LEFT JOIN flights.raw_airports AS airport ON airport.faa = raw.origin
  LEFT JOIN flights.raw_airports AS destination ON destination.faa = dest
  LEFT JOIN flights.raw_planes AS plane USING (tailnum)
  LEFT JOIN flights.raw_weather AS weather
         ON weather.origin = raw.origin
        AND weather.time_hour = date_trunc('hour', scheduled_at, 'UTC')
 WHERE %(month)s::int IS NULL OR month = %(month)s
"""

COUNTS = """
SELECT count(*) AS flights,
       count(*) FILTER (WHERE departed_at IS NULL) AS cancelled,
       count(*) FILTER (WHERE num_nulls(visibility, wind, rain) > 0) AS without_weather,
       count(*) FILTER (WHERE seats IS NULL) AS without_plane
  FROM flights.flight
"""


class Transform(Job):
    """Fill `flights.flight`: each flight with its airline, its destination, its plane, its weather."""

    def run(self) -> dict[str, int]:
        with self.transaction() as tx:
            tx.execute(TABLE)
            tx.execute("TRUNCATE flights.flight")
            tx.execute(CLEAN, {"month": self.params.get("month")})
            tx.execute("ANALYZE flights.flight")
            counts = next(tx.cursor(row_factory=dict_row).execute(COUNTS))
            if counts["flights"] == 0:
                raise ValueError(f"no flight left in month {self.params.get('month')}")
            self.logger.info("%s", counts)
            return counts
