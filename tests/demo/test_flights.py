"""The numbers of the flights demo, against a computation that shares no code with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rush.demo import JANUARY, YEAR
from tests.demo import oracle
from tests.demo.project import Project
from tests.support.server import Server


@dataclass
class Ran:
    """The pipeline after its run on one set of data, and what should have come out."""

    project: Project
    data: Path
    report: Path
    url: str
    results: dict[str, Any]
    flights: list[oracle.Flight]

    @cached_property
    def comparable(self) -> list[oracle.Flight]:
        return oracle.comparable(self.flights)

    @cached_property
    def explained(self) -> dict[str, float]:
        return oracle.explained(self.comparable)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(JANUARY, id="january"),
        pytest.param(YEAR, id="year", marks=pytest.mark.slow),
    ],
)
def ran(
    request: pytest.FixtureRequest,
    server: Server,
    project: Project,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Ran]:
    data = request.param
    report = tmp_path_factory.mktemp("report") / "report" / "flights.html"
    with server.database() as url:
        results = project.run_all(url, data=str(data), report=str(report))
        yield Ran(project, data, report, url, results, oracle.read_flights(data))


def test_every_flight_is_there_with_its_times(ran: Ran) -> None:
    """Each flight of the raw file is in `flights.flight`, with schedule and departure restored."""
    rows = ran.rows(
        "SELECT scheduled_at, departed_at, carrier, flight, origin, dest FROM flights.flight"
    )
    assert sorted(rows, key=str) == sorted(
        (
            (
                each.scheduled,
                oracle.departed(each),
                each.carrier,
                each.number,
                each.origin,
                each.dest,
            )
            for each in ran.flights
        ),
        key=str,
    )


@pytest.mark.parametrize("name", oracle.GROUPS)
def test_delays_by(ran: Ran, name: str) -> None:
    """Each table of delays has the groups and the measures that the raw files have."""
    groups = oracle.grouped(ran.flights, oracle.GROUPS[name])
    expected = {key: oracle.measures(flights) for key, flights in groups.items()}

    rows = ran.rows(f"TABLE flights.delays_by_{name}")
    found = {row[:-6]: row[-6:] for row in rows}

    assert len(rows) == len(found)
    assert found.keys() == expected.keys()
    for key, measures in found.items():
        assert measures == pytest.approx(expected[key]), key


def test_what_explains_delays(ran: Ran) -> None:
    """The shares of variance that factors explain are those of a plain computation."""
    assert dict(ran.rows("TABLE flights.explained")) == pytest.approx(ran.explained)
    assert ran.results["explain"] == pytest.approx(ran.explained)


def test_delay_in_fine_weather(ran: Ran) -> None:
    """What rough weather costs is what a plain computation makes of it."""
    flights = ran.comparable
    [row] = ran.rows("TABLE flights.rough_weather")

    assert row == pytest.approx(
        (
            len(flights),
            sum(flight.rough for flight in flights) / len(flights),
            sum(flight.delay for flight in flights) / len(flights),
            oracle.mean_if_fine(flights),
        )
    )


def test_counts_agree(ran: Ran) -> None:
    """Extract, load and transform report the rows that the files have."""
    rows = {name: len(oracle.read(ran.data, name)) for name in ran.results["extract"]}
    assert ran.results["extract"] == ran.results["load"] == rows
    assert ran.results["transform"] == {
        "flights": len(ran.flights),
        "cancelled": sum(flight.delay is None for flight in ran.flights),
        "without_weather": sum(flight.weather is None for flight in ran.flights),
        "without_plane": sum(not flight.known_plane for flight in ran.flights),
    }


def test_figures_of_the_report(ran: Ran) -> None:
    """The report's result has the totals, and where the page is."""
    flights, cancelled, late, share_late, mean_delay, _ = oracle.measures(ran.flights)
    result = dict(ran.results["report"])
    assert len(result.pop("findings")) == 5
    assert result == {
        "report": str(ran.report),
        "flights": flights,
        "cancelled": cancelled,
        "late": late,
        "share_late": pytest.approx(share_late),
        "mean_delay": pytest.approx(mean_delay),
        "mean_delay_if_fine": pytest.approx(oracle.mean_if_fine(ran.comparable)),
        "explained_by_weather": pytest.approx(ran.explained["weather"]),
    }


def test_page_says_what_was_found(ran: Ran) -> None:
    """The sentences of the page, and those in short, have the numbers and name the worst of each kind."""
    page = text_of(ran.report)
    findings = "\n".join(ran.results["report"]["findings"])
    _, _, _, share, mean, _ = oracle.measures(ran.flights)
    carrier = worst(ran.flights, "carrier")[1]
    destination = worst(ran.flights, "destination")[1]
    hour = worst(ran.flights, "hour")[0]
    weather = ran.explained["weather"]
    for text in (page, findings):
        assert f"{100 * share:.0f} % of planes left New York late in" in text
        assert f"{carrier} is late most often" in text
        assert re.search(rf"late at \d+:00, \d+ % at {hour}:00", text)
    assert f"would be {oracle.mean_if_fine(ran.comparable):.1f} min instead of" in findings
    assert f"{mean:.1f} min was the average delay" in words_and_values(ran.report)
    assert f"of planes to {destination} leave late" in page
    assert f"Weather explains {100 * weather:.1f} % of the differences" in page


def test_page_stands_alone(ran: Ran) -> None:
    """The page fetches nothing and runs nothing."""
    page = ran.report.read_text()
    assert not re.search(r"<script|<link|<img|src=|url\(|@import|https?:", page)


def test_running_again_changes_nothing(ran: Ran) -> None:
    """A second run leaves the same rows, not twice as many."""
    tables = [
        name for (name,) in ran.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'flights'")
    ]
    before = {
        name: ran.rows(f"SELECT t::text FROM flights.{name} AS t ORDER BY 1") for name in tables
    }

    again = ran.project.run_all(ran.url, data=str(ran.data), report=str(ran.report))

    assert again == ran.results
    for name in tables:
        assert ran.rows(f"SELECT t::text FROM flights.{name} AS t ORDER BY 1") == before[name]


def worst(flights: list[oracle.Flight], name: str) -> Any:
    """The group of at least 100 flights that left with the greatest share of late ones."""
    measured = {
        key: oracle.measures(group)
        for key, group in oracle.grouped(flights, oracle.GROUPS[name]).items()
    }
    enough = {key: each for key, each in measured.items() if each[0] - each[1] >= 100}
    return max(enough, key=lambda key: enough[key][3])


def text_of(page: Path) -> str:
    body = page.read_text().split("<body>")[1]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


def words_and_values(page: Path) -> list[str]:
    pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page.read_text())
    return [re.sub(r"\s", " ", f"{value} {name}") for name, value in pairs]
