-- What was done, and by whom.

-- name: begin_deed :one
-- Note what somebody is about to do.
INSERT INTO rush.audit (who, via, action, target, detail, why)
VALUES (%(who)s, %(via)s, %(action)s, %(target)s, %(detail)s::jsonb, %(why)s)
RETURNING id;

-- name: end_deed :exec
-- Note what came of it, and which requests it has made.
WITH made AS (
    INSERT INTO rush.audit_request (request_id, audit_id)
    SELECT DISTINCT id, %(id)s::bigint FROM unnest(%(requests)s::bigint[]) AS r(id)
    ON CONFLICT DO NOTHING
)
UPDATE rush.audit SET outcome = %(outcome)s WHERE id = %(id)s;

-- name: withdraw_deed :exec
DELETE FROM rush.audit WHERE id = %(id)s;

-- name: deeds :many
-- What was done, the newest first, and what became of the requests that it has made.
SELECT a.id, a.at, a.who, a.via, a.action, a.target, a.detail, a.why, a.outcome,
       q.pending, q.accepted, q.rejected, q.reason
  FROM rush.audit a
 CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE q.status = 'Pending') AS pending,
              count(*) FILTER (WHERE q.status = 'Accepted') AS accepted,
              count(*) FILTER (WHERE q.status = 'Rejected') AS rejected,
              min(q.reason) FILTER (WHERE q.status = 'Rejected') AS reason
         FROM rush.audit_request x JOIN rush.run_request q ON q.id = x.request_id
        WHERE x.audit_id = a.id) q
 WHERE (%(before)s::bigint IS NULL OR a.id < %(before)s)
   AND (%(target)s::text IS NULL OR a.target = %(target)s)
   AND (%(who)s::text IS NULL OR a.who = %(who)s)
   AND (%(action)s::text IS NULL OR a.action = %(action)s)
 ORDER BY a.id DESC
 LIMIT %(limit)s;

-- name: plain_requests :many
-- What was asked for by SQL or by a program, the newest first: of the newest so many requests,
-- those that no deed has made.
SELECT id, at, who, 'sql' AS via, action, target, detail, '' AS why, NULL AS outcome,
       (status = 'Pending')::int AS pending, (status = 'Accepted')::int AS accepted,
       (status = 'Rejected')::int AS rejected, reason
  FROM (SELECT q.id, q.created_at AS at, q.created_by AS who, q.status, q.reason,
               CASE WHEN q.action <> 'start' THEN q.action
                    WHEN q.status = 'Accepted' AND r.request_id IS DISTINCT FROM q.id THEN 'retry'
                    ELSE 'run' END AS action,
               q.pipeline || coalesce('/' || q.jobinstance, '') AS target,
               nullif(jsonb_strip_nulls(jsonb_build_object('job', q.job, 'params', q.params)), '{}') AS detail
          FROM (SELECT * FROM rush.run_request
                 WHERE %(before)s::bigint IS NULL OR id < %(before)s
                 ORDER BY id DESC LIMIT %(window)s) q
          LEFT JOIN rush.run r ON r.id = q.run_id
         WHERE NOT EXISTS (SELECT FROM rush.audit_request x WHERE x.request_id = q.id)) plain
 WHERE (%(target)s::text IS NULL OR target = %(target)s)
   AND (%(who)s::text IS NULL OR who = %(who)s)
   AND (%(action)s::text IS NULL OR action = %(action)s)
 ORDER BY id DESC
 LIMIT %(limit)s;
