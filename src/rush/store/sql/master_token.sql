-- The master's token: one row, a rising term, a lease on the database's clock.

-- name: elect :one
-- Take the token when its lease is over, or its holder's session is gone. No row: it is held.
-- The term is higher than any that this worker has `seen`: a standby may have lost the last ones.
-- Waits for the transactions of the old term that are still open: they hold KEY SHARE on it.
WITH elected AS (
    UPDATE rush.master_token t
       SET term = greatest(t.term, (SELECT max(term) FROM rush.master_term), %(seen)s::bigint) + 1,
           holder = w.name, generation = w.generation,
           backend_pid = pg_backend_pid(),
           backend_start = (SELECT backend_start FROM pg_stat_activity
                             WHERE pid = pg_backend_pid() AND NOT %(pooled)s),
           elected_at = clock_timestamp(),
           expires_at = clock_timestamp() + %(expiry)s * interval '1 second'
      FROM rush.worker w
     WHERE w.name = %(worker)s AND w.generation = %(generation)s AND w.state = 'Alive'
       AND (t.expires_at < clock_timestamp()
            OR (t.term = %(gone_term)s
                AND NOT EXISTS (SELECT FROM pg_stat_activity a
                                 WHERE a.pid = t.backend_pid
                                   AND (a.backend_start = t.backend_start OR a.backend_start IS NULL))))
    RETURNING t.term, t.holder, t.elected_at
), noted AS (
    INSERT INTO rush.master_term (term, holder, elected_at) SELECT * FROM elected
)
SELECT term FROM elected;

-- name: renew :one
-- Renew, only within the term and only while it lasts. No row: it is over. The holder is named
-- too: after a failover the number of a term that was lost may be another's.
UPDATE rush.master_token
   SET expires_at = clock_timestamp() + %(expiry)s * interval '1 second',
       backend_pid = pg_backend_pid(),
       backend_start = (SELECT backend_start FROM pg_stat_activity
                         WHERE pid = pg_backend_pid() AND NOT %(pooled)s)
 WHERE term = %(term)s AND holder = %(worker)s AND generation = %(generation)s
   AND expires_at >= clock_timestamp()
RETURNING term;

-- name: resign :exec
-- Expire the lease, never delete the row: the term must go on rising.
UPDATE rush.master_token SET expires_at = 'epoch'
 WHERE term = %(term)s AND holder = %(worker)s AND generation = %(generation)s;

-- name: fence :one
-- The first statement of each of the master's transactions. While it is open nobody can
-- begin a new term; once there is a new term, it finds no row.
SELECT term FROM rush.master_token WHERE name = 'master' AND term = %(term)s FOR KEY SHARE;

-- name: insist :one
-- The same for a transaction that looks at nothing before its end: a term that is over is an
-- error (a division by zero), with which all that was sent behind it comes to nothing.
SELECT 1 / count(*) AS one
  FROM (SELECT FROM rush.master_token WHERE name = 'master' AND term = %(term)s FOR KEY SHARE) held;

-- name: master :one
-- Who is master, and whether its session is still there.
SELECT t.term, t.holder, t.elected_at, t.expires_at,
       t.expires_at < clock_timestamp() AS expired,
       t.expires_at >= clock_timestamp() AND t.backend_start IS NOT NULL
           AND NOT EXISTS (SELECT FROM pg_stat_activity a
                            WHERE a.pid = t.backend_pid
                              AND (a.backend_start = t.backend_start OR a.backend_start IS NULL)) AS session_gone
  FROM rush.master_token t;
