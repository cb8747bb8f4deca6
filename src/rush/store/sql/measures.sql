-- What is measured from outside, again and again. Nothing here reads all of `archive`.

-- name: measure_jobs :many
-- What is live, by queue and state, and for how long the oldest of it has been there. No index is
-- read further than so many rows: what is Ready is counted so far in each queue, else in all of them.
SELECT queue, state, sum(jobs)::bigint AS jobs,
       greatest(0, extract(epoch FROM statement_timestamp() - min(oldest)))::float8 AS oldest
  FROM (SELECT q.queue, 'Ready' AS state, r.jobs, q.oldest
          FROM (SELECT queue, min(ready_at) AS oldest FROM rush.line GROUP BY queue) q
         CROSS JOIN LATERAL (
               SELECT count(*) AS jobs
                 FROM (SELECT FROM rush.run_state s
                        WHERE s.queue = q.queue AND s.state = 'Ready' AND s.worker IS NULL AND NOT s.limited
                        LIMIT %(most)s) s) r
        UNION ALL
        SELECT queue, state, count(*), min(ready_at)
          FROM ((SELECT queue, state, ready_at FROM rush.run_state
                  WHERE worker IS NOT NULL LIMIT %(most)s)
                UNION ALL
                (SELECT queue, state, ready_at FROM rush.run_state
                  WHERE state = 'Waiting' AND NOT paused ORDER BY ready_at LIMIT %(most)s)
                UNION ALL
                (SELECT queue, state, ready_at FROM rush.run_state WHERE paused LIMIT %(most)s)
                UNION ALL
                (SELECT queue, state, ready_at FROM rush.run_state
                  WHERE state = 'Failed' AND NOT paused LIMIT %(most)s)
                UNION ALL
                (SELECT queue, state, ready_at FROM rush.run_state
                  WHERE state = 'Stuck' AND NOT paused ORDER BY run_id LIMIT %(most)s)) job
         GROUP BY 1, 2) live
 GROUP BY queue, state;

-- name: measure_runs :many
-- Runs that are not through, by pipeline and state: those of the first so many live jobs of each kind.
SELECT pipeline, state, count(DISTINCT run_id) AS runs
  FROM ((SELECT pipeline, 'Running' AS state, run_id FROM rush.run_state
          WHERE worker IS NOT NULL LIMIT %(most)s)
        UNION ALL
        (SELECT pipeline, 'Running', run_id FROM rush.run_state
          WHERE state = 'Ready' AND worker IS NULL AND NOT limited
          ORDER BY queue, priority DESC, turn LIMIT %(most)s)
        UNION ALL
        (SELECT pipeline, 'Running', run_id FROM rush.run_state
          WHERE state = 'Waiting' AND NOT paused ORDER BY ready_at LIMIT %(most)s)
        UNION ALL
        (SELECT pipeline, 'Running', run_id FROM rush.run_state WHERE paused LIMIT %(most)s)
        UNION ALL
        (SELECT pipeline, 'Running', run_id FROM rush.run_state
          WHERE state = 'Failed' AND NOT paused LIMIT %(most)s)
        UNION ALL
        (SELECT pipeline, 'Stuck', run_id FROM rush.run_state
          WHERE state = 'Stuck' AND NOT paused ORDER BY run_id LIMIT %(most)s)) live
 GROUP BY pipeline, state;

-- name: measure_rest :one
-- Requests that nobody has taken, and numbers that only rise.
SELECT (SELECT count(*) FROM (SELECT FROM rush.run_request WHERE status = 'Pending' LIMIT %(most)s) q) AS pending,
       (SELECT extract(epoch FROM statement_timestamp() - created_at)::float8
          FROM rush.run_request WHERE status = 'Pending' ORDER BY id LIMIT 1) AS pending_oldest,
       (SELECT stale_writes FROM rush.control)
       + (SELECT coalesce(sum(stale_writes), 0) FROM rush.worker)::bigint AS stale_writes,
       (SELECT last_value FROM rush.token) AS handed_out,
       coalesce(pg_sequence_last_value(pg_get_serial_sequence('rush.run', 'id')::regclass), 0) AS runs,
       coalesce(pg_sequence_last_value(pg_get_serial_sequence('rush.run_request', 'id')::regclass), 0) AS requests;

-- name: newest_run :one
SELECT coalesce(max(id), 0) AS id FROM rush.run;

-- name: runs_not_over :many
-- Runs with something live, up to an id.
SELECT r.id, r.state FROM rush.run r
 WHERE r.id IN (SELECT DISTINCT run_id FROM rush.run_state) AND r.id <= %(until)s;

-- name: runs_after :many
SELECT id FROM rush.run WHERE id > %(after)s ORDER BY id LIMIT %(limit)s;

-- name: runs_by_id :many
SELECT id, pipeline, state,
       extract(epoch FROM coalesce(finished_at, statement_timestamp()) - started_at)::float8 AS seconds
  FROM rush.run WHERE id = ANY(%(ids)s::bigint[]);

-- name: attempts_of :many
-- The attempts of some runs, by how they ended: how many, and the seconds that they took.
SELECT a.pipeline, a.state, coalesce(a.reason, '') AS reason, count(*) AS attempts,
       coalesce(sum(extract(epoch FROM a.finished_at - a.started_at)), 0)::float8 AS seconds
  FROM rush.archive a
 WHERE a.run_id = ANY(%(ids)s::bigint[])
 GROUP BY 1, 2, 3;
