-- What there is to see of runs. Nothing here writes, and nothing counts `archive`:
-- a job is over when an attempt of its present round has ended well, or was ended.

-- name: list_runs :many
-- Runs, the newest first.
SELECT r.id, r.pipeline, r.jobinstance, v.version, r.state, r.cancelling, r.round, r.params,
       r.created_at, r.started_at, r.finished_at,
       extract(epoch FROM coalesce(r.finished_at, statement_timestamp()) - r.started_at)::float8 AS seconds,
       statement_timestamp() AS now
  FROM rush.run r
  LEFT JOIN rush.pipeline_version v ON v.id = r.version_id
 WHERE (%(pipeline)s::text IS NULL OR r.pipeline = %(pipeline)s)
   AND (%(state)s::text IS NULL OR r.state = %(state)s)
   AND (%(before)s::bigint IS NULL OR r.id < %(before)s)
 ORDER BY r.id DESC
 LIMIT %(limit)s;

-- name: run_by_id :one
SELECT r.id, r.pipeline, r.jobinstance, v.version, r.state, r.cancelling, r.round, r.params,
       r.created_at, r.started_at, r.finished_at,
       extract(epoch FROM coalesce(r.finished_at, statement_timestamp()) - r.started_at)::float8 AS seconds,
       statement_timestamp() AS now
  FROM rush.run r
  LEFT JOIN rush.pipeline_version v ON v.id = r.version_id
 WHERE r.id = %(run_id)s;

-- name: run_id_of :one
-- The run with this number within its pipeline.
SELECT id FROM rush.run WHERE pipeline = %(pipeline)s AND jobinstance = %(jobinstance)s;

-- name: run_jobs :many
-- The jobs of a run's version, each as it stands: as its live row says, else as its last
-- attempt ended, unless it runs again and its turn is still to come.
WITH job AS (
    SELECT j.id, j.position, j.name, j.class_name, j.queue, j.retry_limit, j.predecessors,
           s.state AS live, s.attempt, s.retries, s.worker, s.ready_at, s.started_at, s.paused,
           w.progress -> s.token::text AS progress,
           l.state AS ended, l.attempt AS last_attempt, l.worker AS last_worker,
           l.started_at AS last_started_at, l.finished_at AS last_finished_at, l.reason, l.error,
           -- Its last attempt tells how it stands; while it waits for another, why that one comes.
           s.run_id IS NULL AND l.state <> 'Failed' AND l.round >= coalesce(c.round, 1) AS is_over,
           s.round = l.round AND l.state = 'Failed' AS has_failed
      FROM rush.run r
      JOIN rush.pipeline_job j ON j.version_id = r.version_id
      LEFT JOIN rush.run_state s ON s.run_id = r.id AND s.job = j.name AND s.item = 0
      LEFT JOIN rush.worker w ON w.name = s.worker AND w.generation = s.generation
      LEFT JOIN rush.run_job c ON c.run_id = r.id AND c.job_id = j.id
      -- A look-up for each job: joined as a whole, it would depend on statistics that a run
      -- of just now has none of.
      LEFT JOIN LATERAL (
           SELECT a.round, a.attempt, a.state, a.worker, a.started_at, a.finished_at, a.reason, a.error
             FROM rush.archive a
            WHERE a.run_id = r.id AND a.job = j.name AND a.item = 0 AND a.finished_at >= r.created_at
            ORDER BY a.round DESC, a.attempt DESC, a.finished_at DESC
            LIMIT 1) l ON true
     WHERE r.id = %(run_id)s
)
SELECT j.position, j.name, j.class_name, j.queue, j.retry_limit,
       CASE WHEN j.live IS NOT NULL THEN j.live WHEN j.is_over THEN j.ended END AS state,
       coalesce(j.attempt, CASE WHEN j.is_over THEN j.last_attempt END, 0) AS attempt,
       coalesce(j.retries, 0) AS retries,
       coalesce(j.paused, false) AS paused,
       CASE WHEN j.is_over OR j.live IN ('Failed', 'Stuck') THEN j.last_worker ELSE j.worker END AS worker,
       j.ready_at,
       CASE WHEN j.is_over OR j.live IN ('Failed', 'Stuck') THEN j.last_started_at ELSE j.started_at END AS started_at,
       CASE WHEN j.is_over OR j.live IN ('Failed', 'Stuck') THEN j.last_finished_at END AS finished_at,
       extract(epoch FROM CASE
           WHEN j.is_over OR j.live IN ('Failed', 'Stuck') THEN j.last_finished_at - j.last_started_at
           ELSE statement_timestamp() - j.started_at END)::float8 AS seconds,
       CASE WHEN j.is_over OR j.has_failed THEN j.reason END AS reason,
       CASE WHEN j.is_over OR j.has_failed THEN j.error END AS error,
       (j.progress ->> 0)::float8 AS done, (j.progress ->> 1)::float8 AS total,
       CASE WHEN j.predecessors = 0 THEN '{}' ELSE
           ARRAY(SELECT p.name FROM rush.pipeline_edge e JOIN rush.pipeline_job p ON p.id = e.job_id
                  WHERE e.successor_id = j.id ORDER BY p.position) END AS predecessors
  FROM job j
 ORDER BY j.position;

-- name: run_attempts :many
-- What has been tried, and what is being tried now, in the order of time.
SELECT a.job, a.round, a.attempt, a.state, a.worker, a.token, a.code, a.ready_at, a.started_at, a.finished_at,
       extract(epoch FROM a.finished_at - a.started_at)::float8 AS seconds, a.reason, a.error, a.traceback
  FROM rush.archive a
 WHERE a.run_id = %(run_id)s
   AND a.finished_at >= (SELECT created_at FROM rush.run WHERE id = %(run_id)s)
   AND (%(job)s::text IS NULL OR a.job = %(job)s)
UNION ALL
SELECT s.job, s.round, s.attempt, s.state, s.worker, s.token, NULL, s.ready_at, s.started_at, NULL,
       extract(epoch FROM statement_timestamp() - s.started_at)::float8, NULL, NULL, NULL
  FROM rush.run_state s
 WHERE s.run_id = %(run_id)s AND s.state = 'Running'
   AND (%(job)s::text IS NULL OR s.job = %(job)s)
 ORDER BY started_at, finished_at, job, attempt;

-- name: run_log :many
-- Parts of logs that come after those that were read: of each token up to a part. In the
-- order in which they were kept, but never a later part of an attempt before an earlier one,
-- whatever the clocks of two servers said: what is cut off by the limit is always the end.
SELECT l.job, l.round, l.attempt, l.token, l.part, l.at, l.lines
  FROM rush.run_log l
 WHERE l.run_id = %(run_id)s
   AND l.at >= (SELECT created_at FROM rush.run WHERE id = %(run_id)s)
   AND (%(job)s::text IS NULL OR l.job = %(job)s)
   AND (%(attempt)s::int IS NULL OR l.attempt = %(attempt)s)
   AND l.part > coalesce((SELECT c.part FROM unnest(%(tokens)s::bigint[], %(parts)s::int[]) AS c(token, part)
                           WHERE c.token = l.token), -1)
 ORDER BY max(l.at) OVER (PARTITION BY l.token ORDER BY l.part), l.token, l.part
 LIMIT %(limit)s;

-- name: run_result :one
-- What a job has returned, in its newest round.
SELECT value FROM rush.result
 WHERE run_id = %(run_id)s AND job = %(job)s AND item = 0
 ORDER BY round DESC LIMIT 1;

-- name: pending_for_run :many
-- What is asked for and not decided: about one run of a pipeline, or about the next one (NULL).
SELECT id, pipeline, job, jobinstance, action, params, status, reason, run_id, idempotency_key, created_at, created_by
  FROM rush.run_request
 WHERE status = 'Pending' AND pipeline = %(pipeline)s
   AND jobinstance IS NOT DISTINCT FROM %(jobinstance)s::int
 ORDER BY id;

-- name: last_request :one
-- What was asked for last: about a pipeline, or about one run of it.
SELECT id, pipeline, job, jobinstance, action, params, status, reason, run_id, idempotency_key, created_at, created_by
  FROM rush.run_request
 WHERE pipeline = %(pipeline)s
   AND (%(jobinstance)s::int IS NULL OR jobinstance = %(jobinstance)s)
 ORDER BY id DESC LIMIT 1;

-- name: request_of_key :one
-- What an idempotency key was used for, and whether that is what is asked for now. A request
-- that did not ask for a number has been given one.
SELECT id, pipeline,
       pipeline = %(pipeline)s AND job IS NOT DISTINCT FROM %(job)s::text AND action = %(action)s::text
       AND (%(jobinstance)s::int IS NULL OR jobinstance = %(jobinstance)s)
       AND coalesce(params, '{}') = coalesce(%(params)s::jsonb, '{}') AS is_same
  FROM rush.run_request WHERE idempotency_key = %(idempotency_key)s;
