"""
Plans of the statements that run all the time, with tables that have grown.

A plan is made once, when a session begins, and kept: so it must be good whatever the
tables looked like then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from rush.store import queries
from rush.store.session import Session
from tests.store.test_queries import numbered
from tests.support.kernel import Kernel

ALL = queries.load()

ROWS = 20_000
#: What may have grown. A plan that goes through one of these from end to end is a bad one.
GROWN = ("run", "run_state", "run_job", "archive", "log", "result", "run_request")

WORKERS = (
    "complete",
    "fail",
    "claim",
    "held",
    "mark_running",
    "give_back",
    "append_log",
    "complete_within",
    "archived",
)
MASTERS = (
    "outlook",
    "release_finished",
    "fail_overdue",
    "inherit",
    "retry_failed",
    "wake_waiting",
    "lift_paused",
    "sweep_cancelled",
    "end_cancelled",
    "assign",
    "pending_requests",
    "admit_next",
    "reject",
    "admit",
    "blocked_reruns",
    "reopen",
    "open_round",
    "flag_cancelled",
)


@pytest.fixture(scope="module", params=[False, True], ids=["unknown", "analysed"])
def grown(request: pytest.FixtureRequest, server: Any) -> Iterator[psycopg.Connection[Any]]:
    """A connection to tables that have grown, which the server has looked at, or not yet."""
    with server.database() as url, psycopg.connect(url, autocommit=True) as connection:
        kernel = Kernel(connection)
        kernel.define({"a": [], "b": [], "c": ["a", "b"]})
        grow(connection)
        if request.param:
            connection.execute("ANALYZE")
        yield connection


def grow(connection: psycopg.Connection[Any]) -> None:
    """Runs with a live job each, in all states, and what earlier ones have left."""
    for statement in (
        """
        INSERT INTO rush.run (pipeline, jobinstance, version_id, state, open, created_at, started_at)
        SELECT 'p', n, (SELECT max(id) FROM rush.pipeline_version), 'Running', 1, now(), now()
          FROM generate_series(1, %(rows)s) n
        """,
        """
        INSERT INTO rush.run_state (run_id, job, job_id, pipeline, jobinstance, state, queue, priority, ready_at,
                                    attempt, failed_at, worker, generation, token, claim_id, started_at, deadline_at)
        SELECT r.id, j.name, j.id, 'p', r.jobinstance, k.state, 'default', 0, now(),
               k.held::int, now(), CASE WHEN k.held THEN 'master' END,
               CASE WHEN k.held THEN 1 END, CASE WHEN k.held THEN r.id END, CASE WHEN k.held THEN 1 END,
               CASE WHEN k.held THEN now() END, CASE WHEN k.held THEN now() + interval '1 hour' END
          FROM rush.run r
          JOIN rush.pipeline_job j ON j.name = 'a'
         CROSS JOIN LATERAL (SELECT s.state, s.state = 'Running' AS held
                               FROM (SELECT (ARRAY['Ready', 'Ready', 'Running', 'Waiting', 'Failed', 'Stuck'])
                                            [1 + r.id % 6] AS state) s) k
        """,
        """
        INSERT INTO rush.archive (run_id, job, attempt, pipeline, jobinstance, state, token, finished_at)
        SELECT id, 'b', 1, 'p', jobinstance, 'Complete', id, now() FROM rush.run
        """,
        """
        INSERT INTO rush.log (run_id, job, item, round, attempt, token, part, at, lines)
        SELECT id, 'b', 0, 1, 1, id, 0, now(), 'line' FROM rush.run
        """,
        "INSERT INTO rush.result (run_id, job, value) SELECT id, 'b', '1' FROM rush.run",
        """
        INSERT INTO rush.run_job (run_id, job_id, round, pending, predecessors)
        SELECT r.id, j.id, 1, 1, 2 FROM rush.run r JOIN rush.pipeline_job j ON j.name = 'c'
        """,
        """
        INSERT INTO rush.finished (run_id, job_id, job, item, round)
        SELECT r.id, j.id, j.name, 0, 1 FROM rush.run r JOIN rush.pipeline_job j ON j.name = 'b'
         WHERE mod(r.id, 100) = 0
        """,
        """
        INSERT INTO rush.run_request (pipeline, status, run_id, decided_at)
        SELECT 'p', 'Accepted', id, now() FROM rush.run
        """,
    ):
        connection.execute(statement, {"rows": ROWS} if "%(rows)s" in statement else None)


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_finds_all_by_key(grown: psycopg.Connection[Any], name: str):
    """
    What a worker says all the time goes through no table, and joins in no other way than by key.
    """
    plan = Plan(grown, name, keyed=True)

    assert plan.scanned == []
    assert not plan.kinds & {"Hash Join", "Merge Join"}


@pytest.mark.parametrize("name", MASTERS)
@pytest.mark.parametrize("grown", [True], indirect=True, ids=["analysed"])
def test_a_master_goes_through_no_table(grown: psycopg.Connection[Any], name: str):
    """
    What a master does in each round is proportional to what is due, not to what there is.
    """
    assert Plan(grown, name, keyed=False).scanned == []


def test_a_report_finds_its_rows_by_key(grown: psycopg.Connection[Any]):
    """
    The fence is found by the primary key, never by going through all that the worker holds.
    """
    plan = Plan(grown, "complete", keyed=True)

    assert {"run_state_pkey", "run_pkey", "pipeline_job_pkey"} <= plan.indexes
    assert "run_state_held" not in plan.indexes


def test_a_claim_takes_the_first_of_the_index(grown: psycopg.Connection[Any]):
    """
    The next job is found at the start of the index of what is Ready.
    """
    plan = Plan(grown, "claim", keyed=True)

    assert {"run_state_ready", "run_pkey"} <= plan.indexes
    assert "run_state_pkey" not in plan.indexes
    assert "Tid Scan" in plan.kinds
    assert "Sort" in plan.kinds  # the few that were picked, of several queues


class Plan:
    """The plan of a named query as a session keeps it."""

    def __init__(self, connection: psycopg.Connection[Any], name: str, *, keyed: bool) -> None:
        with connection.transaction(force_rollback=True):
            Session(connection, "rush").settle_plans(keyed=keyed)
            text = numbered(ALL[name].text)
            connection.execute(f"PREPARE {name} AS {text}")
            (parameters,) = connection.execute(
                "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = %s",
                [name],
            ).fetchone()
            values = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
            (((plan,),),) = connection.execute(
                f"EXPLAIN (FORMAT JSON) EXECUTE {name}{values}"
            ).fetchall()
            connection.execute(f"DEALLOCATE {name}")
        self.nodes = list(nodes_of(plan["Plan"]))

    @property
    def kinds(self) -> set[str]:
        return {node["Node Type"] for node in self.nodes}

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    @property
    def scanned(self) -> list[str]:
        """The tables that have grown and are read from end to end, in order or by an index."""
        return [
            node["Relation Name"]
            for node in self.nodes
            if node.get("Relation Name", "").split("_2")[0].removesuffix("_rest") in GROWN
            and (node["Node Type"] == "Seq Scan" or whole_index(node))
        ]


def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from nodes_of(child)


def whole_index(node: dict[str, Any]) -> bool:
    """An index over all rows, read without a condition and without an order that is asked for."""
    whole = node.get("Index Name", "").endswith("_pkey")
    return node["Node Type"].startswith("Index") and whole and "Index Cond" not in node
