-- Run requests: what is asked for, and what the master decides.

-- name: submit :one
-- Ask for something. The same idempotency key twice is the same request: no row, then.
INSERT INTO rush.run_request (pipeline, job, jobinstance, action, params, idempotency_key)
VALUES (%(pipeline)s, %(job)s, %(jobinstance)s, %(action)s, %(params)s::jsonb, %(idempotency_key)s)
ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
RETURNING id;

-- name: request :one
SELECT id, pipeline, job, jobinstance, action, params, status, reason, run_id, idempotency_key, created_at, created_by
  FROM rush.run_request WHERE id = %(id)s;

-- name: request_by_key :one
SELECT id, pipeline, job, jobinstance, action, params, status, reason, run_id, idempotency_key, created_at, created_by
  FROM rush.run_request WHERE idempotency_key = %(idempotency_key)s;

-- name: pending_requests :many
-- The oldest requests, locked, with all that the decision needs: one row each.
SELECT q.id, q.action, q.pipeline, q.job, q.jobinstance,
       p.name IS NOT NULL AS known, v.id AS version_id, v.compiled_at IS NOT NULL AS compiled, v.error,
       r.id AS run_id, r.state AS run_state, r.round, r.cancelling,
       j.id AS job_id,
       row_number() OVER (PARTITION BY q.pipeline, q.jobinstance ORDER BY q.id) AS nth,
       EXISTS (SELECT FROM rush.run_state s
                WHERE s.run_id = r.id AND s.job = q.job AND s.state = 'Stuck') AS job_stuck
  FROM (SELECT * FROM rush.run_request WHERE status = 'Pending' AND id > %(after)s ORDER BY id LIMIT %(limit)s
           FOR UPDATE SKIP LOCKED) q
  LEFT JOIN rush.pipeline p ON p.name = q.pipeline
  LEFT JOIN LATERAL (SELECT id, compiled_at, error FROM rush.pipeline_version v
                      WHERE v.pipeline = q.pipeline ORDER BY v.version DESC LIMIT 1) v ON true
  LEFT JOIN rush.run r ON r.pipeline = q.pipeline AND r.jobinstance = q.jobinstance
  LEFT JOIN rush.pipeline_job j ON j.version_id = coalesce(r.version_id, v.id) AND j.name = q.job
 ORDER BY q.id;

-- name: admit_next :many
-- Make runs of the plain requests at the head of the line: each the next run of a pipeline
-- that can run, from its beginning. Anything else, and what stands behind it, is left to the
-- decision about each.
-- A run's turn is one behind the last run of its pipeline, or behind what is Ready now: so
-- pipelines take turns, however many runs each has asked for (start-time fair queueing: Goyal,
-- Vin and Cheng, 1996).
-- Their first jobs are the master's own worker's from the start, up to as many as it has room for,
-- where nothing else waits and no other worker has a free slot: what is claimed later is written
-- once more. Returns these, as `held` would tell them, and the sum.
WITH own AS MATERIALIZED (
    SELECT w.name, w.generation,
           ARRAY(SELECT q.queue FROM unnest(w.queues) AS q(queue)
                  WHERE NOT EXISTS (SELECT FROM unnest(%(lows)s::int[], %(highs)s::int[], %(turns)s::bigint[])
                                                AS band(low, high, turn)
                                     CROSS JOIN LATERAL (
                                           SELECT FROM rush.run_state s
                                            WHERE s.queue = q.queue AND s.state = 'Ready'
                                              AND s.worker IS NULL AND NOT s.limited
                                              AND s.priority BETWEEN band.low AND band.high
                                              AND s.turn >= band.turn
                                            LIMIT 1) one)) AS queues
      FROM rush.worker w
     WHERE w.name = %(worker)s AND w.generation = %(generation)s AND w.state = 'Alive'
       AND %(room)s > 0 AND NOT (SELECT paused FROM rush.control)
       AND NOT EXISTS (SELECT FROM rush.worker o
                        WHERE o.state = 'Alive' AND o.name <> %(worker)s AND o.queues && w.queues
                          AND o.slots > (SELECT count(*)
                                           FROM (SELECT FROM rush.run_state s
                                                  WHERE s.worker = o.name AND s.generation = o.generation
                                                  ORDER BY s.token DESC LIMIT o.slots) held))
       FOR KEY SHARE OF w
), pending AS MATERIALIZED (
    SELECT id, pipeline, params, created_at,
           action = 'start' AND job IS NULL AND jobinstance IS NULL AS plain
      FROM rush.run_request
     WHERE status = 'Pending' AND id > %(after)s
     ORDER BY id
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
), known AS MATERIALIZED (
    SELECT p.name, p.paused, v.id AS version_id, v.roots, coalesce(l.jobinstance, 0) AS last,
           greatest(l.turn, coalesce(n.turn, (SELECT last_value FROM rush.turn))) AS turn
      FROM (SELECT DISTINCT pipeline FROM pending) d
      JOIN rush.pipeline p ON p.name = d.pipeline
     CROSS JOIN LATERAL (SELECT v.id, v.roots, v.compiled_at, v.error
                           FROM rush.pipeline_version v
                          WHERE v.pipeline = p.name ORDER BY v.version DESC LIMIT 1) v
      LEFT JOIN LATERAL (SELECT r.jobinstance, r.turn
                           FROM rush.run r
                          WHERE r.pipeline = p.name ORDER BY r.jobinstance DESC LIMIT 1) l ON true
      LEFT JOIN LATERAL (SELECT one.turn
                           FROM unnest(%(lows)s::int[], %(highs)s::int[], %(turns)s::bigint[])
                                    AS band(low, high, turn)
                          CROSS JOIN LATERAL (
                                SELECT s.priority, s.turn
                                  FROM rush.run_state s
                                 WHERE s.queue = (SELECT j.queue FROM rush.pipeline_job j
                                                   WHERE j.version_id = v.id AND j.predecessors = 0 LIMIT 1)
                                   AND s.state = 'Ready' AND s.worker IS NULL AND NOT s.limited
                                   AND s.priority BETWEEN band.low AND band.high AND s.turn >= band.turn
                                 ORDER BY s.priority DESC, s.turn LIMIT 1) one
                          ORDER BY one.priority DESC, one.turn LIMIT 1) n ON true
     WHERE v.compiled_at IS NOT NULL AND v.error IS NULL
), asked AS (
    SELECT q.id, q.pipeline, q.params, q.created_at, k.version_id, k.roots,
           k.last + row_number() OVER w AS jobinstance, k.turn + row_number() OVER w AS turn
      FROM pending q JOIN known k ON k.name = q.pipeline
     WHERE q.id < coalesce((SELECT min(id) FROM pending
                             WHERE NOT plain OR pipeline NOT IN (SELECT name FROM known)),
                           9223372036854775807)
    WINDOW w AS (PARTITION BY q.pipeline ORDER BY q.id)
), made AS (
    INSERT INTO rush.run (pipeline, jobinstance, version_id, state, open, turn, params, request_id,
                          created_at, started_at)
    SELECT pipeline, jobinstance, version_id, 'Running', roots, turn, params, id,
           created_at, greatest(created_at, statement_timestamp())
      FROM asked
     ORDER BY id
    RETURNING id, pipeline, jobinstance, version_id, request_id, turn, params
), accepted AS (
    UPDATE rush.run_request q
       SET status = 'Accepted', run_id = m.id, jobinstance = m.jobinstance, decided_at = statement_timestamp()
      FROM made m
     WHERE q.id = m.request_id
), first AS (
    SELECT m.id AS run_id, m.pipeline, m.jobinstance, m.turn, m.params, k.paused,
           j.id AS job_id, j.name AS job, j.queue, j.priority, j.limited,
           o.name AS worker, o.generation,
           j.queue = ANY (o.queues) AND NOT j.limited AND NOT k.paused AS open
      FROM made m
      JOIN known k ON k.name = m.pipeline
      JOIN rush.pipeline_job j ON j.version_id = k.version_id AND j.predecessors = 0
      LEFT JOIN own o ON true
), seated AS (
    SELECT f.*, f.open AND %(room)s >= row_number() OVER (
               PARTITION BY f.open ORDER BY f.priority DESC, f.turn, f.run_id) AS mine
      FROM first f
), placed AS MATERIALIZED (
    SELECT s.*, CASE WHEN mine THEN nextval('rush.token') END AS token FROM seated s
), released AS (
    INSERT INTO rush.run_state (run_id, job, job_id, pipeline, jobinstance, state,
                                queue, priority, limited, paused, turn, ready_at,
                                worker, generation, token, claim_id)
    SELECT run_id, job, job_id, pipeline, jobinstance,
           CASE WHEN paused THEN 'Waiting' ELSE 'Ready' END,
           queue, priority, limited, paused, turn, statement_timestamp(),
           CASE WHEN mine THEN worker END, CASE WHEN mine THEN generation END, token,
           CASE WHEN mine THEN %(claim_id)s::bigint END
      FROM placed
)
SELECT p.token, p.run_id, p.job, 0 AS item, 1 AS round, %(claim_id)s::bigint AS claim_id,
       p.job_id, p.pipeline, p.jobinstance, 0 AS attempt, false AS given_back, false AS cancelling,
       p.params::text AS params,
       CASE WHEN (SELECT EXISTS (SELECT FROM rush.job_parameter)) THEN
           (SELECT jsonb_object_agg(j.name, j.value ORDER BY j.job)
              FROM rush.job_parameter j
             WHERE j.pipeline = p.pipeline AND j.job IN ('*', p.job)) END AS job_params,
       NULL::bigint AS made, NULL::bigint AS seen, NULL::bigint AS turn
  FROM placed p
 WHERE p.mine
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       count(*), (SELECT count(*) FROM pending),
       setval('rush.turn', greatest(max(turn), (SELECT last_value FROM rush.turn)))
  FROM made;

-- name: reject :exec
UPDATE rush.run_request q
   SET status = 'Rejected', reason = o.reason, decided_at = statement_timestamp(),
       run_id = coalesce(q.run_id, o.run_id)
  FROM unnest(%(ids)s::bigint[], %(reasons)s::text[], %(run_ids)s::bigint[]) AS o(id, reason, run_id)
 WHERE q.id = o.id AND q.status = 'Pending';

-- name: admit :many
-- Make runs of requests: their numbers, their rows, and the jobs that wait for nothing.
-- A run that starts at a later job gets its jobs from open_round.
WITH known AS MATERIALIZED (
    SELECT v.id, v.roots, l.jobinstance AS last,
           greatest(l.turn, coalesce(n.turn, (SELECT last_value FROM rush.turn))) AS turn
      FROM (SELECT DISTINCT version_id FROM unnest(%(version_ids)s::bigint[]) AS u(version_id)) d
      JOIN rush.pipeline_version v ON v.id = d.version_id
      LEFT JOIN LATERAL (SELECT r.jobinstance, r.turn
                           FROM rush.run r
                          WHERE r.pipeline = v.pipeline ORDER BY r.jobinstance DESC LIMIT 1) l ON true
      LEFT JOIN LATERAL (SELECT s.turn
                           FROM rush.run_state s
                          WHERE s.queue = (SELECT j.queue FROM rush.pipeline_job j
                                            WHERE j.version_id = v.id AND j.predecessors = 0 LIMIT 1)
                            AND s.state = 'Ready' AND s.worker IS NULL AND NOT s.limited
                          ORDER BY s.priority DESC, s.turn LIMIT 1) n ON true
), asked AS (
    SELECT q.id, q.pipeline, q.job, q.params, q.created_at, k.id AS version_id, k.roots,
           coalesce(q.jobinstance,
                    greatest(k.last, max(q.jobinstance) OVER (PARTITION BY q.pipeline), 0)
                    + count(*) FILTER (WHERE q.jobinstance IS NULL)
                          OVER (PARTITION BY q.pipeline ORDER BY q.id)) AS jobinstance,
           k.turn + count(*) OVER (PARTITION BY q.pipeline ORDER BY q.id) AS turn
      FROM unnest(%(ids)s::bigint[], %(version_ids)s::bigint[]) AS v(id, version_id)
      JOIN rush.run_request q ON q.id = v.id AND q.status = 'Pending'
      JOIN known k ON k.id = v.version_id
), made AS (
    INSERT INTO rush.run (pipeline, jobinstance, version_id, state, open, turn, params, request_id,
                          created_at, started_at)
    SELECT pipeline, jobinstance, version_id, 'Running', CASE WHEN job IS NULL THEN roots ELSE 0 END,
           turn, params, id, created_at, greatest(created_at, statement_timestamp())
      FROM asked
     ORDER BY id
    ON CONFLICT (pipeline, jobinstance) DO NOTHING
    RETURNING id, pipeline, jobinstance, version_id, request_id, open, turn
), accepted AS (
    UPDATE rush.run_request q
       SET status = 'Accepted', run_id = m.id, jobinstance = m.jobinstance, decided_at = statement_timestamp()
      FROM made m
     WHERE q.id = m.request_id
), released AS (
    INSERT INTO rush.run_state (run_id, job, job_id, pipeline, jobinstance, state,
                                queue, priority, limited, paused, turn, ready_at)
    SELECT m.id, j.name, j.id, m.pipeline, m.jobinstance,
           CASE WHEN p.paused THEN 'Waiting' ELSE 'Ready' END,
           j.queue, j.priority, j.limited, coalesce(p.paused, false), m.turn, statement_timestamp()
      FROM made m
      JOIN rush.pipeline_job j ON j.version_id = m.version_id AND j.predecessors = 0
      LEFT JOIN rush.pipeline p ON p.name = m.pipeline
     WHERE m.open > 0
)
SELECT id AS run_id, request_id,
       (SELECT setval('rush.turn', greatest(max(turn), (SELECT last_value FROM rush.turn))) FROM made) AS turn
  FROM made;

-- name: blocked_reruns :many
-- Which of these re-runs would start behind a job that is itself not over.
WITH RECURSIVE before(request_id, run_id, job_id) AS (
    SELECT a.request_id, a.run_id, e.job_id
      FROM unnest(%(ids)s::bigint[], %(run_ids)s::bigint[], %(job_ids)s::bigint[])
        AS a(request_id, run_id, job_id)
      JOIN rush.pipeline_edge e ON e.successor_id = a.job_id
    UNION
    SELECT b.request_id, b.run_id, e.job_id
      FROM before b JOIN rush.pipeline_edge e ON e.successor_id = b.job_id
)
SELECT DISTINCT ON (b.request_id) b.request_id, s.job, s.state
  FROM before b
  JOIN rush.pipeline_job j ON j.id = b.job_id
  JOIN rush.run_state s ON s.run_id = b.run_id AND s.job = j.name
 ORDER BY b.request_id, s.job;

-- name: reopen :many
-- Accept re-runs: their runs are Running again, in a new round. open_round follows, for those
-- that are returned: another has a new round meanwhile, and its request must be judged again.
WITH reopened AS (
    UPDATE rush.run r
       SET round = r.round + 1, finished_at = NULL,
           state = 'Running', params = CASE WHEN q.params IS NULL THEN r.params
                                            ELSE coalesce(r.params, '{}') || q.params END
      FROM unnest(%(ids)s::bigint[], %(run_ids)s::bigint[], %(rounds)s::int[]) AS o(id, run_id, round)
      JOIN rush.run_request q ON q.id = o.id AND q.status = 'Pending'
     WHERE r.id = o.run_id AND r.round = o.round
    RETURNING q.id AS request_id, r.id
)
UPDATE rush.run_request q
   SET status = 'Accepted', run_id = r.id, decided_at = statement_timestamp()
  FROM reopened r
 WHERE q.id = r.request_id
RETURNING q.id;

-- name: open_round :many
-- Start runs at a job (NULL: at the beginning): that job and all that depend on it run
-- in the run's present round. What of them is live or counted goes; the counts are set
-- to the predecessors that are still to come; what waits for nothing is released.
WITH RECURSIVE start AS (
    SELECT o.run_id, o.job_id, r.round, r.version_id, r.pipeline, r.jobinstance, r.turn
      FROM unnest(%(run_ids)s::bigint[], %(job_ids)s::bigint[]) AS o(run_id, job_id)
      JOIN rush.run r ON r.id = o.run_id
), unmet(run_id, job_id) AS (
    -- A job that is not over is live, or comes after one that is: nothing is recounted.
    (SELECT l.run_id, l.job_id FROM rush.run_state l JOIN start s ON s.run_id = l.run_id
     UNION
     SELECT f.run_id, f.job_id FROM rush.finished f JOIN start s ON s.run_id = f.run_id)
    UNION
    SELECT u.run_id, e.successor_id
      FROM unmet u JOIN rush.pipeline_edge e ON e.job_id = u.job_id
), last AS (
    SELECT DISTINCT ON (a.run_id, a.job) a.run_id, a.job, a.state, s.version_id
      FROM rush.archive a JOIN start s ON s.run_id = a.run_id AND s.round > 1
     ORDER BY a.run_id, a.job, a.round DESC, a.finished_at DESC
), stopped AS (
    -- What an earlier cancel has stopped, and no re-run has begun since: it runs too, or the
    -- run could never complete.
    SELECT l.run_id, j.id AS job_id
      FROM last l JOIN rush.pipeline_job j ON j.version_id = l.version_id AND j.name = l.job
     WHERE l.state = 'Cancelled'
       AND NOT EXISTS (SELECT FROM unmet u WHERE u.run_id = l.run_id AND u.job_id = j.id)
), affected(run_id, job_id) AS (
    (SELECT s.run_id, j.id
       FROM start s JOIN rush.pipeline_job j ON j.version_id = s.version_id
      WHERE s.job_id IS NULL OR j.id = s.job_id
     UNION
     SELECT run_id, job_id FROM stopped)
    UNION
    SELECT a.run_id, e.successor_id
      FROM affected a JOIN rush.pipeline_edge e ON e.job_id = a.job_id
), ahead AS MATERIALIZED (
    SELECT run_id, job_id FROM affected UNION SELECT run_id, job_id FROM unmet
), missing AS (
    SELECT a.run_id, e.successor_id AS job_id, count(*)::int AS jobs
      FROM ahead a JOIN rush.pipeline_edge e ON e.job_id = a.job_id
     GROUP BY a.run_id, e.successor_id
), gone AS (
    DELETE FROM rush.run_state l
     USING affected a JOIN rush.pipeline_job j ON j.id = a.job_id
     WHERE l.run_id = a.run_id AND l.job = j.name
    RETURNING l.run_id, l.state
), forgotten AS (
    DELETE FROM rush.result v
     USING affected a JOIN rush.pipeline_job j ON j.id = a.job_id
     WHERE v.run_id = a.run_id AND v.job = j.name
), counts AS (
    SELECT a.run_id, a.job_id, s.round, coalesce(m.jobs, 0) AS pending, j.predecessors,
           CASE WHEN s.round > 1 THEN
               greatest((SELECT max(h.attempt) FROM rush.archive h WHERE h.run_id = a.run_id AND h.job = j.name), 0)
           ELSE 0 END AS attempts
      FROM affected a
      JOIN start s ON s.run_id = a.run_id
      JOIN rush.pipeline_job j ON j.id = a.job_id
      LEFT JOIN missing m ON m.run_id = a.run_id AND m.job_id = a.job_id
), counted AS (
    -- A first round needs counts for fan-in alone: its chains are handed on without.
    INSERT INTO rush.run_job (run_id, job_id, round, pending, predecessors, attempts)
    SELECT run_id, job_id, round, pending, predecessors, attempts
      FROM counts
     WHERE round > 1 OR predecessors > 1
    ON CONFLICT (run_id, job_id) DO UPDATE
       SET round = excluded.round, pending = excluded.pending, attempts = excluded.attempts
), released AS (
    INSERT INTO rush.run_state (run_id, job, round, job_id, pipeline, jobinstance, state, attempt,
                                queue, priority, limited, paused, turn, ready_at)
    SELECT c.run_id, j.name, c.round, j.id, s.pipeline, s.jobinstance,
           CASE WHEN p.paused THEN 'Waiting' ELSE 'Ready' END,
           c.attempts, j.queue, j.priority, j.limited, coalesce(p.paused, false), s.turn, statement_timestamp()
      FROM counts c
      JOIN start s ON s.run_id = c.run_id
      JOIN rush.pipeline_job j ON j.id = c.job_id
      LEFT JOIN rush.pipeline p ON p.name = s.pipeline
     WHERE c.pending = 0
    RETURNING run_id
), skipped AS (
    -- In a new run, what comes before the start, or beside it, counts as satisfied.
    INSERT INTO rush.archive (run_id, job, attempt, pipeline, jobinstance, state, finished_at, reason)
    SELECT s.run_id, j.name, 0, s.pipeline, s.jobinstance, 'Skipped', statement_timestamp(),
           'the run started at a later job'
      FROM start s JOIN rush.pipeline_job j ON j.version_id = s.version_id
     WHERE s.round = 1
       AND NOT EXISTS (SELECT FROM affected a WHERE a.run_id = s.run_id AND a.job_id = j.id)
)
UPDATE rush.run r
   SET open = r.open + coalesce(n.released, 0) - coalesce(g.gone, 0),
       stuck = r.stuck - coalesce(g.stuck, 0)
  FROM start s
  LEFT JOIN (SELECT run_id, count(*)::int AS released FROM released GROUP BY run_id) n ON n.run_id = s.run_id
  LEFT JOIN (SELECT run_id, count(*)::int AS gone, (count(*) FILTER (WHERE state = 'Stuck'))::int AS stuck
               FROM gone GROUP BY run_id) g ON g.run_id = s.run_id
 WHERE r.id = s.run_id
RETURNING r.id;

-- name: flag_cancelled :many
-- Accept cancels: raise the flag. Workers and the master see it in their next statements.
WITH flagged AS (
    UPDATE rush.run r SET cancelling = true
      FROM unnest(%(run_ids)s::bigint[]) AS o(run_id)
     WHERE r.id = o.run_id AND r.state IN ('Running', 'Stuck')
    RETURNING r.id
)
UPDATE rush.run_request q
   SET status = 'Accepted', run_id = o.run_id, decided_at = statement_timestamp()
  FROM unnest(%(ids)s::bigint[], %(run_ids)s::bigint[]) AS o(id, run_id)
 WHERE q.id = o.id AND q.status = 'Pending' AND o.run_id IN (SELECT id FROM flagged)
RETURNING q.id;
