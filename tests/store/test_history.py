"""What is over: partitions ahead, old ones dropped, runs forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from rush.store import history
from rush.store.session import Session

Connection = psycopg.Connection[Any]


@pytest.fixture
def session(connection: Connection) -> Session:
    return Session(connection, "rush")


def test_partitions_are_made_weeks_ahead(session: Session) -> None:
    """Each week up to five weeks from now has a partition of archive and of log; the second time there is nothing to do."""
    now = datetime.now(UTC) + timedelta(weeks=20)

    made = history.make_partitions(session, now=now)

    monday = now - timedelta(days=now.weekday())
    assert f"archive_{monday:%G}w{monday:%V}" in made
    assert f"log_{monday + timedelta(weeks=4):%Gw%V}" in made
    assert history.make_partitions(session, now=now) == []


def test_prune_removes_by_partition_what_is_old_and_keeps_what_is_live(session: Session) -> None:
    """Old runs go with results, requests, attempts and logs; younger and live ones stay."""
    now = datetime.now(UTC)
    old = now - timedelta(weeks=10)
    history.make_partitions(session, now=old)
    for run, state, ended in [
        (1, "Complete", old),
        (2, "Complete", now),
        (3, "Running", None),
        (4, "Stuck", old),
    ]:
        session.connection.execute(
            "INSERT INTO rush.run (id, pipeline, jobinstance, version_id, state, open, created_at, started_at, finished_at)"
            " VALUES (%s, 'p', %s, 1, %s, 0, %s, %s, %s)",
            [run, run, state, old, old, ended],
        )
        session.connection.execute(
            "INSERT INTO rush.result (run_id, job, value) VALUES (%s, 'a', '1')", [run]
        )
        session.connection.execute(
            "INSERT INTO rush.archive (run_id, job, attempt, pipeline, jobinstance, state, finished_at)"
            " VALUES (%s, 'a', 1, 'p', 1, 'Complete', %s)",
            [run, old if run != 2 else now],
        )
    session.connection.execute(
        "INSERT INTO rush.run_state (run_id, job, job_id, pipeline, jobinstance, state, queue, priority, ready_at, failed_at)"
        " VALUES (4, 'b', 1, 'p', 4, 'Stuck', 'default', 0, now(), now())"
    )

    pruned = history.prune(session, before=now - timedelta(weeks=8))

    assert (pruned["runs"], pruned["requests"]) == (1, 0)
    assert f"archive_{old - timedelta(days=old.weekday()):%Gw%V}" in pruned["partitions"]
    remaining = session.connection.execute("SELECT id FROM rush.run ORDER BY id").fetchall()
    assert remaining == [(2,), (3,), (4,)]
    assert (
        session.connection.execute("SELECT run_id FROM rush.result ORDER BY 1").fetchall()
        == remaining
    )
    assert session.connection.execute("SELECT run_id FROM rush.archive").fetchall() == [(2,)]
