"""A database in which something is going on, for bad inputs to meet."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from tests.support.kernel import Kernel

CROOKED = {"jobs": [{"name": "a", "class_name": "jobs.a.A", "depends_on": ["b"]}]}


class Scene:
    """
    Pipelines: `etl` (run 1 has a Running job, run 2 a Ready one), `done` (one run, Complete),
    `other` (no run yet) and `crooked`, which cannot run.
    """

    def __init__(self, url: str, connection: psycopg.Connection[Any]) -> None:
        self.url = url
        self.connection = connection
        self.kernel = kernel = Kernel(connection)
        worker = kernel.worker()
        kernel.define({"a": []}, "done")
        run = kernel.start("done")
        kernel.complete(worker, *kernel.running(worker))
        assert kernel.state(run) == "Complete"
        kernel.define({"extract": [], "load": ["extract"]}, "etl")
        kernel.start("etl")
        kernel.running(worker)
        kernel.start("etl", params={"a": 1}, idempotency_key="taken")
        kernel.define({"a": []}, "other")
        kernel.sql("INSERT INTO pipeline VALUES ('crooked', %s)", json.dumps(CROOKED))
        kernel.compile()

    def picture(self, *, without: str = "") -> dict[str, Any]:
        """What is in every table, to be compared; of one perhaps not."""
        tables = self.kernel.sql(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'rush' AND tablename <> %s", without
        )
        counted = sql.SQL(
            "SELECT {0} AS name, md5(string_agg(t::text, ';' ORDER BY t::text)) AS sum FROM {1} t"
        )
        union = sql.SQL(" UNION ALL ").join(
            counted.format(sql.Literal(name), sql.Identifier("rush", name)) for (name,) in tables
        )
        return dict(self.connection.execute(union).fetchall())

    @contextmanager
    def unchanged(self, *, without: str = "") -> Generator[None]:
        """Whatever is done inside leaves nothing behind."""
        before = self.picture(without=without)
        yield
        after = self.picture(without=without)
        assert {name for name, sum in after.items() if sum != before[name]} == set()

    @contextmanager
    def forgotten(self) -> Generator[Kernel]:
        """What is done inside through the kernel's connection is rolled back."""
        with self.connection.transaction(force_rollback=True):
            yield self.kernel
