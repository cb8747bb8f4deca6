-- What there is to see of pipelines, workers and the master.

-- name: list_pipelines :many
-- Every pipeline, or one of them, with its newest version, what of it is live (of each kind the
-- first so many), and how its last runs stand.
SELECT p.name, v.version, p.paused, v.error, v.compiled_at IS NOT NULL AS compiled,
       -- Of what is compiled the last job tells, and a definition of thousands is not opened for it.
       coalesce(CASE WHEN v.error IS NULL AND v.compiled_at IS NOT NULL
                     THEN (SELECT position + 1 FROM rush.pipeline_job j
                            WHERE j.version_id = v.id ORDER BY position DESC LIMIT 1)
                     ELSE jsonb_array_length(CASE WHEN jsonb_typeof(p.definition -> 'jobs') = 'array'
                                                  THEN p.definition -> 'jobs' END) END, 0) AS jobs,
       p.definition ->> 'description' AS description,
       coalesce(live.counts, '{}') AS live,
       last.ids, last.jobinstances, last.states, last.ages, last.seconds
  FROM rush.pipeline p
  JOIN LATERAL (SELECT id, version, error, compiled_at FROM rush.pipeline_version v
                 WHERE v.pipeline = p.name ORDER BY version DESC LIMIT 1) v ON true
  -- Through the indexes of what is live, none of which is read further than needed.
  LEFT JOIN (SELECT pipeline, jsonb_object_agg(state, jobs) AS counts
               FROM (SELECT pipeline, state, count(*) AS jobs
                       FROM ((SELECT pipeline, state FROM rush.run_state
                               WHERE worker IS NOT NULL LIMIT %(most)s)
                             UNION ALL
                             (SELECT pipeline, state FROM rush.run_state
                               WHERE state = 'Ready' AND worker IS NULL AND NOT limited
                               ORDER BY queue, priority DESC, turn LIMIT %(most)s)
                             UNION ALL
                             (SELECT pipeline, state FROM rush.run_state
                               WHERE state = 'Waiting' AND NOT paused LIMIT %(most)s)
                             UNION ALL
                             (SELECT pipeline, state FROM rush.run_state
                               WHERE paused LIMIT %(most)s)
                             UNION ALL
                             (SELECT pipeline, state FROM rush.run_state
                               WHERE state = 'Failed' AND NOT paused LIMIT %(most)s)
                             UNION ALL
                             (SELECT pipeline, state FROM rush.run_state
                               WHERE state = 'Stuck' AND NOT paused
                               ORDER BY run_id DESC LIMIT %(most)s)) job
                      GROUP BY 1, 2) c
              GROUP BY pipeline) live ON live.pipeline = p.name
  -- In arrays, one a column: as JSON thousands of runs take several times as long.
 CROSS JOIN LATERAL (
       SELECT coalesce(array_agg(r.id), '{}') AS ids, coalesce(array_agg(r.jobinstance), '{}') AS jobinstances,
              coalesce(array_agg(r.state), '{}') AS states,
              coalesce(array_agg(extract(epoch FROM statement_timestamp() - r.created_at)::float8), '{}') AS ages,
              coalesce(array_agg(extract(epoch FROM coalesce(r.finished_at, statement_timestamp())
                                                    - r.started_at)::float8), '{}') AS seconds
         FROM (SELECT * FROM rush.run r
                WHERE r.pipeline = p.name ORDER BY r.jobinstance DESC LIMIT %(runs)s) r) last
 WHERE %(name)s::text IS NULL OR p.name = %(name)s
 ORDER BY p.name;

-- name: pipeline_outcomes :many
-- How the last so many runs of each pipeline have ended: of those that are over, how many are
-- Complete, how many that or Stuck, and how long those that are Complete took.
SELECT p.name, count(*) FILTER (WHERE r.state <> 'Running') AS runs,
       count(*) FILTER (WHERE r.state = 'Complete') AS complete,
       count(*) FILTER (WHERE r.state IN ('Complete', 'Stuck')) AS judged,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY r.seconds) FILTER (WHERE r.state = 'Complete') AS p50,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY r.seconds) FILTER (WHERE r.state = 'Complete') AS p95
  FROM rush.pipeline p
 CROSS JOIN LATERAL (
       SELECT state, extract(epoch FROM finished_at - started_at)::float8 AS seconds
         FROM rush.run WHERE pipeline = p.name ORDER BY jobinstance DESC LIMIT %(runs)s) r
 GROUP BY p.name;

-- name: pipeline_versions :many
SELECT version, definition, created_at, compiled_at, error, statement_timestamp() AS now
  FROM rush.pipeline_version WHERE pipeline = %(name)s ORDER BY version DESC;

-- name: queued :one
-- What is still to be done, each counted up to so many: jobs that are Ready or Waiting, requests
-- that nobody has taken. And for how many seconds the oldest of them has been there: of the
-- jobs, the oldest that is next for some queue and priority.
SELECT (SELECT count(*) FROM (SELECT FROM rush.run_state
                               WHERE state = 'Ready' AND worker IS NULL AND NOT limited LIMIT %(most)s) r)
       + (SELECT count(*) FILTER (WHERE state = 'Ready')
            FROM (SELECT state FROM rush.run_state WHERE worker IS NOT NULL LIMIT %(most)s) h) AS ready,
       (SELECT extract(epoch FROM statement_timestamp() - min(ready_at))::float8 FROM rush.line) AS oldest,
       (SELECT count(*) FROM (SELECT FROM rush.run_state
                               WHERE state = 'Waiting' AND NOT paused LIMIT %(most)s) w)
       + (SELECT count(*) FROM (SELECT FROM rush.run_state
                                 WHERE paused AND state = 'Waiting' LIMIT %(most)s) p) AS waiting,
       (SELECT count(*) FROM (SELECT FROM rush.run_state WHERE state = 'Stuck' LIMIT %(most)s) t) AS stuck,
       (SELECT count(*) FROM (SELECT FROM rush.run_request WHERE status = 'Pending' LIMIT %(most)s) q) AS pending,
       (SELECT extract(epoch FROM statement_timestamp() - created_at)::float8
          FROM rush.run_request WHERE status = 'Pending' ORDER BY id LIMIT 1) AS pending_oldest;

-- name: version_list :many
-- The versions of a pipeline without what they say, the newest first.
SELECT version, created_at, compiled_at, error, statement_timestamp() AS now
  FROM rush.pipeline_version WHERE pipeline = %(name)s ORDER BY version DESC;

-- name: newest_version :one
-- The number of the version that a run would have which began now.
SELECT max(version) AS version FROM rush.pipeline_version WHERE pipeline = %(name)s;

-- name: pipeline_version :one
SELECT version, definition, created_at, compiled_at, error, statement_timestamp() AS now
  FROM rush.pipeline_version WHERE pipeline = %(name)s AND version = %(version)s;

-- name: list_workers :many
-- Every worker with what it holds. One is alive while its lease lasts.
SELECT w.name, w.state, w.lease_expires_at < statement_timestamp() AS expired, w.slots,
       w.queues, w.host, w.pid, w.version, w.code, w.reload, w.stale_writes, w.started_at,
       w.last_seen, w.lease_expires_at,
       coalesce(m.holder = w.name AND m.generation = w.generation
                AND m.expires_at >= statement_timestamp(), false) AS is_master,
       coalesce(held.jobs, '[]') AS jobs, statement_timestamp() AS now
  FROM rush.worker w
  LEFT JOIN rush.master_token m ON true
  LEFT JOIN LATERAL (
       SELECT jsonb_agg(jsonb_build_object(
                  'run_id', s.run_id, 'pipeline', s.pipeline, 'jobinstance', s.jobinstance, 'job', s.job,
                  'attempt', s.attempt, 'state', s.state,
                  'seconds', extract(epoch FROM statement_timestamp() - s.started_at),
                  'done', w.progress -> s.token::text -> 0, 'total', w.progress -> s.token::text -> 1)
                  ORDER BY s.started_at, s.run_id, s.job) AS jobs
         FROM rush.run_state s
        WHERE s.worker = w.name AND s.generation = w.generation) held ON true
 ORDER BY w.name;

-- name: standing :one
-- Who is master, while its lease lasts, and until when it does or did; the switch; and how
-- many workers could take a job.
SELECT CASE WHEN m.expires_at >= statement_timestamp() THEN m.holder END AS master,
       m.term, m.elected_at, CASE WHEN m.expires_at > 'epoch' THEN m.expires_at END AS expires_at, c.paused, statement_timestamp() AS now,
       (SELECT count(*) FROM rush.worker
         WHERE state = 'Alive' AND lease_expires_at >= statement_timestamp()) AS workers
  FROM rush.master_token m, rush.control c;
