-- What somebody has to look at.

-- name: stuck_groups :many
-- What is Stuck and unresolved, by what it is Stuck with: of the newest so many jobs.
SELECT s.pipeline, s.job, e.error, count(*) AS jobs, min(s.failed_at) AS first_at, max(s.failed_at) AS last_at,
       (array_agg(s.run_id ORDER BY s.run_id DESC))[1:5] AS run_ids,
       (array_agg(s.jobinstance ORDER BY s.run_id DESC))[1:5] AS jobinstances
  FROM (SELECT run_id, pipeline, jobinstance, job, round, failed_at
          FROM rush.unresolved
         ORDER BY run_id DESC LIMIT %(limit)s) s
  LEFT JOIN LATERAL (
       SELECT a.error FROM rush.archive a
        WHERE a.run_id = s.run_id AND a.job = s.job AND a.round = s.round
          -- Reported within a week of its end: so the partitions of all other weeks are left alone.
          AND a.finished_at BETWEEN s.failed_at - interval '1 week' AND s.failed_at
        ORDER BY a.attempt DESC LIMIT 1) e ON true
 GROUP BY s.pipeline, s.job, e.error
 ORDER BY last_at DESC;

-- name: unresolved_runs :many
-- The newest runs that somebody has to look at.
SELECT DISTINCT run_id FROM rush.unresolved ORDER BY run_id DESC LIMIT %(limit)s;

-- name: resolution :one
-- Whether a run with something Stuck needs somebody, and if not, why not. No row: nothing is Stuck.
SELECT EXISTS (SELECT FROM rush.unresolved u WHERE u.run_id = r.id) AS unresolved,
       n.at, n.who, n.why, l.id AS resolved_by, l.pipeline || '/' || l.jobinstance AS resolved_by_name
  FROM rush.run r
  LEFT JOIN rush.resolution n
    ON n.run_id = r.id
   AND NOT EXISTS (SELECT FROM rush.run_state s
                    WHERE s.run_id = r.id AND s.state = 'Stuck' AND s.failed_at > n.at)
  LEFT JOIN rush.run l ON l.id = coalesce(n.resolved_by, rush.resolved_by(r))
 WHERE r.id = %(run_id)s
   AND EXISTS (SELECT FROM rush.run_state s WHERE s.run_id = r.id AND s.state = 'Stuck');

-- name: acknowledge :many
-- Somebody has looked at what is Stuck of these runs.
INSERT INTO rush.resolution (run_id, who, why)
SELECT run_id, %(who)s, %(why)s
  FROM (SELECT DISTINCT run_id FROM rush.unresolved WHERE run_id = ANY(%(ids)s::bigint[])) u
 ORDER BY run_id
ON CONFLICT (run_id) DO UPDATE
   SET at = excluded.at, who = excluded.who, why = excluded.why, resolved_by = NULL
RETURNING run_id;

-- name: settle_resolved :one
-- Keep for good what later runs have resolved: those may be forgotten one day.
WITH settled AS (
    INSERT INTO rush.resolution (run_id, resolved_by)
    SELECT DISTINCT ON (s.run_id) s.run_id, rush.resolved_by(r)
      FROM rush.run_state s JOIN rush.run r ON r.id = s.run_id
     WHERE s.state = 'Stuck'
       AND NOT EXISTS (SELECT FROM rush.resolution n WHERE n.run_id = s.run_id AND n.at >= s.failed_at)
       AND rush.resolved_by(r) IS NOT NULL
     ORDER BY s.run_id
     LIMIT %(limit)s
    ON CONFLICT (run_id) DO UPDATE
       SET at = excluded.at, who = NULL, why = '', resolved_by = excluded.resolved_by
    RETURNING 1
)
SELECT count(*) FROM settled;

-- name: longer_than_usual :many
-- Of some runs in their first round those that go on for longer than 95 of 100 of the last Complete ones
-- of their pipelines have taken, where so many are known.
WITH asked AS (
    SELECT id, pipeline, started_at FROM rush.run
     WHERE id = ANY(%(ids)s::bigint[]) AND state = 'Running' AND round = 1
)
SELECT a.id, u.p95 AS usual
  FROM (SELECT DISTINCT pipeline FROM asked) p
 CROSS JOIN LATERAL (
       SELECT count(*) AS runs, percentile_disc(0.95) WITHIN GROUP (ORDER BY l.seconds) AS p95
         FROM (SELECT state, extract(epoch FROM finished_at - started_at)::float8 AS seconds
                 FROM rush.run r WHERE r.pipeline = p.pipeline
                ORDER BY jobinstance DESC LIMIT %(runs)s) l
        WHERE l.state = 'Complete') u
  JOIN asked a ON a.pipeline = p.pipeline
 WHERE u.runs >= %(least)s
   AND a.started_at < statement_timestamp() - u.p95 * interval '1 second';

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
