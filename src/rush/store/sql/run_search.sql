-- Runs that are like something: for lists, and for what is done to many of them at once.
-- A list has a walk, which gives ids of runs in its order, some at a time, and `runs_like` takes
-- of them what the filter lets pass. So what is looked at is bounded, however rare it is that
-- something passes.

-- name: walk_runs :one
-- All runs, the newest first; it ends at those that began longer ago, since ids rise with time.
SELECT ARRAY(
    SELECT id
      FROM (SELECT id, started_at FROM rush.run
             WHERE %(before)s::bigint IS NULL OR id < %(before)s
             ORDER BY id DESC LIMIT %(limit)s) newest
     WHERE %(since)s::float8 IS NULL OR started_at >= statement_timestamp() - %(since)s::float8 * interval '1 second'
     ORDER BY id DESC
) AS ids;

-- name: walk_pipeline :one
-- The runs of a pipeline, by their numbers: there is no index on its ids.
SELECT ARRAY(
    SELECT id FROM rush.run
     WHERE pipeline = %(pipeline)s
       AND (%(before)s::bigint IS NULL
            OR jobinstance < (SELECT jobinstance FROM rush.run WHERE id = %(before)s))
     ORDER BY jobinstance DESC
     LIMIT %(limit)s
) AS ids;

-- name: walk_live :one
-- Runs that may be Running or Stuck: something of them is live, or is over and the master has
-- not seen it, or is being cancelled. From run to run by the primary key, past all their jobs.
SELECT ARRAY(
    WITH RECURSIVE live AS (
        (SELECT run_id FROM rush.run_state
          WHERE %(before)s::bigint IS NULL OR run_id < %(before)s
          ORDER BY run_id DESC LIMIT 1)
        UNION ALL
        SELECT (SELECT s.run_id FROM rush.run_state s WHERE s.run_id < live.run_id ORDER BY s.run_id DESC LIMIT 1)
          FROM live WHERE live.run_id IS NOT NULL
    )
    (SELECT run_id AS id FROM live WHERE run_id IS NOT NULL LIMIT %(limit)s)
    UNION
    SELECT run_id FROM rush.finished WHERE %(before)s::bigint IS NULL OR run_id < %(before)s
    UNION
    SELECT id FROM rush.run WHERE cancelling AND (%(before)s::bigint IS NULL OR id < %(before)s)
     ORDER BY id DESC
     LIMIT %(limit)s
) AS ids;

-- name: walk_stuck :one
-- Runs with a job that is Stuck.
SELECT ARRAY(
    SELECT DISTINCT run_id AS id FROM rush.run_state
     WHERE state = 'Stuck'
       AND (%(before)s::bigint IS NULL OR run_id < %(before)s)
       AND (%(pipeline)s::text IS NULL OR pipeline = %(pipeline)s)
     ORDER BY run_id DESC
     LIMIT %(limit)s
) AS ids;

-- name: walk_unresolved :one
-- Runs with a job that is Stuck and that nobody has looked at.
SELECT ARRAY(
    SELECT DISTINCT run_id AS id FROM rush.unresolved
     WHERE (%(before)s::bigint IS NULL OR run_id < %(before)s)
       AND (%(pipeline)s::text IS NULL OR pipeline = %(pipeline)s)
     ORDER BY run_id DESC
     LIMIT %(limit)s
) AS ids;

-- name: runs_stuck_with :one
-- Runs of which a job is Stuck with an error that has a text in it: of the newest so many jobs.
-- Apart from `runs_like`, since the plan alone takes milliseconds where there are many weeks.
SELECT ARRAY(
    SELECT s.run_id
      FROM (SELECT run_id, job, round, failed_at FROM rush.run_state
             WHERE state = 'Stuck' AND (%(pipeline)s::text IS NULL OR pipeline = %(pipeline)s)
             ORDER BY run_id DESC LIMIT %(limit)s) s
     WHERE EXISTS (
           SELECT FROM rush.archive a
            WHERE a.run_id = s.run_id AND a.job = s.job AND a.round = s.round
              AND a.finished_at BETWEEN s.failed_at - interval '1 week' AND s.failed_at
              AND strpos(lower(a.error), lower(%(text)s)) > 0)
) AS ids;

-- name: runs_like :many
-- Of some runs those that are like something, the newest first. The text is a part of the run's
-- name or of its parameters, or it is one of those that are Stuck with it. A filter that is NULL
-- lets everything pass; the plan is made for those that are there.
SELECT r.id, r.pipeline, r.jobinstance, v.version, r.state, r.cancelling, r.round, r.params,
       r.created_at, r.started_at, r.finished_at,
       extract(epoch FROM coalesce(r.finished_at, statement_timestamp()) - r.started_at)::float8 AS seconds,
       statement_timestamp() AS now
  FROM rush.run r
  LEFT JOIN rush.pipeline_version v ON v.id = r.version_id
 WHERE r.id BETWEEN %(low)s AND %(high)s
   AND (%(ids)s::bigint[] IS NULL OR r.id = ANY(%(ids)s::bigint[]))
   AND (%(pipeline)s::text IS NULL OR r.pipeline = %(pipeline)s)
   AND (%(states)s::text[] IS NULL OR r.state = ANY(%(states)s::text[]))
   AND (%(since)s::float8 IS NULL OR r.created_at >= statement_timestamp() - %(since)s::float8 * interval '1 second')
   AND (%(text)s::text IS NULL
        OR strpos(lower(r.pipeline || '/' || r.jobinstance), lower(%(text)s)) > 0
        OR strpos(lower(r.params::text), lower(%(text)s)) > 0
        OR r.id = ANY(%(stuck_with)s::bigint[]))
 ORDER BY r.id DESC
 LIMIT %(limit)s;

-- name: count_runs :many
-- How many of the newest runs are in each state and like the rest of the filter, whatever states
-- are asked for: of so many, and no more.
SELECT state, count(*) AS runs
  FROM ((SELECT * FROM rush.run
          WHERE %(pipeline)s::text IS NULL ORDER BY id DESC LIMIT %(limit)s)
        UNION ALL
        (SELECT * FROM rush.run
          WHERE pipeline = %(pipeline)s::text ORDER BY jobinstance DESC LIMIT %(limit)s)) r
 WHERE (%(since)s::float8 IS NULL OR r.created_at >= statement_timestamp() - %(since)s::float8 * interval '1 second')
   AND (%(text)s::text IS NULL
        OR strpos(lower(r.pipeline || '/' || r.jobinstance), lower(%(text)s)) > 0
        OR strpos(lower(r.params::text), lower(%(text)s)) > 0)
 GROUP BY state;

-- name: ask_to_cancel :one
-- Ask for the end of runs that are not over.
WITH asked AS (
    INSERT INTO rush.run_request (pipeline, jobinstance, action)
    SELECT r.pipeline, r.jobinstance, 'cancel' FROM rush.run r
     WHERE r.id = ANY(%(ids)s::bigint[]) AND r.state IN ('Running', 'Stuck') AND NOT r.cancelling
     ORDER BY r.id
    RETURNING id
)
SELECT count(*) AS runs, coalesce(array_agg(id), '{}') AS requests FROM asked;

-- name: ask_to_retry :one
-- Ask for another round of each job of these runs that is Stuck.
WITH asked AS (
    INSERT INTO rush.run_request (pipeline, job, jobinstance)
    SELECT s.pipeline, s.job, s.jobinstance FROM rush.run_state s
     WHERE s.run_id = ANY(%(ids)s::bigint[]) AND s.state = 'Stuck'
     ORDER BY s.run_id, s.job
    RETURNING id, jobinstance, pipeline
)
SELECT count(DISTINCT (pipeline, jobinstance)) AS runs, coalesce(array_agg(id), '{}') AS requests FROM asked;
