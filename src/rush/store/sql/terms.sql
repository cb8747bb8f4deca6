-- Who has been master.

-- name: terms :many
-- Who has been master, the newest term first.
SELECT term, holder, elected_at,
       lead(elected_at) OVER (ORDER BY term) AS until
  FROM rush.master_term
 ORDER BY term DESC
 LIMIT %(limit)s;
