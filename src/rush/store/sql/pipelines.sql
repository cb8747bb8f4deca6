-- Definitions: as people write them, and as the master compiles them.

-- name: apply :one
-- Put a definition under its name. Says whether it made a new version.
WITH before AS (
    SELECT max(version) AS version FROM rush.pipeline_version WHERE pipeline = %(name)s
), applied AS (
    INSERT INTO rush.pipeline AS p (name, definition) VALUES (%(name)s, %(definition)s::jsonb)
    ON CONFLICT (name) DO UPDATE SET definition = excluded.definition
     WHERE p.definition IS DISTINCT FROM excluded.definition
    RETURNING name
)
SELECT EXISTS (SELECT FROM applied) AS changed, coalesce((SELECT version FROM before), 0)
       + EXISTS (SELECT FROM applied)::int AS version;

-- name: in_force :one
-- The version under a name, if it is this definition. No row: it is another, or there is none.
SELECT max(v.version) AS version
  FROM rush.pipeline p JOIN rush.pipeline_version v ON v.pipeline = p.name
 WHERE p.name = %(name)s AND p.definition = %(definition)s::jsonb
HAVING max(v.version) IS NOT NULL;

-- name: pipeline :one
SELECT p.name, p.definition, p.paused, v.version, v.id AS version_id, v.compiled_at, v.error, v.created_at
  FROM rush.pipeline p
  JOIN LATERAL (SELECT * FROM rush.pipeline_version v
                 WHERE v.pipeline = p.name ORDER BY v.version DESC LIMIT 1) v ON true
 WHERE p.name = %(name)s;

-- name: set_paused :many
-- Pause or resume pipelines: one by name, or all of them (NULL) by the switch.
UPDATE rush.pipeline SET paused = %(paused)s WHERE name = %(name)s RETURNING name;

-- name: set_all_paused :exec
UPDATE rush.control SET paused = %(paused)s;

-- name: uncompiled :many
-- The definition is given as text: jsonb keeps numbers and depths that Python's reader chokes on.
SELECT id, pipeline, version, definition::text
  FROM rush.pipeline_version WHERE compiled_at IS NULL ORDER BY id LIMIT %(limit)s
   FOR UPDATE SKIP LOCKED;

-- name: refuse_version :exec
UPDATE rush.pipeline_version SET compiled_at = statement_timestamp(), error = %(error)s
 WHERE id = %(version_id)s AND compiled_at IS NULL;

-- name: compile_version :one
-- Store the compiled jobs and edges of a version; positions become ids. Tells the first job.
WITH version AS (
    UPDATE rush.pipeline_version SET compiled_at = statement_timestamp(), roots = %(roots)s, error = NULL
     WHERE id = %(version_id)s AND compiled_at IS NULL
    RETURNING id
), numbered AS MATERIALIZED (
    SELECT o.*, nextval(pg_get_serial_sequence('rush.pipeline_job', 'id')) AS id
      FROM unnest(%(positions)s::int[], %(names)s::text[], %(class_names)s::text[], %(timeouts)s::float8[],
                  %(retry_gaps)s::float8[], %(retry_limits)s::int[], %(queues)s::text[], %(priorities)s::int[],
                  %(isolations)s::text[], %(lost_contacts)s::text[], %(params)s::text[],
                  %(predecessors)s::int[], %(hand_offs)s::int[], %(ends)s::bool[])
        AS o(position, name, class_name, timeout, retry_gap, retry_limit, queue, priority,
             isolation, on_lost_contact, params, predecessors, hand_off, ends_run)
), jobs AS (
    INSERT INTO rush.pipeline_job (id, version_id, position, name, class_name, timeout_seconds,
                                   retry_gap_seconds, retry_limit, queue, priority, isolation, on_lost_contact,
                                   params, predecessors, hand_off_to, ends_run)
    OVERRIDING SYSTEM VALUE
    SELECT n.id, v.id, n.position, n.name, n.class_name, n.timeout, n.retry_gap, n.retry_limit, n.queue,
           n.priority, n.isolation, n.on_lost_contact, n.params::jsonb, n.predecessors, h.id, n.ends_run
      FROM version v, numbered n LEFT JOIN numbered h ON h.position = n.hand_off
    RETURNING id
), edges AS (
    INSERT INTO rush.pipeline_edge (job_id, successor_id)
    SELECT a.id, b.id
      FROM version v, unnest(%(from_positions)s::int[], %(to_positions)s::int[]) AS e(a, b)
      JOIN numbered a ON a.position = e.a
      JOIN numbered b ON b.position = e.b
)
SELECT min(id) AS first FROM jobs;
