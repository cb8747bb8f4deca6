-- A run's log, page by page. Parts stand in the order in which they were kept.
--
-- Whether a part was visible in a snapshot is told by the transaction that has kept it (xmin).
-- Of that a row has the lower 32 bits: it is the last transaction so far that ends with them.

-- name: log_before :many
-- The last parts before a place, the last one first; from the end where none is given. Of those
-- that were visible in a snapshot, where one is given.
SELECT l.job, l.item, l.round, l.attempt, l.token, l.part, l.at, l.lines
  FROM rush.run_log l,
       (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xid) n
 WHERE l.run_id = %(run_id)s
   AND l.at >= (SELECT created_at FROM rush.run WHERE id = %(run_id)s)
   AND (%(job)s::text IS NULL OR l.job = %(job)s)
   AND (%(attempt)s::int IS NULL OR l.attempt = %(attempt)s)
   AND (%(at)s::timestamptz IS NULL
        OR (l.at, l.token, l.part) < (%(at)s::timestamptz, %(token)s::bigint, %(part)s::int))
   AND (%(seen)s::text IS NULL
        OR pg_visible_in_snapshot((n.xid - ((n.xid - l.kept_by::text::bigint) & 4294967295))::text::xid8,
                                  %(seen)s::text::pg_snapshot))
 ORDER BY l.at DESC, l.token DESC, l.part DESC
 LIMIT %(limit)s;

-- name: log_after :many
-- The next parts after a place.
SELECT l.job, l.item, l.round, l.attempt, l.token, l.part, l.at, l.lines
  FROM rush.run_log l
 WHERE l.run_id = %(run_id)s
   AND l.at >= (SELECT created_at FROM rush.run WHERE id = %(run_id)s)
   AND (%(job)s::text IS NULL OR l.job = %(job)s)
   AND (%(attempt)s::int IS NULL OR l.attempt = %(attempt)s)
   AND (l.at, l.token, l.part) > (%(at)s::timestamptz, %(token)s::bigint, %(part)s::int)
 ORDER BY l.at, l.token, l.part
 LIMIT %(limit)s;

-- name: log_late :many
-- Parts up to a place that were not visible yet in a snapshot.
SELECT l.job, l.item, l.round, l.attempt, l.token, l.part, l.at, l.lines
  FROM rush.run_log l,
       (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xid) n
 WHERE l.run_id = %(run_id)s
   AND l.at >= (SELECT created_at FROM rush.run WHERE id = %(run_id)s)
   AND (%(job)s::text IS NULL OR l.job = %(job)s)
   AND (%(attempt)s::int IS NULL OR l.attempt = %(attempt)s)
   AND (l.at, l.token, l.part) <= (%(at)s::timestamptz, %(token)s::bigint, %(part)s::int)
   AND NOT pg_visible_in_snapshot((n.xid - ((n.xid - l.kept_by::text::bigint) & 4294967295))::text::xid8,
                                  %(seen)s::text::pg_snapshot)
 ORDER BY l.at, l.token, l.part;

-- name: log_snapshot :one
-- What is visible now.
SELECT pg_current_snapshot()::text AS seen;

-- name: log_parts :one
-- How many parts a run's log has.
SELECT count(*) AS parts
  FROM rush.run_log l
 WHERE l.run_id = %(run_id)s
   AND l.at >= (SELECT created_at FROM rush.run WHERE id = %(run_id)s)
   AND (%(job)s::text IS NULL OR l.job = %(job)s)
   AND (%(attempt)s::int IS NULL OR l.attempt = %(attempt)s);
