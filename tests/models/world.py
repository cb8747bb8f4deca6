"""
The real thing for the model: a database whose clock is in our hands, seen through two
connections, and its tables read in one go.

`clock_timestamp()` and `statement_timestamp()` are functions of the harness's own for whoever
connects with `OPTIONS`: the statements of Rush are as they are, and what they call the time is a row
in a table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg

from rush.store.session import Session
from tests.chaos.scene import TABLES
from tests.models.model import GRAPHS
from tests.support.kernel import Kernel
from tests.support.waiting import wait_for

#: One's own functions come before those of the same name in pg_catalog. Nobody waits for a lock here:
#: there is but one thread.
OPTIONS = "-c search_path=fake,pg_catalog,public,rush -c lock_timeout=40ms"

CLOCK = """
CREATE SCHEMA fake;
CREATE TABLE fake.clock AS SELECT pg_catalog.clock_timestamp() AS at;
CREATE FUNCTION fake.clock_timestamp() RETURNS timestamptz STABLE LANGUAGE sql
    AS 'SELECT at FROM fake.clock';
CREATE FUNCTION fake.statement_timestamp() RETURNS timestamptz STABLE LANGUAGE sql
    AS 'SELECT at FROM fake.clock';
-- A default knows its function by more than the name.
ALTER TABLE rush.worker ALTER last_seen SET DEFAULT fake.statement_timestamp();
"""

#: Truncated, so that whoever may choose chooses the same when a story is told again.
EMPTY = """
TRUNCATE rush.run_request, rush.run, rush.run_state, rush.finished, rush.run_job, rush.result, rush.alert,
         rush.worker, chaos.event, chaos.action, public.effect RESTART IDENTITY;
DELETE FROM rush.archive;
UPDATE rush.pipeline SET paused = false;
UPDATE rush.control SET paused = false;
UPDATE rush.master_token SET holder = NULL, expires_at = 'epoch', backend_start = NULL;
"""

READ = """
SELECT
  (SELECT json_agg(json_build_array(id, pipeline, jobinstance, state, round, open, stuck, cancelling))
     FROM rush.run) AS runs,
  (SELECT json_agg(json_build_array(run_id, job, round, state, attempt, retries, losses, paused, given_back,
                                    worker, generation, token, claim_id,
                                    extract(epoch FROM ready_at), extract(epoch FROM deadline_at)))
     FROM rush.run_state) AS jobs,
  (SELECT json_agg(json_build_array(run_id, job, round, attempt, state, token)) FROM rush.archive) AS archive,
  (SELECT json_agg(json_build_array(run_id, job, round)) FROM rush.finished) AS finished,
  (SELECT json_agg(json_build_array(b.run_id, j.name, b.pending))
     FROM rush.run_job b JOIN rush.pipeline_job j ON j.id = b.job_id WHERE j.predecessors > 1) AS counts,
  (SELECT json_agg(json_build_array(id, status, run_id, jobinstance)) FROM rush.run_request) AS requests,
  (SELECT json_agg(json_build_array(name, generation, state, extract(epoch FROM lease_expires_at)))
     FROM rush.worker) AS workers,
  (SELECT json_build_array(term, holder, extract(epoch FROM expires_at)) FROM rush.master_token) AS token,
  (SELECT json_agg(token) FROM public.effect) AS effects
"""


class Tables(NamedTuple):
    """All that is committed; lists of rows."""

    runs: list[Any]
    jobs: list[Any]
    archive: list[Any]
    finished: list[Any]
    counts: list[Any]
    requests: list[Any]
    workers: list[Any]
    token: list[Any]
    effects: list[Any]


class World:
    """A database. What is in it goes with `empty`; the term goes on rising."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._own = psycopg.connect(url, autocommit=True)
        self._own.execute(CLOCK.encode())
        self._own.execute(TABLES.encode())
        self._define()
        self.first = self._connect()
        self.second = self._connect()
        #: What has come about, by name: a search that meets nothing shows nothing.
        self.tally: Counter[str] = Counter()
        #: When every story begins.
        self.dawn = self.one("SELECT extract(epoch FROM at)::float8 FROM fake.clock")

    def _define(self) -> None:
        kernel = Kernel(self._own)
        for name, graph in GRAPHS.items():
            kernel.define(
                {job: list(rule.before) for job, rule in graph.items()},
                name,
                of={
                    job: {
                        "retry_limit": rule.retry_limit,
                        "retry_gap_minutes": rule.gap / 60,
                        "timeout_minutes": rule.timeout / 60,
                        "priority": rule.priority,
                    }
                    for job, rule in graph.items()
                },
            )

    def close(self) -> None:
        for connection in (self._own, self.first.connection, self.second.connection):
            connection.close()

    def empty(self) -> None:
        self._own.execute(EMPTY.encode())

    def read(self) -> Tables:
        row = self._own.execute(READ.encode()).fetchone()
        assert row is not None
        return Tables(*(column or [] for column in row))

    def set_clock(self, now: float) -> None:
        at = datetime.fromtimestamp(now, UTC)
        self._own.execute("UPDATE fake.clock SET at = %s", [at])

    def one(self, statement: str) -> Any:
        row = self._own.execute(statement.encode()).fetchone()
        return row and row[0]

    def last(self, sequence: str) -> int:
        """The last number that a sequence has given out."""
        return self.one(f"SELECT pg_sequence_last_value('rush.{sequence}')") or 0

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The harness's own, on which time is what it is."""
        return self._own

    def session(self, name: str) -> Session:
        return self.first if name == "first" else self.second

    def kill(self, name: str) -> None:
        """End a session at the server, with whatever it has open, and connect again."""
        connection = self.session(name).connection
        pid = connection.info.backend_pid
        self._own.execute("SELECT pg_terminate_backend(%s)", [pid])
        wait_for(
            lambda: (
                not self._own.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).rowcount
            ),
            what="a session to end",
        )
        connection.close()
        setattr(self, name, self._connect())

    def _connect(self) -> Session:
        session = Session(psycopg.connect(self._url, autocommit=True, options=OPTIONS), "rush")
        session.settle_plans()
        return session


@contextmanager
def opened(url: str) -> Iterator[World]:
    world = World(url)
    try:
        yield world
    finally:
        world.close()
