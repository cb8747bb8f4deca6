"""The raw files: what is in them, and what their numbers can be."""

from __future__ import annotations

import csv
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString

#: What the files have where there is no value.
MISSING = "NA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One raw file, `<name>.csv.xz`, and the table `flights.raw_<name>` that it goes into."""

    name: str
    #: Every column with its PostgreSQL type, in the order of the file.
    columns: Mapping[str, LiteralString]
    #: The columns that no two rows have in common.
    key: tuple[str, ...]
    #: What a number can be, from the least to the most. Anything else is a slip of an instrument.
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def path(self, data: Path) -> Path:
        return data / f"{self.name}.csv.xz"

    def rows(self, data: Path) -> Iterator[list[str]]:
        """The header first, then every row, as text."""
        with lzma.open(self.path(data), "rt", encoding="utf-8", newline="") as lines:
            yield from csv.reader(lines)


FLIGHTS = Feed(
    name="flights",
    columns={
        "origin": "text",
        "dest": "text",
        "carrier": "text",
        "flight": "int",
        "year": "int",
        "month": "int",
        "day": "int",
        "sched_dep_time": "int",  # local time as hhmm: 1305 is five past one
        "dep_delay": "int",  # minutes; less than 0 is early; NA: cancelled
        "sched_arr_time": "int",
        "arr_time": "int",
        "arr_delay": "int",  # minutes; NA: cancelled, or landed elsewhere
        "air_time": "int",  # minutes
        "distance": "int",  # miles
        "tailnum": "text",
    },
    key=("origin", "carrier", "flight", "month", "day", "sched_dep_time"),
    limits={
        "month": (1, 12),
        "day": (1, 31),
        "sched_dep_time": (0, 2359),
        "dep_delay": (-60, 1440),
        "arr_delay": (-120, 1440),
        "air_time": (15, 900),
        "distance": (10, 6000),
    },
)

WEATHER = Feed(
    name="weather",
    columns={
        "origin": "text",
        "time_hour": "timestamptz",
        "temp": "float",  # Fahrenheit, as dewp
        "dewp": "float",
        "humid": "float",  # per cent
        "wind_dir": "int",  # degrees
        "wind_speed": "float",  # miles per hour, as wind_gust
        "wind_gust": "float",
        "precip": "float",  # inches in the hour
        "pressure": "float",  # millibars
        "visib": "float",  # miles; never more than 10
    },
    key=("origin", "time_hour"),
    limits={
        "temp": (-40, 130),
        "humid": (0, 100),
        "wind_speed": (0, 150),
        "wind_gust": (0, 200),
        "precip": (0, 10),
        "pressure": (870, 1085),
        "visib": (0, 10),
    },
)

PLANES = Feed(
    name="planes",
    columns={
        "tailnum": "text",
        "year": "int",
        "type": "text",
        "manufacturer": "text",
        "model": "text",
        "engines": "int",
        "seats": "int",
        "speed": "int",
        "engine": "text",
    },
    key=("tailnum",),
    limits={"year": (1930, 2013), "engines": (1, 8), "seats": (1, 853)},
)

AIRLINES = Feed(name="airlines", columns={"carrier": "text", "name": "text"}, key=("carrier",))

AIRPORTS = Feed(
    name="airports",
    columns={
        "faa": "text",
        "name": "text",
        "lat": "float",
        "lon": "float",
        "alt": "int",  # feet
        "tz": "int",
        "dst": "text",
        "tzone": "text",
    },
    key=("faa",),
    limits={"lat": (-90, 90), "lon": (-180, 180)},
)

FEEDS = (AIRLINES, AIRPORTS, PLANES, WEATHER, FLIGHTS)
