-- A run's log, page by page. Parts stand in the order in which they were kept.

-- name: log_before :many
-- The last parts before a place, the last one first; from the end where none is given.
SELECT l.job, l.item, l.round, l.attempt, l.token, l.part, l.at, l.lines
  FROM rush.run_log l
 WHERE l.run_id = %(run_id)s
   AND l.at >= (SELECT created_at FROM rush.run WHERE id = %(run_id)s)
   AND (%(job)s::text IS NULL OR l.job = %(job)s)
   AND (%(attempt)s::int IS NULL OR l.attempt = %(attempt)s)
   AND (%(at)s::timestamptz IS NULL
        OR (l.at, l.token, l.part) < (%(at)s::timestamptz, %(token)s::bigint, %(part)s::int))
 ORDER BY l.at DESC, l.token DESC, l.part DESC
 LIMIT %(limit)s;

-- name: log_after :many
-- The next parts after a place, or at it where nothing was read of it yet.
SELECT l.job, l.item, l.round, l.attempt, l.token, l.part, l.at, l.lines
  FROM rush.run_log l
 WHERE l.run_id = %(run_id)s
   AND l.at >= (SELECT created_at FROM rush.run WHERE id = %(run_id)s)
   AND (%(job)s::text IS NULL OR l.job = %(job)s)
   AND (%(attempt)s::int IS NULL OR l.attempt = %(attempt)s)
   AND (l.at, l.token, l.part) > (%(at)s::timestamptz, %(token)s::bigint, %(part)s::int)
 ORDER BY l.at, l.token, l.part
 LIMIT %(limit)s;

-- name: log_parts :one
-- How many parts a run's log has.
SELECT count(*) AS parts
  FROM rush.run_log l
 WHERE l.run_id = %(run_id)s
   AND l.at >= (SELECT created_at FROM rush.run WHERE id = %(run_id)s)
   AND (%(job)s::text IS NULL OR l.job = %(job)s)
   AND (%(attempt)s::int IS NULL OR l.attempt = %(attempt)s);
