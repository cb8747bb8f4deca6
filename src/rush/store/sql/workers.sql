-- Workers: who there is, who is alive, who is gone.

-- name: register :one
-- Enter the table under a name. No row: another process lives under that name, and its
-- lease has not run out. The same host with a dead process, or the same process, takes over.
INSERT INTO rush.worker AS w (name, state, slots, queues, host, boot_id, pid, version, code,
                              backend_pid, backend_start, lease_expires_at)
SELECT %(name)s, 'Alive', %(slots)s, %(queues)s::text[], %(host)s, %(boot_id)s, %(pid)s, %(version)s, %(code)s,
       a.pid, a.backend_start, clock_timestamp() + %(lease)s * interval '1 second'
  -- Behind a pooler no session of the server is this worker's: its end would be no sign.
  FROM (SELECT pg_backend_pid() AS pid,
               (SELECT backend_start FROM pg_stat_activity
                 WHERE pid = pg_backend_pid() AND NOT %(pooled)s) AS backend_start) a
ON CONFLICT (name) DO UPDATE
   SET generation = nextval('rush.generation'), state = 'Alive',
       slots = excluded.slots, queues = excluded.queues, host = excluded.host, boot_id = excluded.boot_id,
       pid = excluded.pid, version = excluded.version, code = excluded.code,
       backend_pid = excluded.backend_pid, backend_start = excluded.backend_start, progress = NULL,
       started_at = statement_timestamp(), last_seen = clock_timestamp(),
       lease_expires_at = excluded.lease_expires_at
 WHERE w.state = 'Dead' OR w.lease_expires_at < clock_timestamp()
    OR (w.host = excluded.host AND (w.pid = excluded.pid OR w.generation = %(dead_generation)s))
RETURNING w.id, w.generation, w.stale_writes, clock_timestamp() AS now;

-- name: timeline :one
-- Which history of the server this is: a standby that is promoted begins another.
SELECT CASE WHEN NOT pg_is_in_recovery()
            THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline;

-- name: worker :one
SELECT id, name, generation, state, slots, queues, host, boot_id, pid, version, code, progress,
       started_at, last_seen, lease_expires_at, lease_expires_at < clock_timestamp() AS expired
  FROM rush.worker WHERE name = %(name)s;

-- name: heartbeat :one
-- Renew the lease. No row: this registration is over.
UPDATE rush.worker
   SET last_seen = clock_timestamp(),
       lease_expires_at = clock_timestamp() + %(lease)s * interval '1 second',
       progress = %(progress)s::jsonb, stale_writes = %(stale_writes)s
 WHERE name = %(name)s AND generation = %(generation)s AND state <> 'Dead'
RETURNING id, state, reload, clock_timestamp() AS now;

-- name: note_session :exec
-- Which database session keeps this worker's lease: its end is an early sign of death.
UPDATE rush.worker w
   SET backend_pid = a.pid, backend_start = CASE WHEN NOT %(pooled)s THEN a.backend_start END
  FROM pg_stat_activity a
 WHERE a.pid = pg_backend_pid() AND w.name = %(name)s AND w.generation = %(generation)s;

-- name: drain :one
-- Take no more jobs.
UPDATE rush.worker SET state = 'Draining'
 WHERE name = %(name)s AND generation = coalesce(%(generation)s::bigint, generation) AND state = 'Alive'
RETURNING id;

-- name: request_reload :many
-- Ask workers (one, or all) to replace their runners, so that changed code is loaded.
UPDATE rush.worker SET reload = true
 WHERE state <> 'Dead' AND name = coalesce(%(name)s, name)
RETURNING name, id;

-- name: reloaded :exec
UPDATE rush.worker SET reload = false, code = %(code)s
 WHERE name = %(name)s AND generation = %(generation)s;

-- name: leave :exec
-- Out of the table, in good order. What it may still hold is orphaned at once.
WITH gone AS (
    DELETE FROM rush.worker WHERE name = %(name)s AND generation = %(generation)s RETURNING name
)
UPDATE rush.control SET stale_writes = stale_writes + %(stale_writes)s
 WHERE %(stale_writes)s > 0 AND EXISTS (SELECT FROM gone);

-- name: declare_dead :many
-- Death comes first, inheritance after it: what the dead still send matches nothing. Dead are
-- those named and, where leases are judged, those whose lease was over when this was said:
-- while it waits for a lock, so do those who would renew them.
UPDATE rush.worker
   SET state = 'Dead', generation = nextval('rush.generation')
 WHERE state <> 'Dead'
   AND ((%(leases)s AND lease_expires_at < coalesce(%(now)s::timestamptz, statement_timestamp()))
        OR (name, generation) IN (SELECT * FROM unnest(%(names)s::text[], %(generations)s::bigint[])))
RETURNING name;

-- name: end_jobs :exec
-- End the sessions that jobs of the dead still have open: their locks would hold up the next
-- attempts for as long as a frozen process stays frozen.
SELECT pg_terminate_backend(a.pid)
  FROM pg_stat_activity a
 WHERE a.datname = current_database() AND a.usename = current_user
   AND a.application_name IN (SELECT left('rush job on ' || name, 63) FROM unnest(%(names)s::text[]) AS n(name));

-- name: sessions_gone :many
-- Workers whose database session is no more: they have died, or are about to reconnect.
SELECT w.name, w.generation
  FROM rush.worker w
 WHERE w.state <> 'Dead' AND w.backend_start IS NOT NULL
   AND NOT EXISTS (SELECT FROM pg_stat_activity a
                    WHERE a.pid = w.backend_pid
                      AND (a.backend_start = w.backend_start OR a.backend_start IS NULL));

-- name: workers_alive :one
SELECT count(*) AS alive, min(lease_expires_at) AS next_expiry, clock_timestamp() AS now,
       clock_timestamp() - pg_postmaster_start_time() AS server_up
  FROM rush.worker WHERE state <> 'Dead';

-- name: forget_dead :exec
WITH gone AS (
    DELETE FROM rush.worker w
     WHERE w.state = 'Dead' AND w.last_seen < statement_timestamp() - interval '1 day'
       AND NOT EXISTS (SELECT FROM rush.run_state s WHERE s.worker = w.name)
    RETURNING stale_writes
)
UPDATE rush.control SET stale_writes = stale_writes + refused
  FROM (SELECT sum(stale_writes) AS refused FROM gone) g
 WHERE refused > 0;
