-- What somebody has to look at.

-- name: stuck_groups :many
-- What is Stuck, by what it is Stuck with: of the newest so many jobs.
SELECT s.pipeline, s.job, e.error, count(*) AS jobs, min(s.failed_at) AS first_at, max(s.failed_at) AS last_at,
       (array_agg(s.run_id ORDER BY s.run_id DESC))[1:5] AS run_ids,
       (array_agg(s.jobinstance ORDER BY s.run_id DESC))[1:5] AS jobinstances
  FROM (SELECT run_id, pipeline, jobinstance, job, round, failed_at
          FROM rush.run_state WHERE state = 'Stuck'
         ORDER BY run_id DESC LIMIT %(limit)s) s
  LEFT JOIN LATERAL (
       SELECT a.error FROM rush.archive a
        WHERE a.run_id = s.run_id AND a.job = s.job AND a.round = s.round
          -- Reported within a week of its end: so the partitions of all other weeks are left alone.
          AND a.finished_at BETWEEN s.failed_at - interval '1 week' AND s.failed_at
        ORDER BY a.attempt DESC LIMIT 1) e ON true
 GROUP BY s.pipeline, s.job, e.error
 ORDER BY last_at DESC;

-- name: pipelines_not_running :many
-- Pipelines that are paused, or whose newest version cannot run.
SELECT p.name, p.paused, v.error
  FROM rush.pipeline p
  JOIN LATERAL (SELECT error FROM rush.pipeline_version v
                 WHERE v.pipeline = p.name ORDER BY version DESC LIMIT 1) v ON true
 WHERE p.paused OR v.error IS NOT NULL
 ORDER BY p.name;

-- name: pipeline_names :many
SELECT name FROM rush.pipeline ORDER BY name;
