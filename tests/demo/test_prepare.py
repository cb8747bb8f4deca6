"""The script that makes the demo's data, and what it made."""

from __future__ import annotations

import importlib.util
import lzma
from pathlib import Path
from types import ModuleType

import pytest

from rush.demo import JANUARY, YEAR
from tests.demo import oracle

SCRIPT = YEAR.parent / "prepare.py"


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_january_is_the_year_s(prepare: ModuleType) -> None:
    """January's flights in the package are those of the year, and the year has all of 2013."""
    year = oracle.read(YEAR, "flights")
    january = oracle.read(JANUARY, "flights")
    assert len(year) == 336_776
    assert len(january) == 27_004
    assert january == [flight for flight in year if flight["month"] == "1"]


@pytest.mark.parametrize(
    ("folder", "limit"), [(JANUARY, 400_000), (YEAR, 4_000_000)], ids=["january", "year"]
)
def test_small(folder: Path, limit: int) -> None:
    """The data stays small enough to be carried along."""
    assert sum(path.stat().st_size for path in folder.iterdir()) < limit


def test_same_rows_are_same_bytes(prepare: ModuleType) -> None:
    """Packing what was unpacked gives the shipped file, whatever the order and the day."""
    rows = oracle.read(JANUARY, "weather")
    shipped = lzma.decompress((JANUARY / "weather.csv.xz").read_bytes())
    columns = prepare.COLUMNS["weather"].split()
    packed = prepare.pack(reversed(rows), columns)
    assert lzma.decompress(packed) == shipped
    assert packed == prepare.pack(rows, columns)


def flight(**changed: str) -> dict[str, str]:
    usual = {"year": "2013", "month": "1", "day": "1", "sched_dep_time": "517", "dep_delay": "2"}
    return usual | changed


@pytest.mark.parametrize(
    ("sched_dep_time", "delay", "expected"),
    [
        ("517", "2", "519"),
        ("2355", "5", "2400"),
        ("2355", "6", "1"),
        ("5", "-6", "2359"),
        ("5", "NA", "NA"),
    ],
)
def test_departure_is_implied(
    prepare: ModuleType, sched_dep_time: str, delay: str, expected: str
) -> None:
    """The time of departure follows from schedule and delay, also over midnight."""
    implied = prepare.departure_time(flight(sched_dep_time=sched_dep_time, dep_delay=delay))
    assert implied == expected


def test_hour_in_utc_is_implied(prepare: ModuleType) -> None:
    """The hour of the weather follows from local time, in winter and in summer."""
    assert prepare.departure_hour(flight()) == "2013-01-01T10:00:00Z"
    assert prepare.departure_hour(flight(month="7")) == "2013-07-01T09:00:00Z"


def test_what_is_not_implied_is_not_dropped(prepare: ModuleType) -> None:
    """A row whose column says something else stops the script."""
    row = flight(hour="6", minute="17", dep_time="519", time_hour="2013-01-01T10:00:00Z")
    with pytest.raises(ValueError, match="flights: hour is not implied"):
        prepare.check_implied("flights", [row], prepare.IMPLIED["flights"])
