"""
What the pages read at once, with tables that have grown: no more than they show, and a little.

The statements are run, and what their scans have touched is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from rush.store import queries
from rush.store.session import array
from rush.web.database import Database
from tests.store.test_plans import GROWN, ROWS, grow, nodes_of
from tests.store.test_queries import numbered
from tests.support.kernel import Kernel

ALL = queries.load()
LIMIT = 100
#: Of tables of 20,000 rows. Lists join, and some look at a row of each kind.
BOUND = 10 * LIMIT

FILTER: dict[str, Any] = {
    "pipeline": None, "states": None, "since": None, "text": None, "stuck_with": "{}"
}  # fmt: skip
SPARSE: dict[str, Any] = {
    **FILTER,
    "ids": array(range(ROWS, 0, -ROWS // LIMIT)),
    "low": 1,
    "high": ROWS,
}
DENSE: dict[str, Any] = {**FILTER, "ids": None, "low": ROWS - LIMIT, "high": ROWS}

READS: list[tuple[str, dict[str, Any]]] = [
    ("walk_runs", {"before": None, "since": None}),
    ("walk_runs", {"before": ROWS // 2, "since": None}),
    ("walk_runs", {"before": None, "since": 0.001}),
    ("walk_pipeline", {"pipeline": "p", "before": None}),
    ("walk_pipeline", {"pipeline": "p", "before": ROWS // 2}),
    ("walk_live", {"before": None}),
    ("walk_live", {"before": ROWS // 2}),
    ("walk_stuck", {"pipeline": None, "before": None}),
    ("walk_stuck", {"pipeline": None, "before": ROWS // 2}),
    ("runs_like", SPARSE),
    ("runs_like", {**SPARSE, "states": "{Cancelled}", "pipeline": "p"}),
    ("runs_like", DENSE),
    ("runs_like", {**DENSE, "text": "what is nowhere"}),
    ("runs_stuck_with", {"pipeline": None, "text": "what is nowhere"}),
    ("count_runs", {"pipeline": None, "since": None, "text": None}),
    ("count_runs", {"pipeline": "p", "since": 0.001, "text": "what is nowhere"}),
    ("queued", {}),
    ("list_pipelines", {"runs": 10, "name": None}),
    ("list_pipelines", {"runs": 10, "name": "p"}),
    ("stuck_groups", {}),
    ("measure_jobs", {}),
    ("measure_runs", {}),
    ("measure_rest", {}),
    ("run_events", {"run_id": ROWS // 2, "window": LIMIT}),
]


@pytest.fixture(scope="module")
def grown(server: Any) -> Iterator[psycopg.Connection[Any]]:
    """Tables that have grown, as a connection of the pages sees them."""
    with server.database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            Kernel(connection).define({"a": [], "b": [], "c": ["a", "b"]})
            grow(connection)
            connection.execute("UPDATE rush.run SET params = %s", [Jsonb({"day": "2026-11-25"})])
            connection.execute("VACUUM ANALYZE")
        database = Database(url, "rush")
        with database.client() as client:
            yield client._session.connection
        database.close()


@pytest.mark.parametrize(("name", "values"), READS, ids=lambda value: str(value)[:60])
def test_a_list_reads_what_it_shows(
    grown: psycopg.Connection[Any], name: str, values: dict[str, Any]
) -> None:
    """However many rows there are, a page looks at some hundred of them."""
    plan = explained(grown, name, values | {"limit": LIMIT, "most": LIMIT})

    assert touched(plan) <= BOUND


def explained(
    connection: psycopg.Connection[Any], name: str, values: dict[str, Any]
) -> dict[str, Any]:
    """The plan of a statement that was run, for these very values."""
    connection.execute(f"PREPARE {name} AS {numbered(ALL[name].text)}")
    try:
        given = [values[parameter] for parameter in ALL[name].parameters]
        said = psycopg.sql.SQL(", ").join(map(psycopg.sql.Literal, map(str_or_none, given)))
        call = psycopg.sql.SQL("({})").format(said) if given else psycopg.sql.SQL("")
        (((plan,),),) = connection.execute(
            psycopg.sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE {}{}").format(
                psycopg.sql.Identifier(name), call
            )
        ).fetchall()
    finally:
        connection.execute(f"DEALLOCATE {name}")
    return plan["Plan"]


def str_or_none(value: object) -> str | None:
    return None if value is None else str(value)


def touched(plan: dict[str, Any]) -> int:
    """How many rows of what has grown the scans went through."""
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes_of(plan)
        if node.get("Relation Name", "").split("_2")[0].removesuffix("_rest") in GROWN
    )
