"""
Rows in just the state that a test wants, written straight into the tables.

Times are given in seconds from now, on the database's clock: `started=-10` is ten
seconds ago.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from rush.domain.definition import read_definition
from rush.store import pipelines
from rush.store.session import Session

FIRST_THEN_SECOND: Mapping[str, Sequence[str]] = {"extract": [], "load": ["extract"]}


@dataclass(frozen=True)
class MadeRun:
    id: int
    pipeline: str
    jobinstance: int
    version_id: int
    round: int

    @property
    def name(self) -> str:
        return f"{self.pipeline}/{self.jobinstance}"


@dataclass(frozen=True)
class MadeWorker:
    id: int
    name: str
    generation: int


class Factories:
    """Makes rows through one connection, in autocommit."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str = "rush") -> None:
        self.session = Session(connection, schema, prepare=False)
        self._tokens = itertools.count(1)

    def pipeline(
        self,
        name: str = "etl",
        jobs: Mapping[str, Sequence[str]] = FIRST_THEN_SECOND,
        *,
        paused: bool = False,
        **options: Any,
    ) -> int:
        """A compiled pipeline: each job with those that it waits for, all with the same options."""
        definition = {
            "jobs": [
                {"name": job, "class_name": "jobs.any.Any", "depends_on": list(before), **options}
                for job, before in jobs.items()
            ]
        }
        pipelines.apply(self.session, name, definition)
        if paused:
            pipelines.set_paused(self.session, name, True)
        return self.compile(name)

    def compile(self, name: str) -> int:
        """What the master does with the newest version of a pipeline. Returns its id."""
        for version in pipelines.uncompiled(self.session, limit=100):
            definition = read_definition(version.definition, syntax="json")
            pipelines.compile_version(self.session, version.id, definition)
        return pipelines.pipeline(self.session, name).version_id

    def run(
        self,
        pipeline: str = "etl",
        *,
        state: str = "Running",
        jobinstance: int | None = None,
        round: int = 1,
        open: int = 1,
        stuck: int = 0,
        cancelling: bool = False,
        params: dict[str, Any] | None = None,
        started: float = -60,
        finished: float = 0,
    ) -> MadeRun:
        version = pipelines.pipeline(self.session, pipeline)
        return MadeRun(
            *self._row(
                """
                INSERT INTO rush.run (pipeline, jobinstance, version_id, state, round, open, stuck, cancelling,
                                 params, created_at, started_at, finished_at)
                SELECT %(pipeline)s::text,
                       coalesce(%(jobinstance)s::int, (SELECT coalesce(max(jobinstance), 0) + 1 FROM rush.run
                                                   WHERE pipeline = %(pipeline)s)),
                       %(version_id)s::bigint, %(state)s::text, %(round)s::int, %(open)s::int, %(stuck)s::int,
                       %(cancelling)s::bool, %(params)s::jsonb,
                       now() + %(started)s * interval '1 second', now() + %(started)s * interval '1 second',
                       CASE WHEN %(state)s <> 'Running' THEN now() + %(finished)s * interval '1 second' END
                RETURNING id, pipeline, jobinstance, version_id, round
                """,
                pipeline=pipeline,
                jobinstance=jobinstance,
                version_id=version.version_id,
                state=state,
                round=round,
                open=open,
                stuck=stuck,
                cancelling=cancelling,
                params=None if params is None else Jsonb(params),
                started=started,
                finished=finished,
            )
        )

    def job(
        self,
        run: MadeRun,
        name: str,
        *,
        state: str = "Ready",
        attempt: int | None = None,
        retries: int = 0,
        worker: MadeWorker | None = None,
        round: int | None = None,
        ready: float = -30,
        started: float = -20,
        paused: bool = False,
    ) -> int:
        """A live job. Returns its token; 0 where nobody holds it."""
        token = next(self._tokens) if worker else None
        self.session.connection.execute(
            """
            INSERT INTO rush.run_state (run_id, job, round, job_id, pipeline, jobinstance, state, attempt, retries,
                                   queue, priority, paused, ready_at, worker, generation, token, claim_id,
                                   started_at, deadline_at, failed_at)
            SELECT %(run_id)s, j.name, %(round)s, j.id, %(pipeline)s::text, %(jobinstance)s, %(state)s::text,
                   %(attempt)s, %(retries)s, j.queue, j.priority, %(paused)s,
                   now() + %(ready)s * interval '1 second',
                   %(worker)s::text, %(generation)s::bigint, %(token)s::bigint, %(token)s::bigint,
                   CASE WHEN %(state)s = 'Running' THEN now() + %(started)s * interval '1 second' END,
                   CASE WHEN %(state)s = 'Running' THEN now() + interval '1 hour' END,
                   CASE WHEN %(state)s IN ('Failed', 'Stuck') THEN now() END
              FROM rush.pipeline_job j WHERE j.version_id = %(version_id)s AND j.name = %(name)s
            """,
            {
                "run_id": run.id,
                "round": round or run.round,
                "pipeline": run.pipeline,
                "jobinstance": run.jobinstance,
                "state": state,
                "attempt": attempt or int(state in ("Running", "Failed", "Stuck")),
                "retries": retries,
                "paused": paused,
                "ready": ready,
                "started": started,
                "worker": worker and worker.name,
                "generation": worker and worker.generation,
                "token": token,
                "version_id": run.version_id,
                "name": name,
            },
        )
        return token or 0

    def attempt(
        self,
        run: MadeRun,
        job: str,
        *,
        state: str = "Complete",
        attempt: int = 1,
        round: int | None = None,
        worker: str | None = "worker1",
        started: float | None = -10,
        finished: float = -5,
        error: str | None = None,
        reason: str | None = None,
    ) -> int:
        """An attempt that is over. Returns its token."""
        token = next(self._tokens)
        self.session.connection.execute(
            """
            INSERT INTO rush.archive (run_id, job, round, attempt, pipeline, jobinstance, state, worker, token,
                                 ready_at, started_at, finished_at, reason, error)
            VALUES (%(run_id)s, %(job)s, %(round)s, %(attempt)s, %(pipeline)s, %(jobinstance)s, %(state)s,
                    %(worker)s, %(token)s, now() + %(started)s * interval '1 second',
                    now() + %(started)s * interval '1 second', now() + %(finished)s * interval '1 second',
                    %(reason)s, %(error)s)
            """,
            {
                "run_id": run.id,
                "job": job,
                "round": round or run.round,
                "attempt": attempt,
                "pipeline": run.pipeline,
                "jobinstance": run.jobinstance,
                "state": state,
                "worker": worker,
                "token": token,
                "started": started,
                "finished": finished,
                "reason": reason or ("raised" if state == "Failed" else None),
                "error": error or ("ValueError: no" if state == "Failed" else None),
            },
        )
        return token

    def counted(self, run: MadeRun, job: str, *, pending: int, round: int | None = None) -> None:
        """The count of a job that waits for several, or that runs again."""
        self.session.connection.execute(
            """
            INSERT INTO rush.run_job (run_id, job_id, round, pending, predecessors)
            SELECT %s, id, %s, %s, predecessors FROM rush.pipeline_job WHERE version_id = %s AND name = %s
            """,
            [run.id, round or run.round, pending, run.version_id, job],
        )

    def result(self, run: MadeRun, job: str, value: Any, *, round: int | None = None) -> None:
        self.session.connection.execute(
            "INSERT INTO rush.result (run_id, job, round, value) VALUES (%s, %s, %s, %s)",
            [run.id, job, round or run.round, Jsonb(value)],
        )

    def log(
        self,
        run: MadeRun,
        job: str,
        *lines: str,
        token: int,
        part: int = 0,
        attempt: int = 1,
        kept: float = 0,
    ) -> None:
        """A part of an attempt's log, kept so many seconds from now."""
        self.session.connection.execute(
            """
            INSERT INTO rush.log (run_id, job, item, round, attempt, token, part, at, lines)
            VALUES (%s, %s, 0, %s, %s, %s, %s, now() + %s * interval '1 second', %s)
            """,
            [run.id, job, run.round, attempt, token, part, kept, "\n".join(lines)],
        )

    def worker(
        self,
        name: str = "worker1",
        *,
        state: str = "Alive",
        slots: int = 4,
        queues: Sequence[str] = ("default",),
        lease: float = 3600,
        progress: Mapping[int, Sequence[float | None]] | None = None,
    ) -> MadeWorker:
        """A worker of which there is only the row."""
        return MadeWorker(
            *self._row(
                """
                INSERT INTO rush.worker (name, state, slots, queues, host, boot_id, pid, version, progress,
                                    lease_expires_at)
                VALUES (%(name)s, %(state)s, %(slots)s, %(queues)s, 'here', 'boot', 1, '0', %(progress)s,
                        now() + %(lease)s * interval '1 second')
                RETURNING id, name, generation
                """,
                name=name,
                state=state,
                slots=slots,
                queues=list(queues),
                lease=lease,
                progress=Jsonb(progress) if progress else None,
            )
        )

    def progress(self, worker: MadeWorker, token: int, done: float, total: float | None) -> None:
        self.session.connection.execute(
            "UPDATE rush.worker SET progress = %s WHERE name = %s",
            [Jsonb({str(token): [done, total]}), worker.name],
        )

    def master(self, worker: MadeWorker, *, expires: float = 3600) -> None:
        """The token is a worker's, with a lease of so many seconds."""
        self.session.connection.execute(
            """
            UPDATE rush.master_token
               SET holder = %s, generation = %s, term = term + 1, elected_at = now(),
                   expires_at = now() + %s * interval '1 second'
            """,
            [worker.name, worker.generation, expires],
        )

    def request(
        self,
        pipeline: str = "etl",
        *,
        status: str = "Pending",
        reason: str | None = None,
        jobinstance: int | None = None,
        action: str = "start",
        run: MadeRun | None = None,
    ) -> int:
        """A run request. Returns its id."""
        (request_id,) = self._row(
            """
            INSERT INTO rush.run_request (pipeline, jobinstance, action, status, reason, run_id, decided_at)
            VALUES (%(pipeline)s, %(jobinstance)s, %(action)s, %(status)s, %(reason)s, %(run_id)s,
                    CASE WHEN %(status)s::text <> 'Pending' THEN now() END)
            RETURNING id
            """,
            pipeline=pipeline,
            jobinstance=jobinstance,
            action=action,
            status=status,
            reason=reason,
            run_id=run and run.id,
        )
        return request_id

    def decide(self, request_id: int, *, run: MadeRun | None = None, reason: str = "no") -> None:
        """Accept a pending request with its run, or reject it; what the master does."""
        self.session.connection.execute(
            """
            UPDATE rush.run_request
               SET status = CASE WHEN %(run_id)s::bigint IS NULL THEN 'Rejected' ELSE 'Accepted' END,
                   reason = CASE WHEN %(run_id)s::bigint IS NULL THEN %(reason)s::text END,
                   run_id = %(run_id)s::bigint, jobinstance = coalesce(%(jobinstance)s::int, jobinstance),
                   decided_at = now()
             WHERE id = %(id)s
            """,
            {
                "id": request_id,
                "run_id": run and run.id,
                "jobinstance": run and run.jobinstance,
                "reason": reason,
            },
        )

    def end(self, run: MadeRun, state: str = "Complete") -> None:
        """The run comes to rest."""
        self.session.connection.execute(
            "UPDATE rush.run SET state = %s, finished_at = now() WHERE id = %s", [state, run.id]
        )

    def _row(self, statement: str, **params: Any) -> tuple[Any, ...]:
        row = self.session.connection.execute(statement, params).fetchone()
        assert row is not None
        return tuple(row)
