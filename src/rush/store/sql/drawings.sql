-- What is drawn of runs: bars on a timeline, squares in a grid, counts over time.

-- name: drawn_timeline :many
-- Every attempt of a run that has ended, and what is live of it and may still be tried.
SELECT a.job, a.item, a.round, a.attempt, a.state, a.worker, a.ready_at, a.started_at, a.finished_at,
       a.reason, a.error, NULL::float8 AS done, NULL::float8 AS total
  FROM rush.archive a
 WHERE a.run_id = %(run_id)s
   AND a.finished_at >= (SELECT created_at FROM rush.run WHERE id = %(run_id)s)
UNION ALL
SELECT s.job, s.item, s.round, s.attempt + (s.state <> 'Running')::int, s.state, s.worker, s.ready_at, s.started_at, NULL,
       NULL, NULL, (w.progress -> s.token::text ->> 0)::float8, (w.progress -> s.token::text ->> 1)::float8
  FROM rush.run_state s
  LEFT JOIN rush.worker w ON w.name = s.worker AND w.generation = s.generation
 WHERE s.run_id = %(run_id)s AND s.state IN ('Waiting', 'Ready', 'Running')
 ORDER BY round, attempt, ready_at;

-- name: grid_runs :many
-- The newest runs of a pipeline; below a number where one is given.
SELECT id, jobinstance, version_id, state, round, created_at, started_at, finished_at,
       statement_timestamp() AS now
  FROM rush.run
 WHERE pipeline = %(pipeline)s
   AND (%(before)s::int IS NULL OR jobinstance < %(before)s)
 ORDER BY jobinstance DESC
 LIMIT %(limit)s;

-- name: grid_jobs :many
-- The jobs of some versions, those of the newest version first.
SELECT j.version_id, array_agg(j.name ORDER BY j.position) AS jobs
  FROM rush.pipeline_job j
 WHERE j.version_id = ANY(%(version_ids)s::bigint[])
 GROUP BY j.version_id
 ORDER BY j.version_id DESC;

-- name: newest_compiled :one
-- The newest version of a pipeline that the master has compiled, where there is one.
SELECT p.name, v.id AS version_id
  FROM rush.pipeline p
  LEFT JOIN LATERAL (SELECT id FROM rush.pipeline_version v
                      WHERE v.pipeline = p.name AND v.compiled_at IS NOT NULL AND v.error IS NULL
                      ORDER BY version DESC LIMIT 1) v ON true
 WHERE p.name = %(pipeline)s;

-- name: version_definition :one
SELECT definition FROM rush.pipeline_version WHERE id = %(version_id)s;

-- name: grid_ended :many
-- How the jobs of some runs have ended since an instant: of each its newest attempt. What
-- has failed is live still.
SELECT run_id, array_agg(job) AS jobs, array_agg(state) AS states, array_agg(round) AS rounds
  FROM (SELECT DISTINCT ON (a.run_id, a.job) a.run_id, a.job, a.state, a.round
          FROM rush.archive a
         WHERE a.run_id = ANY(%(run_ids)s::bigint[]) AND a.item = 0
           AND a.finished_at >= %(since)s AND a.state <> 'Failed'
         ORDER BY a.run_id, a.job, a.round DESC, a.attempt DESC) newest
 GROUP BY run_id;

-- name: grid_live :many
-- What is live of some runs.
SELECT run_id, array_agg(job) AS jobs, array_agg(state) AS states
  FROM rush.run_state
 WHERE run_id = ANY(%(run_ids)s::bigint[]) AND item = 0
 GROUP BY run_id;

-- name: grid_rounds :many
-- Jobs that run again, with the round in which they do.
SELECT c.run_id, j.name AS job, c.round
  FROM rush.run_job c JOIN rush.pipeline_job j ON j.id = c.job_id
 WHERE c.run_id = ANY(%(run_ids)s::bigint[]) AND c.round > 1;

-- name: first_run_since :one
-- The first run that was asked for since an instant, as far as ids rise with time. It is
-- found by halves: there is no index on times that change nothing else.
WITH RECURSIVE bounds AS (
    SELECT (SELECT min(id) FROM rush.run) AS low, (SELECT max(id) FROM rush.run) + 1 AS high
), halves AS (
    SELECT low, high FROM bounds WHERE low IS NOT NULL
    UNION ALL
    SELECT CASE WHEN is_older THEN middle + 1 ELSE low END, CASE WHEN is_older THEN high ELSE middle END
      FROM (SELECT low, high, (low + high) / 2 AS middle,
                   -- Ids may have gaps: the next run there is speaks for the middle.
                   coalesce((SELECT r.created_at FROM rush.run r WHERE r.id >= (low + high) / 2
                              ORDER BY r.id LIMIT 1) < %(since)s, false) AS is_older
              FROM halves WHERE low < high) half
)
SELECT low AS id FROM halves WHERE low >= high;

-- name: throughput :many
-- Runs that have ended, by state and by stretch of so many seconds. Of those from an id on.
SELECT floor(extract(epoch FROM finished_at) / %(seconds)s)::bigint AS bucket, state, count(*) AS runs
  FROM rush.run
 WHERE id >= %(first)s AND finished_at >= %(since)s
 GROUP BY 1, 2;
