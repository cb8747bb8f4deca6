-- The server itself: what of it cannot be relied on.

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
