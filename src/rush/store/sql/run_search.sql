-- Runs that are like something: for lists, and for what is done to many of them at once.
-- A filter that is NULL lets everything pass; the plan is made for those that are there.

-- name: find_runs :many
-- Runs, the newest first. The text is a part of the run's name, of its parameters, or of the
-- error of a job of it that is Stuck.
SELECT r.id, r.pipeline, r.jobinstance, v.version, r.state, r.cancelling, r.round, r.params,
       r.created_at, r.started_at, r.finished_at,
       extract(epoch FROM coalesce(r.finished_at, statement_timestamp()) - r.started_at)::float8 AS seconds,
       statement_timestamp() AS now
  FROM rush.run r
  LEFT JOIN rush.pipeline_version v ON v.id = r.version_id
 WHERE (%(pipeline)s::text IS NULL OR r.pipeline = %(pipeline)s)
   AND (%(states)s::text[] IS NULL OR r.state = ANY(%(states)s::text[]))
   AND (%(since)s::float8 IS NULL OR r.created_at >= statement_timestamp() - %(since)s::float8 * interval '1 second')
   AND (%(text)s::text IS NULL
        OR strpos(lower(r.pipeline || '/' || r.jobinstance), lower(%(text)s)) > 0
        OR strpos(lower(r.params::text), lower(%(text)s)) > 0
        OR r.state IN ('Stuck', 'Running') AND EXISTS (
             SELECT FROM rush.run_state s JOIN rush.archive a ON a.run_id = s.run_id AND a.job = s.job
              WHERE s.run_id = r.id AND s.state = 'Stuck' AND a.round = s.round AND a.finished_at >= r.created_at
                AND strpos(lower(a.error), lower(%(text)s)) > 0))
   AND (%(before)s::bigint IS NULL OR r.id < %(before)s)
   AND (%(ids)s::bigint[] IS NULL OR r.id = ANY(%(ids)s::bigint[]))
 ORDER BY r.id DESC
 LIMIT %(limit)s;

-- name: count_runs :many
-- How many of the newest runs are in each state, whatever states are asked for; `seen` is how
-- many were looked at.
SELECT state, count(*) AS runs
  FROM (SELECT r.state
          FROM rush.run r
         WHERE (%(pipeline)s::text IS NULL OR r.pipeline = %(pipeline)s)
           AND (%(since)s::float8 IS NULL OR r.created_at >= statement_timestamp() - %(since)s::float8 * interval '1 second')
           AND (%(text)s::text IS NULL
                OR strpos(lower(r.pipeline || '/' || r.jobinstance), lower(%(text)s)) > 0
                OR strpos(lower(r.params::text), lower(%(text)s)) > 0)
           AND (%(ids)s::bigint[] IS NULL OR r.id = ANY(%(ids)s::bigint[]))
         ORDER BY r.id DESC
         LIMIT %(limit)s) newest
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
