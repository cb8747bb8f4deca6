"""The jobs of the flights demo one by one, with what can go wrong."""

from __future__ import annotations

import logging
import lzma
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from rush.demo import JANUARY
from tests.demo.project import Project

GOOD = {
    "airlines": ["carrier,name", "UA,United Air Lines Inc.", "B6,JetBlue Airways"],
    "airports": [
        "faa,name,lat,lon,alt,tz,dst,tzone",
        "EWR,Newark Liberty Intl,40.69,-74.17,18,-5,A,America/New_York",
    ],
    "planes": [
        "tailnum,year,type,manufacturer,model,engines,seats,speed,engine",
        "N14228,1999,Fixed wing multi engine,BOEING,737-824,2,149,NA,Turbo-fan",
    ],
    "weather": [
        "origin,time_hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib",
        "EWR,2013-01-01T10:00:00Z,39.02,28.04,64.43,260,12.7,NA,0,1011.9,10",
    ],
    "flights": [
        "origin,dest,carrier,flight,year,month,day,sched_dep_time,dep_delay,"
        "sched_arr_time,arr_time,arr_delay,air_time,distance,tailnum",
        "EWR,IAH,UA,1545,2013,1,1,515,2,819,830,11,227,1400,N14228",
    ],
}


def write(folder: Path, **changed: list[str]) -> dict[str, Any]:
    """The parameters of a job whose raw files are these good ones, but for what is changed."""
    for name, lines in (GOOD | changed).items():
        text = "".join(f"{line}\n" for line in lines)
        (folder / f"{name}.csv.xz").write_bytes(lzma.compress(text.encode()))
    return {"data": str(folder)}


def test_feed_is_late_once(project: Project) -> None:
    """`check_feed` fails on the first attempt, saying that this belongs to the demo, and then no more."""
    params = {"data": str(JANUARY)}
    with pytest.raises(
        FileNotFoundError, match=r"not there yet \(this failure is part of the demo\)"
    ):
        project.run("check_feed", params)
    project.run("check_feed", params, attempt=2)


def test_feed_is_really_missing(project: Project, tmp_path: Path) -> None:
    """`check_feed` fails on every attempt while the file is not there."""
    with pytest.raises(FileNotFoundError, match=r"weather\.csv\.xz"):
        project.run("check_feed", {"data": str(tmp_path)}, attempt=2)


def test_extract_counts(project: Project, tmp_path: Path) -> None:
    """The rows of each file are counted, and progress is shown to the end."""
    shown: list[tuple[float, float | None]] = []
    counts = project.run("extract", write(tmp_path), shown=shown)
    assert counts == {"airlines": 2, "airports": 1, "planes": 1, "weather": 1, "flights": 1}
    assert shown[-1] == (5, 5)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["name,carrier", "United,UA"], "has the columns .'name', 'carrier'., not"),
        (["carrier,name", "UA,United", "B6"], "B6.* are not 2 values"),
        (["carrier,name", "UA,United", "UA,Also United"], "2 rows, of which 1 are different"),
        (["carrier,name"], "has 0 rows"),
        ([], "has the columns"),
    ],
)
def test_extract_refuses(project: Project, tmp_path: Path, lines: list[str], message: str) -> None:
    """A file that cannot be used is an error that names the file and what is wrong with it."""
    with pytest.raises(ValueError, match=f"airlines.csv.xz.*{message}"):
        project.run("extract", write(tmp_path, airlines=lines))


def test_extract_warns(project: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A number that cannot be is a warning, and no error."""
    head, row = GOOD["weather"]
    with caplog.at_level(logging.WARNING):
        project.run("extract", write(tmp_path, weather=[head, row.replace("12.7", "1048.4")]))
    [record] = caplog.records
    assert "weather.csv.xz: a wind_speed of 1048.4 cannot be" in record.getMessage()


def test_impossible_wind_is_no_wind(project: Project, database: str, tmp_path: Path) -> None:
    """What `extract` warns of does not get into `flights.flight`; what is right does."""
    head, row = GOOD["weather"]
    params = write(tmp_path, weather=[head, row.replace("12.7", "1048.4")])
    load_and_transform(project, database, params)
    with psycopg.connect(database) as connection:
        [flight] = connection.execute("SELECT wind, visibility FROM flights.flight").fetchall()
    assert flight == (None, 10)


def test_load_is_all_or_nothing(project: Project, database: str, tmp_path: Path) -> None:
    """A file that PostgreSQL refuses leaves the tables as they were before."""
    load_and_transform(project, database, write(tmp_path))
    head, row = GOOD["flights"]
    params = write(
        tmp_path, flights=[head, row.replace(",515,", ",soon,")], airlines=GOOD["airlines"][:2]
    )

    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        project.run("load", params, url=database)

    with psycopg.connect(database) as connection:
        [counts] = connection.execute(
            "SELECT (SELECT count(*) FROM flights.raw_airlines), (SELECT count(*) FROM flights.raw_flights)"
        ).fetchall()
    assert counts == (2, 1)


def test_load_has_what_extract_saw(project: Project, database: str, tmp_path: Path) -> None:
    """Files that changed since they were checked are not loaded."""
    params = write(tmp_path)
    done = {"extract": project.run("extract", params)}
    write(tmp_path, airlines=GOOD["airlines"][:2])
    with pytest.raises(ValueError, match="but extract had checked"):
        project.run("load", params, url=database, done=done)


def test_run_that_starts_at_load(project: Project, database: str, tmp_path: Path) -> None:
    """`load` does without the result of `extract` in a run that skips it."""
    counts = project.run("load", write(tmp_path), url=database)
    assert counts == {"airlines": 2, "airports": 1, "planes": 1, "weather": 1, "flights": 1}


def test_time_zone_of_the_server(project: Project, database: str, tmp_path: Path) -> None:
    """A flight finds its weather also where hours begin at half past."""
    with psycopg.connect(database, autocommit=True) as connection:
        name = Identifier(connection.info.dbname)
        connection.execute(SQL("ALTER DATABASE {} SET timezone = 'Asia/Kolkata'").format(name))
    load_and_transform(project, database, write(tmp_path))
    with psycopg.connect(database) as connection:
        [flight] = connection.execute("SELECT visibility, date::text, hour FROM flights.flight")
    assert flight == (10, "2013-01-01", 5)


def test_one_month(project: Project, database: str, tmp_path: Path) -> None:
    """`month` narrows the flights; a month without any is an error that leaves what was there."""
    head, row = GOOD["flights"]
    july = row.replace(",2013,1,1,", ",2013,7,1,")
    params = write(tmp_path, flights=[head, row, july])
    load_and_transform(project, database, params)

    narrowed = project.run("transform", params | {"month": 7}, url=database)
    with pytest.raises(ValueError, match="no flight left in month 5"):
        project.run("transform", params | {"month": 5}, url=database)

    assert narrowed["flights"] == 1
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT month FROM flights.flight").fetchall() == [(7,)]


def load_and_transform(project: Project, database: str, params: dict[str, Any]) -> None:
    done: dict[str, Any] = {}
    for job in ("extract", "load", "transform"):
        done[job] = project.run(job, params, url=database, done=done)
