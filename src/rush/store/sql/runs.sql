-- How runs go on: what is finished releases what it was holding back, failures are
-- retried or stuck, what waits becomes ready, what is cancelled is swept away.
-- Only the master performs these, and each is safe to perform twice.

-- name: release_finished :many
-- Consume finished jobs, count their successors down, release those at 0, end runs.
-- Each row of `finished` is consumed once, by this DELETE; nothing is recounted.
-- In a run that is being cancelled, what would be released is Cancelled there and then: a
-- re-run finds all that was stopped, and what comes after it.
WITH taken AS (
    DELETE FROM rush.finished
     WHERE id IN (SELECT id FROM rush.finished WHERE id > %(after)s ORDER BY id LIMIT %(limit)s)
    RETURNING run_id, job_id, round
), due AS (
    SELECT t.run_id, e.successor_id AS job_id, count(*)::int AS done, max(t.round) AS round
      FROM taken t
      JOIN rush.run r ON r.id = t.run_id AND r.state = 'Running'
      JOIN rush.pipeline_edge e ON e.job_id = t.job_id
     GROUP BY t.run_id, e.successor_id
), counted AS (
    INSERT INTO rush.run_job (run_id, job_id, round, pending, predecessors)
    SELECT d.run_id, d.job_id, d.round, j.predecessors - d.done, j.predecessors
      FROM due d JOIN rush.pipeline_job j ON j.id = d.job_id
     WHERE j.predecessors > 1
     ORDER BY d.run_id, d.job_id
    ON CONFLICT (run_id, job_id) DO UPDATE
       SET pending = run_job.pending - (excluded.predecessors - excluded.pending),
           round = greatest(run_job.round, excluded.round)
    RETURNING run_id, job_id, round, pending
), next AS (
    SELECT x.run_id, x.round, x.job_id, j.name, j.queue, j.priority, j.limited,
           r.pipeline, r.jobinstance, r.cancelling, coalesce(p.paused, false) AS paused, r.turn,
           row_number() OVER (PARTITION BY x.run_id ORDER BY x.job_id) - 1 AS further,
           CASE WHEN x.round > 1 THEN coalesce((SELECT attempts FROM rush.run_job b
                                                 WHERE b.run_id = x.run_id AND b.job_id = x.job_id), 0)
                ELSE 0 END AS attempt
      FROM (SELECT run_id, job_id, round FROM counted WHERE pending = 0
            UNION ALL
            SELECT d.run_id, d.job_id, d.round
              FROM due d JOIN rush.pipeline_job j ON j.id = d.job_id
             WHERE j.predecessors = 1) x
      JOIN rush.pipeline_job j ON j.id = x.job_id
      JOIN rush.run r ON r.id = x.run_id
      LEFT JOIN rush.pipeline p ON p.name = r.pipeline
), line AS MATERIALIZED (
    -- Looked at once, before anything is added to it.
    SELECT q.queue, (SELECT one.turn
                       FROM unnest(%(lows)s::int[], %(highs)s::int[], %(turns)s::bigint[]) AS band(low, high, turn)
                      CROSS JOIN LATERAL (SELECT s.priority, s.turn FROM rush.run_state s
                                           WHERE s.queue = q.queue AND s.state = 'Ready'
                                             AND s.worker IS NULL AND NOT s.limited
                                             AND s.priority BETWEEN band.low AND band.high AND s.turn >= band.turn
                                           ORDER BY s.priority DESC, s.turn LIMIT 1) one
                      ORDER BY one.priority DESC, one.turn LIMIT 1) AS front
      FROM (SELECT DISTINCT queue FROM next) q
), released AS (
    INSERT INTO rush.run_state (run_id, job, round, job_id, pipeline, jobinstance, state, attempt,
                                queue, priority, limited, paused, turn, ready_at)
    SELECT run_id, name, round, job_id, pipeline, jobinstance,
           CASE WHEN paused THEN 'Waiting' ELSE 'Ready' END,
           attempt, queue, priority, limited, paused,
           -- The first goes on with its run; further ones stand behind what is Ready now, one
           -- behind the other, so that a large fan-out lets others pass.
           CASE WHEN further = 0 THEN turn ELSE further + greatest(turn, front) END,
           statement_timestamp()
      FROM next JOIN line USING (queue)
     WHERE NOT cancelling
    RETURNING run_id
), stopped AS (
    INSERT INTO rush.archive (run_id, job, round, attempt, pipeline, jobinstance, state, finished_at, reason)
    SELECT run_id, name, round, attempt, pipeline, jobinstance, 'Cancelled', statement_timestamp(), 'cancelled'
      FROM next
     WHERE cancelling
), delta AS (
    SELECT run_id, sum(change)::int AS change
      FROM (SELECT run_id, -1 AS change FROM taken UNION ALL SELECT run_id, 1 FROM released) c
     GROUP BY run_id
), moved AS (
    UPDATE rush.run r
       SET open = r.open + d.change,
           state = CASE WHEN r.cancelling THEN r.state
                        WHEN r.open + d.change = 0 THEN 'Complete'
                        WHEN r.open + d.change = r.stuck THEN 'Stuck'
                        ELSE r.state END,
           finished_at = CASE WHEN NOT r.cancelling AND r.open + d.change = r.stuck
                              THEN statement_timestamp() END
      FROM delta d
     WHERE r.id = d.run_id AND r.state = 'Running'
    RETURNING r.id, r.state, r.pipeline, r.jobinstance
), alerted AS (
    INSERT INTO rush.alert (run_id, message)
    SELECT id, format('%%s/%%s is Stuck', pipeline, jobinstance) FROM moved WHERE state = 'Stuck'
), cleared AS (
    DELETE FROM rush.run_job c USING moved m WHERE c.run_id = m.id AND m.state = 'Complete'
)
SELECT id, state FROM moved WHERE state <> 'Running';

-- name: fail_overdue :many
-- Fail what runs beyond its deadline and the grace that its own worker has for killing it.
WITH overdue AS MATERIALIZED (
    SELECT s.run_id, s.job, s.item, s.round, s.attempt, s.pipeline, s.jobinstance, s.worker, s.token,
           s.ready_at, s.started_at, s.deadline_at
      FROM rush.run_state s
     WHERE s.state = 'Running'
       AND s.deadline_at < coalesce(%(now)s::timestamptz, statement_timestamp()) - %(grace)s * interval '1 second'
     ORDER BY s.deadline_at
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
), failed AS (
    UPDATE rush.run_state s
       SET state = 'Failed', failed_at = coalesce(%(now)s::timestamptz, statement_timestamp()),
           worker = NULL, generation = NULL, token = NULL, claim_id = NULL,
           started_at = NULL, deadline_at = NULL
      FROM overdue o
     WHERE s.run_id = o.run_id AND s.job = o.job AND s.item = o.item AND s.round = o.round
    RETURNING o.*, s.failed_at
)
INSERT INTO rush.archive (run_id, job, item, round, attempt, pipeline, jobinstance, state, worker, token,
                          ready_at, started_at, finished_at, reason, error)
SELECT run_id, job, item, round, attempt, pipeline, jobinstance, 'Failed', worker, token,
       ready_at, started_at, failed_at, 'timeout',
       format('still running at its deadline, %%s after its start, and %%s has not reported it',
              deadline_at - started_at, worker)
  FROM failed
RETURNING run_id, job, attempt, worker;

-- name: inherit :many
-- Take back what nobody alive holds. What had begun has failed; what had not is Ready
-- again (in a paused pipeline it waits) and costs no attempt, unless it has been with so
-- many workers when they died that it is itself the likely cause.
WITH orphan AS MATERIALIZED (
    SELECT s.run_id, s.job, s.item, s.round, s.attempt, s.pipeline, s.jobinstance, s.worker, s.token,
           s.ready_at, s.started_at,
           s.state = 'Running' OR s.losses + 1 >= %(poison_limit)s AS fails,
           s.pipeline IN (SELECT name FROM rush.pipeline WHERE paused) AS waits
      FROM rush.run_state s
     WHERE s.worker IS NOT NULL
       AND NOT EXISTS (SELECT FROM rush.worker w
                        WHERE w.name = s.worker AND w.generation = s.generation AND w.state <> 'Dead')
     LIMIT %(limit)s
       FOR UPDATE OF s SKIP LOCKED
), freed AS (
    UPDATE rush.run_state s
       SET state = CASE WHEN o.fails THEN 'Failed' WHEN o.waits THEN 'Waiting' ELSE 'Ready' END,
           paused = NOT o.fails AND o.waits,
           failed_at = CASE WHEN o.fails THEN coalesce(%(now)s::timestamptz, statement_timestamp()) END,
           losses = s.losses + 1, given_back = true,
           worker = NULL, generation = NULL, token = NULL, claim_id = NULL,
           started_at = NULL, deadline_at = NULL
      FROM orphan o
     WHERE s.run_id = o.run_id AND s.job = o.job AND s.item = o.item AND s.round = o.round
    RETURNING o.*, s.state, s.failed_at, s.losses
), filed AS (
    INSERT INTO rush.archive (run_id, job, item, round, attempt, pipeline, jobinstance, state, worker, token,
                              ready_at, started_at, finished_at, reason, error)
    SELECT run_id, job, item, round, attempt, pipeline, jobinstance, 'Failed', worker, token,
           ready_at, started_at, failed_at, 'lost',
           format('%%s died while it held this job%%s', worker,
                  CASE WHEN losses > 1 THEN format('; %%s workers have by now', losses) END)
      FROM freed
     WHERE state = 'Failed'
)
SELECT run_id, job, worker, state FROM freed;

-- name: retry_failed :many
-- Let failed jobs wait for their retry, or call them Stuck when their retries are used up.
WITH due AS MATERIALIZED (
    SELECT s.run_id, s.job, s.item, s.round, s.job_id
      FROM rush.run_state s
     WHERE s.state = 'Failed'
       AND NOT EXISTS (SELECT FROM rush.run r WHERE r.id = s.run_id AND r.cancelling)
     LIMIT %(limit)s
       FOR UPDATE OF s SKIP LOCKED
), moved AS (
    UPDATE rush.run_state s
       SET state = CASE WHEN s.retries < j.retry_limit AND s.losses < %(poison_limit)s
                        THEN 'Waiting' ELSE 'Stuck' END,
           retries = s.retries + (s.retries < j.retry_limit AND s.losses < %(poison_limit)s)::int,
           ready_at = CASE WHEN s.retries < j.retry_limit AND s.losses < %(poison_limit)s
                           THEN s.failed_at + j.retry_gap_seconds * interval '1 second'
                           ELSE s.ready_at END,
           paused = s.retries < j.retry_limit AND s.losses < %(poison_limit)s
                    AND s.pipeline IN (SELECT name FROM rush.pipeline WHERE paused)
      FROM due d JOIN rush.pipeline_job j ON j.id = d.job_id
     WHERE s.run_id = d.run_id AND s.job = d.job AND s.item = d.item AND s.round = d.round
    RETURNING s.run_id, s.job, s.state, s.attempt
), stuck AS (
    SELECT run_id, count(*)::int AS jobs, string_agg(job, ', ' ORDER BY job) AS names
      FROM moved WHERE state = 'Stuck' GROUP BY run_id
), rested AS (
    UPDATE rush.run r
       SET stuck = r.stuck + s.jobs,
           state = CASE WHEN r.open = r.stuck + s.jobs THEN 'Stuck' ELSE r.state END,
           finished_at = CASE WHEN r.open = r.stuck + s.jobs
                              THEN coalesce(%(now)s::timestamptz, statement_timestamp()) END
      FROM stuck s
     WHERE r.id = s.run_id AND r.state = 'Running'
    RETURNING r.id, r.state, r.pipeline, r.jobinstance, s.names
), alerted AS (
    INSERT INTO rush.alert (run_id, message)
    SELECT id, format('%%s/%%s is Stuck at %%s', pipeline, jobinstance, names) FROM rested WHERE state = 'Stuck'
)
SELECT m.run_id, m.job, m.state, m.attempt, r.state AS run_state
  FROM moved m LEFT JOIN rested r ON r.id = m.run_id;

-- name: wake_waiting :one
-- Move Waiting jobs whose time has come to Ready.
WITH due AS MATERIALIZED (
    SELECT run_id, job, item, round
      FROM rush.run_state
     WHERE state = 'Waiting' AND NOT paused
       AND ready_at <= coalesce(%(now)s::timestamptz, statement_timestamp())
     ORDER BY ready_at
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
), woken AS (
    UPDATE rush.run_state s SET state = 'Ready', failed_at = NULL
      FROM due d
     WHERE s.run_id = d.run_id AND s.job = d.job AND s.item = d.item AND s.round = d.round
    RETURNING 1
)
SELECT count(*) FROM woken;

-- name: hold_paused :one
-- What is Ready or Waiting in a paused pipeline waits until it is resumed.
WITH due AS MATERIALIZED (
    SELECT run_id, job, item, round
      FROM rush.run_state
     WHERE state IN ('Ready', 'Waiting') AND worker IS NULL AND NOT paused
       AND pipeline IN (SELECT name FROM rush.pipeline WHERE paused)
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
), held AS (
    UPDATE rush.run_state s SET state = 'Waiting', paused = true
      FROM due d
     WHERE s.run_id = d.run_id AND s.job = d.job AND s.item = d.item AND s.round = d.round
    RETURNING 1
)
SELECT count(*) FROM held;

-- name: lift_paused :one
-- What was held by a pause that is over waits for nothing but its time.
WITH due AS MATERIALIZED (
    SELECT s.run_id, s.job, s.item, s.round
      FROM rush.run_state s
     WHERE s.paused
       AND NOT EXISTS (SELECT FROM rush.pipeline p WHERE p.name = s.pipeline AND p.paused)
     LIMIT %(limit)s
       FOR UPDATE OF s SKIP LOCKED
), lifted AS (
    UPDATE rush.run_state s SET paused = false
      FROM due d
     WHERE s.run_id = d.run_id AND s.job = d.job AND s.item = d.item AND s.round = d.round
    RETURNING 1
)
SELECT count(*) FROM lifted;

-- name: sweep_cancelled :one
-- Remove the live jobs of runs that are being cancelled, but for those a worker holds:
-- it is told, kills them and reports.
WITH due AS MATERIALIZED (
    SELECT s.run_id, s.job, s.item, s.round
      FROM rush.run r JOIN rush.run_state s ON s.run_id = r.id
     WHERE r.cancelling AND s.worker IS NULL
     LIMIT %(limit)s
       FOR UPDATE OF s SKIP LOCKED
), swept AS (
    DELETE FROM rush.run_state s
     USING due d
     WHERE s.run_id = d.run_id AND s.job = d.job AND s.item = d.item AND s.round = d.round
    RETURNING s.*
), filed AS (
    INSERT INTO rush.archive (run_id, job, item, round, attempt, pipeline, jobinstance, state,
                              ready_at, finished_at, reason)
    SELECT run_id, job, item, round, attempt, pipeline, jobinstance, 'Cancelled',
           least(ready_at, statement_timestamp()), statement_timestamp(), 'cancelled'
      FROM swept
)
SELECT (SELECT count(*) FROM swept) AS swept,
       ARRAY(SELECT DISTINCT w.id
               FROM rush.run r
               JOIN rush.run_state s ON s.run_id = r.id
               JOIN rush.worker w ON w.name = s.worker AND w.generation = s.generation
              WHERE r.cancelling) AS holders;

-- name: end_cancelled :many
-- A run is Cancelled when a statement later than the flag finds nothing of it alive.
WITH ended AS (
    UPDATE rush.run r
       SET state = 'Cancelled', cancelling = false, open = 0, stuck = 0,
           finished_at = coalesce(r.finished_at, statement_timestamp())
     WHERE r.cancelling
       AND NOT EXISTS (SELECT FROM rush.run_state s WHERE s.run_id = r.id)
       AND NOT EXISTS (SELECT FROM rush.finished f WHERE f.run_id = r.id)
    RETURNING r.id, r.state
), cleared AS (
    DELETE FROM rush.run_job b USING ended e WHERE b.run_id = e.id
)
SELECT id, state FROM ended;

-- name: assign :many
-- Hand Ready jobs to workers with free slots: the workers that serve just these queues,
-- the least loaded first, a seat at a time. They are Ready, with their holder named,
-- until a runner begins them. Returns what `held` would tell each of them. Where nothing is Ready
-- it is not asked who has a free slot: there may be hundreds of workers.
WITH waiting AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM unnest(%(queues)s::text[]) AS q(queue),
                               unnest(%(lows)s::int[], %(highs)s::int[], %(turns)s::bigint[])
                                   AS band(low, high, turn)
                    CROSS JOIN LATERAL (
                          SELECT FROM rush.run_state s
                           WHERE s.queue = q.queue AND s.state = 'Ready' AND s.worker IS NULL AND NOT s.limited
                             AND s.priority BETWEEN band.low AND band.high AND s.turn >= band.turn
                           LIMIT 1) one) AS anything
), seat AS MATERIALIZED (
    SELECT w.name, w.id, w.generation,
           row_number() OVER (ORDER BY l.held + n, w.name) AS seat
      FROM rush.worker w
     -- From the newest: one that is busy is soon seen to be, whatever it has done before.
     CROSS JOIN LATERAL (SELECT count(*) AS held
                           FROM (SELECT FROM rush.run_state s
                                  WHERE s.worker = w.name AND s.generation = w.generation
                                  ORDER BY s.token DESC LIMIT w.slots) newest) l
     CROSS JOIN LATERAL generate_series(1, w.slots - l.held) n
     WHERE w.state = 'Alive' AND w.queues = %(queues)s::text[]
       AND NOT (SELECT paused FROM rush.control)
       AND (SELECT anything FROM waiting)
), alive AS MATERIALIZED (
    SELECT w.name, w.generation FROM rush.worker w
     WHERE w.state = 'Alive' AND w.name IN (SELECT name FROM seat)
     ORDER BY w.name
       FOR KEY SHARE
), picked AS MATERIALIZED (
    SELECT best.run_id, best.job, best.item, best.round,
           row_number() OVER (ORDER BY best.priority DESC, best.turn, best.run_id) AS seat
      FROM unnest(%(queues)s::text[]) AS q(queue),
           unnest(%(lows)s::int[], %(highs)s::int[], %(turns)s::bigint[]) AS band(low, high, turn)
     CROSS JOIN LATERAL (
           SELECT s.run_id, s.job, s.item, s.round, s.priority, s.turn
             FROM rush.run_state s
            WHERE s.queue = q.queue AND s.state = 'Ready' AND s.worker IS NULL AND NOT s.limited
              AND s.priority BETWEEN band.low AND band.high AND s.turn >= band.turn
            ORDER BY s.priority DESC, s.turn, s.run_id
            -- Workers are locked before jobs.
            LIMIT (SELECT count(*) FROM seat JOIN alive USING (name, generation))
              FOR UPDATE SKIP LOCKED) best
)
UPDATE rush.run_state s
   SET worker = seat.name, generation = seat.generation,
       token = nextval('rush.token'), claim_id = %(claim_id)s
  FROM picked p
  JOIN seat ON seat.seat = p.seat
  JOIN alive ON alive.name = seat.name AND alive.generation = seat.generation
  JOIN rush.run r ON r.id = p.run_id
 WHERE s.run_id = p.run_id AND s.job = p.job AND s.item = p.item AND s.round = p.round
RETURNING s.token, s.run_id, s.job, s.item, s.round, s.claim_id, s.job_id, s.pipeline, s.jobinstance,
          s.attempt, s.given_back, r.cancelling, r.params::text AS params,
          CASE WHEN (SELECT EXISTS (SELECT FROM rush.job_parameter)) THEN
              (SELECT jsonb_object_agg(j.name, j.value ORDER BY j.job)
                 FROM rush.job_parameter j
                WHERE j.pipeline = s.pipeline AND j.job IN ('*', s.job)) END AS job_params,
          seat.id AS worker_id, s.generation;

-- name: outlook :one
-- What there is for the master to do now, and when the next thing is due. Of what comes and goes with
-- every job it tells the first there is, the newest there was before the look, and how long that took.
WITH serving AS MATERIALIZED (
    SELECT queues, state, count(*) AS workers FROM rush.worker WHERE state <> 'Dead' GROUP BY queues, state
), look AS MATERIALIZED (
    SELECT (SELECT last_value FROM rush.finished_id_seq) AS newest_finished,
           (SELECT last_value FROM rush.run_request_id_seq) AS newest_request,
           (SELECT last_value FROM rush.turn) AS newest_turn,
           clock_timestamp() AS began,
           (SELECT id FROM rush.finished WHERE id > %(finished_after)s ORDER BY id LIMIT 1) AS finished,
           clock_timestamp() AS second,
           (SELECT id FROM rush.run_request WHERE status = 'Pending' AND id > %(requested_after)s
             ORDER BY id LIMIT 1) AS requested,
           clock_timestamp() AS third,
           (SELECT ARRAY[one.priority, one.turn]
              FROM (SELECT DISTINCT unnest(queues) FROM serving WHERE state = 'Alive') AS q(queue),
                   unnest(%(lows)s::int[], %(highs)s::int[], %(turns)s::bigint[]) AS band(low, high, turn)
             CROSS JOIN LATERAL (
                   SELECT s.priority, s.turn
                     FROM rush.run_state s
                    WHERE s.queue = q.queue AND s.state = 'Ready' AND s.worker IS NULL AND NOT s.limited
                      AND s.priority BETWEEN band.low AND band.high AND s.turn >= band.turn
                    ORDER BY s.priority DESC, s.turn LIMIT 1) one
             ORDER BY one.priority DESC, one.turn LIMIT 1) AS first,
           clock_timestamp() AS over
)
SELECT statement_timestamp() AS now,
       EXISTS (SELECT FROM rush.run_state s
                WHERE s.state = 'Failed'
                  AND NOT EXISTS (SELECT FROM rush.run r WHERE r.id = s.run_id AND r.cancelling)) AS failed,
       EXISTS (SELECT FROM rush.pipeline_version WHERE compiled_at IS NULL) AS uncompiled,
       EXISTS (SELECT FROM rush.run WHERE cancelling) AS cancelling,
       look.finished, look.newest_finished, date_part('epoch', look.second - look.began) AS looked_at_finished,
       look.requested, look.newest_request, date_part('epoch', look.third - look.second) AS looked_at_requests,
       look.first, look.newest_turn, date_part('epoch', look.over - look.third) AS looked_at_line,
       (SELECT coalesce(sum(workers), 0)::bigint FROM serving) AS workers,
       ARRAY(SELECT queues::text FROM serving WHERE state = 'Alive'
              ORDER BY cardinality(queues), queues) AS queue_sets,
       (SELECT string_agg(name, ' ' ORDER BY name) FROM rush.pipeline WHERE paused) AS paused,
       (SELECT min(ready_at) FROM rush.run_state WHERE state = 'Waiting' AND NOT paused) AS next_ready,
       (SELECT min(deadline_at) FROM rush.run_state WHERE state = 'Running') AS next_deadline,
       (SELECT min(next_at) FROM rush.alert) AS next_alert
  FROM look;

-- name: queue_sets :one
-- The different sets of queues that workers serve, as texts, those of specialists first: the
-- others can do something else.
SELECT ARRAY(SELECT queues::text FROM rush.worker WHERE state = 'Alive'
              GROUP BY queues ORDER BY cardinality(queues), queues) AS sets;
