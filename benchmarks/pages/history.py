"""
A long history, made by few statements: months of runs of some hundred pipelines with all that
they leave behind, and what is live beside it.

Widths are those of real rows: errors with tracebacks, logs of some lines, parameters, results.
Ids rise with time, as they do where runs come one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from tests.support.kernel import Kernel

WEEKS = 26
PIPELINES = 300
#: How many jobs pipelines have, in turns; and attempts of a run, on the average.
SIZES = (3, 5, 8, 12, 20, 30, 40, 60, 90, 120)
JOBS_A_RUN = 35
#: These pipelines, one in ten, have not run since the first weeks.
STOPPED = 4

LARGE, WIDE, CHATTY, BACKLOG = "large", "wide", "chatty", "backlog"
LARGE_JOBS, WIDE_JOBS, BACKLOG_JOBS = 2000, 6000, 100
WIDE_RUNS = 10
LINES = 1_000_000
LINES_A_PART = 500

AREAS = ("sales", "billing", "supply", "fleet", "web", "risk")
WORDS = ("orders", "invoices", "events", "sessions", "prices", "stock", "claims", "trips")


def names() -> list[str]:
    """What the pipelines are called."""
    return [
        f"{AREAS[n % len(AREAS)]}_{WORDS[n % len(WORDS)]}_{n:03}" for n in range(1, PIPELINES + 1)
    ]


def define(connection: psycopg.Connection[Any]) -> None:
    """Put down all pipelines, and compile them. In a database of nothing."""
    kernel = Kernel(connection)
    for at, name in enumerate(names()):
        kernel.define(_layers(SIZES[at % len(SIZES)]), name, of={"job_0": _load()})
    kernel.define(_layers(LARGE_JOBS), LARGE)
    for day in (1, 2):
        kernel.define(_layers(WIDE_JOBS), WIDE, of={"job_17": {"params": {"day": day}}})
    kernel.define({"talk": []}, CHATTY)
    kernel.define({f"job_{n}": [] for n in range(BACKLOG_JOBS)}, BACKLOG)


def _layers(size: int) -> dict[str, list[str]]:
    """Jobs of which each waits for one or two of those before it, ten side by side."""
    return {
        f"job_{n}": [f"job_{before}" for before in {n - 10, n - 10 - n % 3} if before >= 0]
        for n in range(size)
    }


def _load() -> dict[str, Any]:
    source = "postgresql://loader:secret@warehouse.internal:5432/lake"
    return {"params": {"source": source, "tables": [f"raw.table_{n}" for n in range(8)]}}


def fill(connection: psycopg.Connection[Any], *, rows: int, ready: int) -> Iterator[str]:
    """Make all of it, step by step: what was made last is told before the next step."""
    connection.execute("SET synchronous_commit = off")
    define(connection)
    _prepare(connection)
    yield "pipelines"
    runs = max(WEEKS, rows // JOBS_A_RUN)
    for week in range(WEEKS):
        connection.execute("TRUNCATE made")
        connection.execute(_RUNS, {"week": week, "weeks": WEEKS, "runs": runs // WEEKS})
        connection.execute(_ATTEMPTS)
        connection.execute(_LEFT_BEHIND)
        if week == WEEKS // 2:
            _fill_special(connection, runs=WIDE_RUNS, ago=WEEKS - week)
        yield f"week {week + 1} of {WEEKS}"
    _fill_special(connection, runs=WIDE_RUNS, ago=0)
    _fill_log(connection)
    connection.execute(_WORKERS)
    connection.execute(_LIVE)
    connection.execute(_AUDIT)
    yield "what is live"
    for _ in range(10):
        connection.execute(_READY, {"runs": -(-ready // BACKLOG_JOBS // 10), "ready": ready})
        yield "what is ready"
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")


def _prepare(connection: psycopg.Connection[Any]) -> None:
    for ago in range(WEEKS + 1):
        for parent in ("archive", "log"):
            (statement,) = connection.execute(
                _PARTITION, {"ago": ago, "parent": parent}
            ).fetchone() or ("",)
            connection.execute(statement)
    connection.execute(_MADE)
    connection.execute(
        _CHOICES, {"names": names(), "stopped": STOPPED, "weeks": WEEKS, "sizes": len(SIZES)}
    )


def _fill_special(connection: psycopg.Connection[Any], *, runs: int, ago: int) -> None:
    for name, number in ((LARGE, runs), (WIDE, runs)):
        connection.execute("TRUNCATE made")
        connection.execute(_SPECIAL, {"pipeline": name, "runs": number, "ago": ago})
        connection.execute(_ATTEMPTS)


def _fill_log(connection: psycopg.Connection[Any]) -> None:
    connection.execute("TRUNCATE made")
    connection.execute(_SPECIAL, {"pipeline": CHATTY, "runs": 1, "ago": 0})
    connection.execute(_ATTEMPTS)
    connection.execute(_LOG, {"parts": LINES // LINES_A_PART, "lines": LINES_A_PART})


_PARTITION = """
    SELECT format('CREATE TABLE IF NOT EXISTS rush.%%1$s PARTITION OF rush.%%2$s'
                  ' FOR VALUES FROM (%%3$L) TO (%%4$L)',
                  %(parent)s || to_char(monday AT TIME ZONE 'UTC', '_IYYY"w"IW'), %(parent)s::text, monday,
                  monday + interval '1 week')
      FROM (SELECT (date_trunc('week', now() AT TIME ZONE 'UTC') - %(ago)s * interval '1 week')
                   AT TIME ZONE 'UTC' AS monday) week
"""

#: The runs that were made last.
_MADE = """
    CREATE TEMPORARY TABLE made AS
    SELECT id, pipeline, jobinstance, version_id, state, started_at, finished_at FROM rush.run WHERE false
"""

#: Who runs how often: a pipeline has as many places as it has, one after the other, of a thousand.
_CHOICES = """
    CREATE TEMPORARY TABLE choice AS
    SELECT row_number() OVER () AS place, name, v.id AS version_id,
           CASE WHEN mod(n, 10) = 9 THEN %(stopped)s ELSE %(weeks)s END AS until
      FROM unnest(%(names)s::text[]) WITH ORDINALITY AS p(name, n)
      JOIN rush.pipeline_version v ON v.pipeline = p.name
     CROSS JOIN generate_series(1, CASE WHEN n <= 20 THEN 20 ELSE 3 END)
"""

_RUNS = """
    WITH chosen AS MATERIALIZED (
        SELECT place, name, version_id, row_number() OVER () AS n FROM choice WHERE until > %(week)s
    ), moment AS MATERIALIZED (
        SELECT g, 1 + floor(random() * (SELECT count(*) FROM chosen))::int AS n,
               now() - interval '2 hours' - (%(weeks)s - %(week)s - g::float8 / %(runs)s) * interval '6 days 22 hours' AS at
          FROM generate_series(1, %(runs)s) g
    ), numbered AS (
        SELECT g, at, c.name, c.version_id, random() AS luck,
               row_number() OVER (PARTITION BY c.name ORDER BY g)
               + coalesce((SELECT max(r.jobinstance) FROM rush.run r WHERE r.pipeline = c.name), 0) AS jobinstance
          FROM moment m JOIN chosen c USING (n)
    ), ran AS (
        INSERT INTO rush.run (pipeline, jobinstance, version_id, state, open, stuck, params, created_at, started_at,
                              finished_at)
        SELECT name, jobinstance, version_id, s.state, (s.state = 'Stuck')::int, (s.state = 'Stuck')::int,
               CASE WHEN luck > 0.3 THEN jsonb_build_object('day', at::date, 'region', 'eu-' || mod(g, 9), 'full', false) END,
               at, at + interval '40 milliseconds', at + (30 + 600 * luck) * interval '1 second'
          FROM numbered CROSS JOIN LATERAL (
               SELECT CASE WHEN luck < 0.002 THEN 'Stuck' WHEN luck < 0.007 THEN 'Cancelled' ELSE 'Complete' END) s(state)
         ORDER BY g
        RETURNING id, pipeline, jobinstance, version_id, state, started_at, finished_at
    ) INSERT INTO made SELECT * FROM ran
"""

#: The same number of runs of one pipeline, an hour apart.
_SPECIAL = """
    WITH ran AS (
        INSERT INTO rush.run (pipeline, jobinstance, version_id, state, open, created_at, started_at, finished_at)
        SELECT %(pipeline)s, n + coalesce((SELECT max(jobinstance) FROM rush.run WHERE pipeline = %(pipeline)s), 0),
               (SELECT max(id) FROM rush.pipeline_version WHERE pipeline = %(pipeline)s), 'Complete', 0, at, at,
               at + interval '50 minutes'
          FROM generate_series(1, %(runs)s) n, LATERAL (
               SELECT now() - %(ago)s * interval '6 days 22 hours' - (%(runs)s - n + 1) * interval '1 hour') t(at)
         ORDER BY n
        RETURNING id, pipeline, jobinstance, version_id, state, started_at, finished_at
    ) INSERT INTO made SELECT * FROM ran
"""

#: Every job once; one in fifty has failed before. A run that got stuck or was cancelled has half of them.
_ATTEMPTS = """
    INSERT INTO rush.archive (run_id, job, attempt, pipeline, jobinstance, state, worker, token, code,
                              ready_at, started_at, finished_at, reason, error, traceback, log)
    SELECT m.id, j.name, attempt, m.pipeline, m.jobinstance, CASE WHEN failed THEN 'Failed' ELSE 'Complete' END,
           'etl-worker-' || mod(m.id + j.position, 20), nextval('rush.token'), '2026.11.' || mod(m.id, 28),
           at, at + interval '3 milliseconds', at + step, CASE WHEN failed THEN 'raised' END,
           CASE WHEN failed THEN f.error END,
           CASE WHEN failed THEN 'Traceback (most recent call last):' || repeat(
               E'\\n  File "/srv/etl/jobs/load.py", line 71, in run\\n    rows = self.read(source, table)', 8) || E'\\n' || f.error END,
           to_char(at, 'YYYY-MM-DD HH24:MI:SS') || '.103 INFO reading raw.table_' || mod(j.position, 8)
           || E' from the lake\\n' || to_char(at, 'YYYY-MM-DD HH24:MI:SS') || '.871 INFO wrote ' || mod(m.id * 7919, 100000) || ' rows'
      FROM made m
      JOIN LATERAL (
           SELECT name, position, id, (m.finished_at - m.started_at) / (count(*) OVER () + 1) AS step, count(*) OVER () AS jobs
             FROM rush.pipeline_job WHERE version_id = m.version_id) j
        ON m.state = 'Complete' OR j.position <= j.jobs / 2
      CROSS JOIN LATERAL (
           SELECT mod(m.id * 31 + j.position, 50) = 0 OR m.state = 'Stuck' AND j.position = j.jobs / 2 AS unlucky,
                  'psycopg.errors.UndefinedColumn: column "col_' || mod(m.id, 40) || '" does not exist in raw.table_'
                  || mod(j.position, 8) AS error) f
      CROSS JOIN LATERAL (
           SELECT 1 AS attempt, f.unlucky AS failed
           UNION ALL SELECT 2, false WHERE f.unlucky AND NOT (m.state = 'Stuck' AND j.position = j.jobs / 2)) a
      CROSS JOIN LATERAL (SELECT m.started_at + j.position * j.step AS at) t
     ORDER BY m.id, j.position, attempt
"""

#: Requests, some results, and what is Stuck.
_LEFT_BEHIND = """
    INSERT INTO rush.run_request (pipeline, params, status, run_id, created_at, decided_at)
    SELECT pipeline, '{"full": false}', 'Accepted', id, started_at, started_at FROM made ORDER BY id;
    INSERT INTO rush.result (run_id, job, value)
    SELECT m.id, 'job_' || n, jsonb_build_object('rows', m.id * 7, 'table', 'raw.table_' || n, 'digest', md5(m.id::text))
      FROM made m, generate_series(0, 2) n WHERE m.state = 'Complete' ORDER BY m.id;
    INSERT INTO rush.run_state (run_id, job, job_id, pipeline, jobinstance, state, attempt, queue, priority,
                                ready_at, failed_at)
    SELECT a.run_id, a.job, j.id, a.pipeline, a.jobinstance, 'Stuck', 1, 'default', 0, a.ready_at, a.finished_at
      FROM made m
      JOIN rush.archive a ON a.run_id = m.id AND a.state = 'Failed' AND a.finished_at BETWEEN m.started_at AND m.finished_at
      JOIN rush.pipeline_job j ON j.version_id = m.version_id AND j.name = a.job
     WHERE m.state = 'Stuck'
       AND j.position = (SELECT count(*) FROM rush.pipeline_job k WHERE k.version_id = m.version_id) / 2
"""

_LOG = """
    INSERT INTO rush.log (run_id, job, item, round, attempt, token, part, at, lines)
    SELECT m.id, 'talk', 0, 1, 1, a.token, part, m.started_at + part * (m.finished_at - m.started_at) / (%(parts)s + 1),
           (SELECT string_agg(to_char(m.started_at + part * interval '1 second', 'YYYY-MM-DD HH24:MI:SS') || '.'
                              || lpad((line * 2)::text, 3, '0')
                              || CASE WHEN mod(line, 50) = 0 THEN ' WARNING slow: ' ELSE ' INFO ' END
                              || 'row ' || part * %(lines)s + line || ' of raw.orders, checked and written to the lake',
                              E'\\n' ORDER BY line)
              FROM generate_series(0, %(lines)s - 1) line)
      FROM made m JOIN rush.archive a ON a.run_id = m.id, generate_series(0, %(parts)s - 1) part
"""

_WORKERS = """
    INSERT INTO rush.worker (name, state, slots, queues, host, boot_id, pid, version, code, lease_expires_at)
    SELECT 'etl-worker-' || n, 'Alive', 4, '{default}', 'host-' || n, md5(n::text), 1000 + n, '0.1.0', '2026.11.25',
           now() + interval '1 day'
      FROM generate_series(0, 19) n;
    INSERT INTO rush.master_term (term, holder, elected_at)
    SELECT 1000 + n, 'etl-worker-' || mod(n, 20), now() - n * interval '1 day' FROM generate_series(1, 60) n
"""

#: Forty jobs that run.
_LIVE = """
    WITH ran AS (
        INSERT INTO rush.run (pipeline, jobinstance, version_id, state, open, created_at, started_at)
        SELECT c.name, 1000000 + n, c.version_id, 'Running', 1, now() - interval '5 minutes', now() - interval '5 minutes'
          FROM generate_series(1, 40) n JOIN choice c ON c.place = n * 7
        RETURNING *
    )
    INSERT INTO rush.run_state (run_id, job, job_id, pipeline, jobinstance, state, attempt, queue, priority, ready_at,
                                worker, generation, token, claim_id, started_at, deadline_at)
    SELECT r.id, j.name, j.id, r.pipeline, r.jobinstance, 'Running', 1, 'default', 0, r.started_at, w.name, w.generation,
           nextval('rush.token'), 1, r.started_at, now() + interval '1 day'
      FROM ran r
      JOIN rush.pipeline_job j ON j.version_id = r.version_id AND j.position = 0
      JOIN rush.worker w ON w.name = 'etl-worker-' || mod(r.id, 20)
"""

_AUDIT = """
    INSERT INTO rush.audit (at, who, via, action, target, detail, why, outcome)
    SELECT now() - (50000 - n) * interval '5 minutes', 'person' || mod(n, 12), 'session',
           (ARRAY['retry', 'cancel', 'pause', 'resume', 'start'])[1 + mod(n, 5)],
           'sales_orders_' || lpad(mod(n, 300)::text, 3, '0') || '/' || n, '{"job": "job_3"}', 'the feed was late', 'done'
      FROM generate_series(1, 50000) n
"""

_READY = """
    WITH ran AS (
        INSERT INTO rush.run (pipeline, jobinstance, version_id, state, open, created_at, started_at)
        SELECT 'backlog', n + coalesce((SELECT max(jobinstance) FROM rush.run WHERE pipeline = 'backlog'), 0),
               (SELECT max(id) FROM rush.pipeline_version WHERE pipeline = 'backlog'), 'Running', 100,
               now() - interval '1 hour', now() - interval '1 hour'
          FROM generate_series(1, CASE WHEN %(ready)s > 0 THEN %(runs)s ELSE 0 END) n
        RETURNING id, pipeline, jobinstance, version_id, started_at
    )
    INSERT INTO rush.run_state (run_id, job, job_id, pipeline, jobinstance, state, queue, priority, turn, ready_at)
    SELECT r.id, j.name, j.id, r.pipeline, r.jobinstance, 'Ready', 'default', 0, r.id, r.started_at
      FROM ran r JOIN rush.pipeline_job j ON j.version_id = r.version_id
     ORDER BY r.id, j.position
"""
