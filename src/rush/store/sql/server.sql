-- The server itself: what of it cannot be relied on, and what it has room for.

-- name: traps :one
-- What lets a crash lose what was accepted, and what somebody has left behind.
SELECT ARRAY(SELECT name FROM unnest(ARRAY['fsync', 'full_page_writes', 'synchronous_commit']) AS s(name)
              WHERE current_setting(name) = 'off') AS off,
       ARRAY(SELECT c.relname::text
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = %(schema)s AND c.relkind = 'r' AND c.relpersistence = 'u'
              ORDER BY c.relname) AS unlogged,
       ARRAY(SELECT gid FROM pg_prepared_xacts
              WHERE database = current_database() ORDER BY prepared) AS prepared;

-- name: server_clock :one
-- What the server takes the time to be, in seconds since 1970.
SELECT extract(epoch FROM clock_timestamp())::float8 AS now;

-- name: room :one
-- How many connections it takes, and how many more than it has.
SELECT most, most - reserved - (SELECT count(*) FROM pg_stat_activity
                                 WHERE backend_type = 'client backend') AS free
  FROM (SELECT current_setting('max_connections')::int AS most,
               current_setting('superuser_reserved_connections')::int AS reserved) set;

-- name: old_transactions :many
-- Whose snapshot is older than this: what has been removed since then stays where it was.
SELECT pid, coalesce(nullif(application_name, ''), backend_type) AS name,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
  FROM pg_stat_activity
 WHERE (datname = current_database() OR datname IS NULL) AND pid <> pg_backend_pid()
   AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
   AND xact_start < clock_timestamp() - %(seconds)s * interval '1 second'
 ORDER BY xact_start;

-- name: sizes_of_live :many
-- The tables of what is live, with their indexes, and how many rows there are, as far as is known.
SELECT c.relname::text AS name, pg_total_relation_size(c.oid) AS bytes,
       greatest(pg_stat_get_live_tuples(c.oid), 0) AS rows
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %(schema)s AND c.relname IN ('run_state', 'run_job', 'finished') AND c.relkind = 'r'
 ORDER BY c.relname;
