-- Bells: what wakes those who wait, and says nothing.

-- name: ring :exec
-- Ring bells. Who listens looks; nothing else is said.
SELECT pg_notify(channel, '') FROM unnest(%(channels)s::text[]) AS c(channel);
