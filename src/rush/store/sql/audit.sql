-- What was done by way of the dashboard and the HTTP API.

-- name: begin_deed :one
-- Note what somebody is about to do.
INSERT INTO rush.audit (who, via, action, target, detail, why)
VALUES (%(who)s, %(via)s, %(action)s, %(target)s, %(detail)s::jsonb, %(why)s)
RETURNING id;

-- name: end_deed :exec
UPDATE rush.audit SET outcome = %(outcome)s WHERE id = %(id)s;

-- name: deeds :many
-- What was done, the newest first.
SELECT id, at, who, via, action, target, detail, why, outcome
  FROM rush.audit
 WHERE (%(before)s::bigint IS NULL OR id < %(before)s)
   AND (%(target)s::text IS NULL OR target = %(target)s)
   AND (%(who)s::text IS NULL OR who = %(who)s)
   AND (%(action)s::text IS NULL OR action = %(action)s)
 ORDER BY id DESC
 LIMIT %(limit)s;
