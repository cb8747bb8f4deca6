-- What there is to see of a run beside its jobs' states.

-- name: job_params :one
-- What a job is given, in the order in which later wins: the definition's, the table's, the run's.
SELECT j.params AS definition, r.params AS run,
       (SELECT jsonb_object_agg(p.name, p.value ORDER BY p.job = '*' DESC)
          FROM rush.job_parameter p
         WHERE p.pipeline = r.pipeline AND p.job IN ('*', j.name)) AS tabled
  FROM rush.run r JOIN rush.pipeline_job j ON j.version_id = r.version_id AND j.name = %(job)s
 WHERE r.id = %(run_id)s;

-- name: run_results :many
-- What the jobs of a run have returned, each in its newest round.
SELECT DISTINCT ON (job, item) job, item, value
  FROM rush.result WHERE run_id = %(run_id)s
 ORDER BY job, item, round DESC
 LIMIT %(limit)s;

-- name: run_events :many
-- What has happened to a run, the newest first: what was asked for, and what its jobs did.
SELECT at, what, job, attempt, worker, state, said
  FROM (SELECT q.created_at AS at, 'asked to ' || q.action AS what, q.job, NULL::int AS attempt,
               NULL::text AS worker, q.status AS state, coalesce(q.reason, 'by ' || q.created_by) AS said
          FROM rush.run_request q
          JOIN rush.run r ON r.id = %(run_id)s
         WHERE q.run_id = r.id OR (q.pipeline = r.pipeline AND q.jobinstance = r.jobinstance)
        UNION ALL
        SELECT a.started_at, 'began', a.job, a.attempt, a.worker, 'Running', NULL
          FROM rush.archive a
         WHERE a.run_id = %(run_id)s AND a.started_at IS NOT NULL
           AND a.finished_at >= (SELECT created_at FROM rush.run WHERE id = %(run_id)s)
        UNION ALL
        SELECT a.finished_at, 'ended', a.job, a.attempt, a.worker, a.state, coalesce(a.error, a.reason)
          FROM rush.archive a
         WHERE a.run_id = %(run_id)s
           AND a.finished_at >= (SELECT created_at FROM rush.run WHERE id = %(run_id)s)
        UNION ALL
        SELECT s.started_at, 'began', s.job, s.attempt, s.worker, s.state, NULL
          FROM rush.run_state s
         WHERE s.run_id = %(run_id)s AND s.state = 'Running'
        UNION ALL
        SELECT u.at, u.action || ' by ' || u.who, NULL, NULL, NULL, NULL, u.why
          FROM rush.run r JOIN rush.audit u ON u.target = r.pipeline || '/' || r.jobinstance
         WHERE r.id = %(run_id)s AND u.action <> 'acknowledge'
        UNION ALL
        SELECT n.at, CASE WHEN n.who IS NULL THEN 'resolved' ELSE 'acknowledged by ' || n.who END,
               NULL, NULL, NULL, NULL, coalesce('by ' || l.pipeline || '/' || l.jobinstance, n.why)
          FROM rush.resolution n LEFT JOIN rush.run l ON l.id = n.resolved_by
         WHERE n.run_id = %(run_id)s) happened
 ORDER BY at DESC
 LIMIT %(limit)s;
