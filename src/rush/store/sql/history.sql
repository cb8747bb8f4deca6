-- What is over: partitions made ahead, old ones dropped, alerts called.

-- name: partitions :many
-- The partitions of archive and log, with the times that they end before.
SELECT p.relname AS parent, c.relname AS name,
       pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT' AS rest,
       (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz AS until
  FROM pg_inherits i
  JOIN pg_class p ON p.oid = i.inhparent
  JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent IN ('rush.archive'::regclass, 'rush.log'::regclass)
 ORDER BY 1, 4 NULLS LAST;

-- name: rest_used :one
-- Rows that no weekly partition was there for. There should never be any.
SELECT (SELECT count(*) FROM rush.archive_rest) AS archive, (SELECT count(*) FROM rush.log_rest) AS log;

-- name: forget_runs :one
-- Runs that ended before an instant, with all that belongs to them; so many at a time.
WITH old AS MATERIALIZED (
    SELECT id FROM rush.run
     WHERE state <> 'Running' AND finished_at < %(before)s
       AND NOT EXISTS (SELECT FROM rush.run_state s WHERE s.run_id = run.id)
     ORDER BY id LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
), results AS (
    DELETE FROM rush.result v USING old WHERE v.run_id = old.id
), counts AS (
    DELETE FROM rush.run_job c USING old WHERE c.run_id = old.id
), requests AS (
    DELETE FROM rush.run_request q USING old WHERE q.run_id = old.id RETURNING q.id
), notes AS (
    DELETE FROM rush.audit_request x USING requests q WHERE x.request_id = q.id
), resolutions AS (
    DELETE FROM rush.resolution n USING old WHERE n.run_id = old.id
), gone AS (
    DELETE FROM rush.run r USING old WHERE r.id = old.id RETURNING 1
)
SELECT count(*) FROM gone;

-- name: forget_requests :one
-- Requests that came to nothing, decided before an instant.
WITH gone AS (
    DELETE FROM rush.run_request
     WHERE id IN (SELECT id FROM rush.run_request
                   WHERE status = 'Rejected' AND decided_at < %(before)s LIMIT %(limit)s)
    RETURNING id
), notes AS (
    DELETE FROM rush.audit_request x USING gone q WHERE x.request_id = q.id
)
SELECT count(*) FROM gone;

-- name: forget_rest :exec
DELETE FROM rush.archive_rest WHERE finished_at < %(before)s;

-- name: forget_log_rest :exec
DELETE FROM rush.log_rest WHERE at < %(before)s;

-- name: due_alerts :many
-- Alerts to call now. Each is put off before it is called, so that a master that dies
-- while calling does not lose it, and one that fails is tried again later and later.
WITH orphans AS (
    DELETE FROM rush.alert a WHERE NOT EXISTS (SELECT FROM rush.run r WHERE r.id = a.run_id)
)
UPDATE rush.alert a
   SET tries = a.tries + 1,
       next_at = statement_timestamp() + least(3600, 15 * 2 ^ a.tries) * interval '1 second'
  FROM rush.run r
 WHERE a.next_at <= statement_timestamp() AND r.id = a.run_id
RETURNING a.id, a.message, a.created_at, a.tries, r.id AS run_id, r.pipeline, r.jobinstance, r.state;

-- name: alert_called :exec
DELETE FROM rush.alert WHERE id = %(id)s;
