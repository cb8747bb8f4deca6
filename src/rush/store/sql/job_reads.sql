-- What there is to see of a run beside its jobs' states.

-- name: job_params :one
-- What a job is given, in the order in which later wins: the definition's, the table's, the run's.
SELECT j.params AS definition, r.params AS run,
       (SELECT jsonb_object_agg(p.name, p.value ORDER BY p.job = '*' DESC)
          FROM rush.job_parameter p
         WHERE p.pipeline = r.pipeline AND p.job IN ('*', j.name)) AS tabled
  FROM rush.run r JOIN rush.pipeline_job j ON j.version_id = r.version_id AND j.name = %(job)s
 WHERE r.id = %(run_id)s;

-- name: run_defaults :one
-- What all jobs of a run are given by its definition, and by the table.
SELECT v.definition -> 'params' AS definition,
       (SELECT jsonb_object_agg(p.name, p.value)
          FROM rush.job_parameter p WHERE p.pipeline = r.pipeline AND p.job = '*') AS tabled
  FROM rush.run r JOIN rush.pipeline_version v ON v.id = r.version_id
 WHERE r.id = %(run_id)s;

-- name: run_results :many
-- What the jobs of a run have returned, each in its newest round.
SELECT DISTINCT ON (job, item) job, item, value
  FROM rush.result WHERE run_id = %(run_id)s
 ORDER BY job, item, round DESC
 LIMIT %(limit)s;

-- name: run_events :many
-- What has happened to a run, the newest first: what was asked for, and what its jobs did. Of the
-- requests those are found that it began with, that name a job or cancel it, that deeds about it have
-- made, and of the newest so many all: none is looked for among all that there has been.
WITH asked AS (
    SELECT r.request_id AS id FROM rush.run r WHERE r.id = %(run_id)s
    UNION
    SELECT q.id FROM rush.run r JOIN rush.run_request q ON q.pipeline = r.pipeline AND q.jobinstance = r.jobinstance
     WHERE r.id = %(run_id)s AND (q.job IS NOT NULL OR q.action <> 'start')
    UNION
    SELECT x.request_id
      FROM rush.run r
      JOIN rush.audit u ON u.target = (r.pipeline || '/' || r.jobinstance) COLLATE "default"
      JOIN rush.audit_request x ON x.audit_id = u.id
     WHERE r.id = %(run_id)s
    UNION
    SELECT q.id
      FROM rush.run r
      JOIN (SELECT id, pipeline, jobinstance, run_id FROM rush.run_request ORDER BY id DESC LIMIT %(window)s) q
        ON q.run_id = r.id OR (q.pipeline = r.pipeline AND q.jobinstance = r.jobinstance)
     WHERE r.id = %(run_id)s
)
SELECT at, what, job, attempt, worker, state, said
  FROM (SELECT q.created_at AS at,
               CASE WHEN q.action <> 'start' THEN 'asked to ' || q.action
                    WHEN q.id = r.request_id THEN 'asked to run' ELSE 'asked to run again' END AS what,
               q.job, NULL::int AS attempt, NULL::text AS worker, q.status AS state,
               concat_ws(': ', 'by ' || coalesce(u.who, 'the database''s role ' || q.created_by),
                         coalesce(q.reason, nullif(u.why, ''))) AS said
          FROM asked
          JOIN rush.run_request q ON q.id = asked.id
          JOIN rush.run r ON r.id = %(run_id)s
          LEFT JOIN rush.audit_request x ON x.request_id = q.id
          LEFT JOIN rush.audit u ON u.id = x.audit_id
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
          FROM rush.run r JOIN rush.audit u ON u.target = (r.pipeline || '/' || r.jobinstance) COLLATE "default"
         WHERE r.id = %(run_id)s AND u.action <> 'acknowledge'
           AND NOT EXISTS (SELECT FROM rush.audit_request x WHERE x.audit_id = u.id)
        UNION ALL
        SELECT n.at, CASE WHEN n.who IS NULL THEN 'resolved' ELSE 'acknowledged by ' || n.who END,
               NULL, NULL, NULL, NULL, coalesce('by ' || l.pipeline || '/' || l.jobinstance, n.why)
          FROM rush.resolution n LEFT JOIN rush.run l ON l.id = n.resolved_by
         WHERE n.run_id = %(run_id)s) happened
 -- At the same instant what has ended comes after what began, and both after what was asked.
 ORDER BY at DESC, what DESC
 LIMIT %(limit)s;
