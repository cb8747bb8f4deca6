"""
What faults are let loose on: jobs that leave marks, and tables of the harness's own.

`effect` has no constraint at all, so that what is there twice can be seen. A job marks its
beginning outside of its transaction, straight to the server whatever happens to the worker's
wire, and, where its parameters say so, its work inside of it. `event` is written by triggers in
the transaction of what it tells, so that it holds what was committed and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from tests.support.project import Project

JOBS = '''
import os, time
from pathlib import Path
from rush import Job
import psycopg

DIRECT = {url!r}
OWN = []

MARK = """
    INSERT INTO public.effect (run_id, job, round, attempt, token, inside, pid, missing)
    SELECT %(run_id)s, %(job)s, %(round)s, %(attempt)s, %(token)s, %(inside)s, %(pid)s,
           cardinality(%(before)s::text[])
           - (SELECT count(DISTINCT job) FROM rush.archive
               WHERE run_id = %(run_id)s AND job = ANY(%(before)s::text[]) AND state = 'Complete')
"""


def own_connection():
    """Straight to the server, kept from job to job. What fails on it is not tried again."""
    try:
        OWN[-1].execute("SELECT 1")
    except (IndexError, psycopg.Error):
        OWN.append(psycopg.connect(DIRECT, autocommit=True))
    return OWN[-1]


class Mark(Job):
    """Marks its beginning; takes its time; hangs and fails as often as told; marks its work."""

    def run(self):
        self.mark(own_connection(), inside=False)
        self.logger.info("begun")
        time.sleep(600 if self.attempt <= self.params.get("hangs", 0) else self.params.get("seconds", 0))
        while "until" in self.params and not Path(self.params["until"]).exists():
            time.sleep(0.02)
        if self.attempt <= self.params.get("failures", 0):
            raise ValueError(f"as told, in attempt {{self.attempt}}")
        if self.params.get("inside"):
            with self.transaction() as connection:
                self.mark(connection, inside=True)
        if self.params.get("reads"):
            print("before this one:", sorted(self.results))
        return self.token

    def mark(self, connection, inside):
        _, _, _, round = self.idempotency_key.split(":")
        connection.execute(MARK, {{
            "run_id": self.run_id, "job": self.job, "round": int(round), "attempt": self.attempt,
            "token": self.token, "inside": inside, "pid": os.getpid(), "before": self.params.get("before", []),
        }})
'''

TABLES = """
CREATE TABLE public.effect (
    id bigint GENERATED ALWAYS AS IDENTITY, run_id bigint, job text, round int, attempt int, token bigint,
    inside boolean, pid int, missing int, at timestamptz DEFAULT clock_timestamp());
CREATE INDEX effect_run ON public.effect (run_id, job);

CREATE SCHEMA chaos;
-- seq is drawn while the row is locked, so events of one row are in the order of their commits.
CREATE TABLE chaos.event (
    seq bigint GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT clock_timestamp(), what text,
    run_id bigint, job text, round int, before text, after text, token bigint, worker text, due timestamptz);
CREATE TABLE chaos.action (
    seq bigint GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT clock_timestamp(), what text,
    by text, term bigint, holder text);

CREATE FUNCTION chaos.note_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO chaos.event (what, run_id, job, round, before, token, worker)
        VALUES ('gone', OLD.run_id, OLD.job, OLD.round, OLD.state, OLD.token, OLD.worker);
    ELSE
        INSERT INTO chaos.event (what, run_id, job, round, before, after, token, worker, due)
        VALUES (CASE TG_OP WHEN 'INSERT' THEN 'made' ELSE 'changed' END, NEW.run_id, NEW.job, NEW.round,
                CASE TG_OP WHEN 'UPDATE' THEN OLD.state END, NEW.state, NEW.token, NEW.worker, NEW.ready_at);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON rush.run_state
    FOR EACH ROW EXECUTE FUNCTION chaos.note_job();

CREATE FUNCTION chaos.note_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.event (what, run_id, round, before, after)
    VALUES ('run', NEW.id, NEW.round, CASE TG_OP WHEN 'UPDATE' THEN OLD.state END, NEW.state);
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT ON rush.run FOR EACH ROW EXECUTE FUNCTION chaos.note_run();
CREATE TRIGGER note_change AFTER UPDATE ON rush.run FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.round <> NEW.round) EXECUTE FUNCTION chaos.note_run();

-- What only a master may do. Its transaction holds the term, so what is read here is the term in
-- which it commits; the session's name tells who does it.
CREATE FUNCTION chaos.note_action() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.action (what, by, term, holder)
    SELECT TG_ARGV[0], current_setting('application_name'), term, holder FROM rush.master_token;
    RETURN NULL;
END $$;
CREATE TRIGGER action AFTER UPDATE OF status ON rush.run_request
    FOR EACH STATEMENT EXECUTE FUNCTION chaos.note_action('decide');
CREATE TRIGGER action AFTER DELETE ON rush.finished
    FOR EACH STATEMENT EXECUTE FUNCTION chaos.note_action('release');
CREATE TRIGGER action AFTER UPDATE ON rush.worker FOR EACH ROW
    WHEN (NEW.state = 'Dead' AND OLD.state <> 'Dead') EXECUTE FUNCTION chaos.note_action('bury');
"""

#: For those who read the history, once it is over.
INDEXES = """
CREATE INDEX event_row ON chaos.event (run_id, job, round, seq);
ANALYZE;
"""

Jobs = list[dict[str, Any]]


def job(name: str, *before: str, **options: Any) -> dict[str, Any]:
    """A job that marks, after those before it. What it is not told of itself are its parameters."""
    about = ("retry_limit", "retry_gap_minutes", "timeout_minutes", "priority")
    params = {k: v for k, v in options.items() if k not in about}
    return {
        "name": name,
        "class_name": "jobs.marks.Mark",
        "depends_on": list(before),
        "retry_limit": 100,
        "retry_gap_minutes": 0.001,
        "params": {"before": list(before), **params},
    } | {k: v for k, v in options.items() if k in about}


def lay(project: Project, pipelines: dict[str, Jobs]) -> None:
    """Put the tables, the jobs and the pipelines in place."""
    (Path(project.folder) / "jobs" / "marks.py").write_text(JOBS.format(url=project.database))
    project.connection.execute(TABLES.encode())
    for name, jobs in pipelines.items():
        project.sql(
            "INSERT INTO rush.pipeline (name, definition) VALUES (%s, %s)",
            name,
            psycopg.types.json.Jsonb({"jobs": jobs}),
        )
