"""
What the flights demo should find, computed another way: in Python, straight from the raw files.

Nothing here comes from the pipeline, neither code nor SQL.
"""

from __future__ import annotations

import csv
import lzma
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import fmean, median, variance
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")


@dataclass(slots=True)
class Flight:
    #: The same instant in UTC and in New York.
    scheduled: datetime
    local: datetime
    carrier: str
    number: int
    origin: str
    dest: str
    airline: str
    airport: str
    destination: str
    delay: int | None
    visibility: float | None
    wind: float | None
    rain: float | None
    known_plane: bool

    @property
    def date(self) -> date:
        return self.local.date()

    @property
    def weather(self) -> tuple[float, float, float] | None:
        if self.visibility is None or self.wind is None or self.rain is None:
            return None
        return (
            lower(self.visibility, VISIBILITY),
            lower(self.wind, WIND),
            lower(self.rain, RAIN),
        )

    @property
    def rough(self) -> bool:
        return self.visibility < 3 or self.wind >= 20 or self.rain > 0


VISIBILITY = (0, 1, 3, 6, 10)
WIND = (0, 10, 15, 20, 25)
RAIN = (0, 0.01, 0.05, 0.1)


def lower(value: float | None, bounds: Iterable[float]) -> float | None:
    return None if value is None else max(bound for bound in bounds if bound <= value)


def read(data: Path, name: str) -> list[dict[str, str]]:
    with lzma.open(data / f"{name}.csv.xz", "rt", newline="") as file:
        return list(csv.DictReader(file))


def number(text: str) -> float | None:
    return None if text == "NA" else float(text)


def read_flights(data: Path) -> list[Flight]:
    airlines = {row["carrier"]: row["name"] for row in read(data, "airlines")}
    airports = {row["faa"]: row["name"] for row in read(data, "airports")}
    planes = {row["tailnum"] for row in read(data, "planes")}
    weather = {(row["origin"], row["time_hour"]): row for row in read(data, "weather")}
    nothing = {"visib": "NA", "wind_speed": "NA", "precip": "NA"}

    flights = []
    for row in read(data, "flights"):
        hour, minute = int(row["sched_dep_time"][:-2]), int(row["sched_dep_time"][-2:])
        day = (int(row["year"]), int(row["month"]), int(row["day"]))
        local = datetime(*day, hour, minute, tzinfo=NEW_YORK)
        scheduled = local.astimezone(UTC)
        sky = weather.get((row["origin"], scheduled.strftime("%Y-%m-%dT%H:00:00Z")), nothing)
        wind = number(sky["wind_speed"])
        flights.append(
            Flight(
                scheduled=scheduled,
                local=local,
                carrier=row["carrier"],
                number=int(row["flight"]),
                origin=row["origin"],
                dest=row["dest"],
                airline=airlines[row["carrier"]],
                airport=airports[row["origin"]],
                destination=airports.get(row["dest"], row["dest"]),
                delay=None if row["dep_delay"] == "NA" else int(row["dep_delay"]),
                visibility=number(sky["visib"]),
                wind=wind if wind is None or wind < 1000 else None,
                rain=number(sky["precip"]),
                known_plane=row["tailnum"] in planes,
            )
        )
    return flights


GROUPS: dict[str, Callable[[Flight], tuple[Hashable, ...]]] = {
    "hour": lambda flight: (flight.local.hour,),
    "weekday": lambda flight: (flight.date.isoweekday(),),
    "month": lambda flight: (flight.date.month,),
    "date": lambda flight: (flight.date,),
    "airport": lambda flight: (flight.origin, flight.airport),
    "destination": lambda flight: (flight.dest, flight.destination),
    "carrier": lambda flight: (flight.carrier, flight.airline),
    "visibility": lambda flight: (lower(flight.visibility, VISIBILITY),),
    "wind": lambda flight: (lower(flight.wind, WIND),),
    "rain": lambda flight: (lower(flight.rain, RAIN),),
}

FACTORS: dict[str, Callable[[Flight], Hashable]] = {
    "day": lambda flight: flight.date,
    "hour": lambda flight: flight.local.hour,
    "weather": lambda flight: flight.weather,
    "hour and weather": lambda flight: (flight.local.hour, flight.weather),
    "month": lambda flight: flight.date.month,
    "weekday": lambda flight: flight.date.weekday(),
    "carrier": lambda flight: flight.carrier,
    "destination": lambda flight: flight.dest,
    "airport": lambda flight: flight.origin,
}


def measures(flights: list[Flight]) -> tuple[float | None, ...]:
    """Flights, cancelled, late, share late, mean and median delay."""
    delays = [flight.delay for flight in flights if flight.delay is not None]
    late = sum(delay >= 15 for delay in delays)
    of_those_that_left = (
        (late / len(delays), fmean(delays), median(delays)) if delays else (None,) * 3
    )
    return (len(flights), len(flights) - len(delays), late, *of_those_that_left)


def grouped(
    flights: list[Flight], key: Callable[[Flight], Hashable]
) -> dict[Hashable, list[Flight]]:
    groups = defaultdict(list)
    for flight in flights:
        groups[key(flight)].append(flight)
    return dict(groups)


def comparable(flights: list[Flight]) -> list[Flight]:
    return [flight for flight in flights if flight.delay is not None and flight.weather]


def explained(flights: list[Flight]) -> dict[str, float]:
    """The adjusted share of the variance between groups; a factor with one group explains nothing."""
    total = variance(flight.delay for flight in flights)
    shares = {}
    for name, factor in FACTORS.items():
        groups = [[flight.delay for flight in group] for group in grouped(flights, factor).values()]
        if len(groups) > 1:
            within = sum(
                sum((delay - mean) ** 2 for delay in group)
                for group in groups
                for mean in [fmean(group)]
            )
            shares[name] = 1 - within / (len(flights) - len(groups)) / total
    return shares


def mean_if_fine(flights: list[Flight]) -> float:
    """The mean delay, had rough weather made nothing later than its airport and hour otherwise are."""
    fine = grouped(
        [flight for flight in flights if not flight.rough],
        lambda each: (each.origin, each.local.hour),
    )
    usual = {key: fmean(flight.delay for flight in group) for key, group in fine.items()}
    return fmean(
        usual.get((flight.origin, flight.local.hour), flight.delay)
        if flight.rough
        else flight.delay
        for flight in flights
    )


def departed(flight: Flight) -> datetime | None:
    return None if flight.delay is None else flight.scheduled + timedelta(minutes=flight.delay)
