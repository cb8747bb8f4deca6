-- What a worker says about the jobs that it holds, and hears in return.
--
-- A job is held by (worker, generation, token, claim_id); every statement here names
-- all four, so whoever has been overtaken changes nothing. Outcomes come sorted by
-- key, so that rows are locked in one order everywhere. The fence is written with
-- IS NOT DISTINCT FROM, which no index serves: rows are found by their key, never by
-- going through all that the worker holds.

-- name: report :many
-- Report outcomes, go on with what they were holding back, refill: a worker's whole
-- conversation, in one statement and one commit. Without outcomes it is a claim.
WITH me AS MATERIALIZED (
    -- Until this commits nobody can declare the worker dead (its generation is a key column).
    SELECT w.name, w.generation, w.queues,
           w.state = 'Alive' AND NOT (SELECT paused FROM rush.control) AS takes
      FROM rush.worker w
     WHERE w.name = %(worker)s AND w.generation = %(generation)s AND w.state <> 'Dead'
       FOR KEY SHARE
), outcome AS MATERIALIZED (
    SELECT *
      FROM unnest(%(run_ids)s::bigint[], %(jobs)s::text[], %(items)s::int[], %(rounds)s::int[],
                  %(tokens)s::bigint[], %(claim_ids)s::bigint[], %(outcomes)s::text[],
                  %(began)s::float8[], %(ended)s::float8[], %(reasons)s::text[], %(errors)s::text[],
                  %(tracebacks)s::text[], %(results)s::text[], %(logs)s::text[], %(parts)s::int[],
                  %(codes)s::text[])
        AS o(run_id, job, item, round, token, claim_id, outcome,
             began, ended, reason, error, traceback, result, log, part, code)
), over AS (
    DELETE FROM rush.run_state s
     USING me, outcome o
     WHERE s.run_id = o.run_id AND s.job = o.job AND s.item = o.item AND s.round = o.round
       AND (s.worker, s.generation, s.token, s.claim_id)
           IS NOT DISTINCT FROM (me.name, me.generation, o.token, o.claim_id)
       AND o.outcome <> 'Failed'
    RETURNING s.run_id, s.job, s.item, s.round, s.job_id, s.pipeline, s.jobinstance, s.ready_at,
              s.attempt + (o.began IS NOT NULL AND s.started_at IS NULL)::int AS attempt,
              o.token, o.outcome, o.began, o.ended, o.reason, o.error, o.traceback,
              o.result, o.log, o.part, o.code
), failed AS (
    UPDATE rush.run_state s
       SET state = 'Failed', failed_at = statement_timestamp(),
           attempt = s.attempt + (s.started_at IS NULL)::int,
           worker = NULL, generation = NULL, token = NULL, claim_id = NULL,
           started_at = NULL, deadline_at = NULL
      FROM me, outcome o
     WHERE s.run_id = o.run_id AND s.job = o.job AND s.item = o.item AND s.round = o.round
       AND (s.worker, s.generation, s.token, s.claim_id)
           IS NOT DISTINCT FROM (me.name, me.generation, o.token, o.claim_id)
       AND o.outcome = 'Failed'
    RETURNING s.run_id, s.job, s.item, s.round, s.job_id, s.pipeline, s.jobinstance, s.ready_at,
              s.attempt,
              o.token, o.outcome, o.began, o.ended, o.reason, o.error, o.traceback,
              o.result, o.log, o.part, o.code
), accepted AS (
    SELECT * FROM over UNION ALL SELECT * FROM failed
), filed AS (
    INSERT INTO rush.archive (run_id, job, item, round, attempt, pipeline, jobinstance, state, worker,
                              token, code, ready_at, started_at, finished_at, reason, error, traceback)
    SELECT run_id, job, item, round, attempt, pipeline, jobinstance, outcome, %(worker)s,
           token, code, ready_at,
           CASE WHEN began IS NOT NULL
                THEN greatest(ready_at, statement_timestamp() - began * interval '1 second') END,
           greatest(ready_at, statement_timestamp() - ended * interval '1 second'),
           reason, error, traceback
      FROM accepted
), logged AS (
    INSERT INTO rush.log (run_id, job, item, round, attempt, token, part, at, lines)
    SELECT run_id, job, item, round, attempt, token, part, statement_timestamp(), log
      FROM accepted
     WHERE log IS NOT NULL
), kept AS (
    INSERT INTO rush.result (run_id, job, item, round, value)
    SELECT run_id, job, item, round, result::jsonb
      FROM over
     WHERE result IS NOT NULL
    ON CONFLICT (run_id, job, item, round) DO UPDATE SET value = excluded.value
), complete AS (
    -- While its run is being cancelled, what follows is the master's to file.
    SELECT o.run_id, o.job, o.item, o.round, o.job_id, o.pipeline, o.jobinstance,
           CASE WHEN NOT r.cancelling THEN j.hand_off_to END AS hand_off_to,
           j.ends_run AND NOT r.cancelling AS ends_run
      FROM over o
      JOIN rush.pipeline_job j ON j.id = o.job_id
      JOIN rush.run r ON r.id = o.run_id
     WHERE o.outcome = 'Complete'
), ended AS (
    UPDATE rush.run r
       SET state = 'Complete', open = 0, finished_at = statement_timestamp()
      FROM complete c
     WHERE c.ends_run AND r.id = c.run_id AND r.state = 'Running' AND NOT r.cancelling
    RETURNING r.id
), cleared AS (
    DELETE FROM rush.run_job b USING ended e WHERE b.run_id = e.id
), noted AS (
    INSERT INTO rush.finished (run_id, job_id, job, item, round)
    SELECT run_id, job_id, job, item, round
      FROM complete
     WHERE NOT ends_run AND hand_off_to IS NULL
    RETURNING id
), following AS (
    -- The successors of chains: this worker's, where it may and can run them.
    SELECT c.run_id, c.round, c.pipeline, c.jobinstance, j.id AS job_id, j.name, j.queue, j.priority, j.limited,
           coalesce(c.pipeline = ANY ((SELECT array_agg(name) FROM rush.pipeline WHERE paused)::text[]), false) AS paused,
           row_number() OVER (ORDER BY j.priority DESC, c.run_id) <= %(want)s
               AND me.takes AND NOT j.limited AND j.queue = ANY (me.queues)
               AND NOT EXISTS (SELECT FROM rush.run_state u
                                WHERE u.queue = j.queue AND u.state = 'Ready' AND u.worker IS NULL
                                  AND NOT u.limited AND u.priority > j.priority) AS mine
      FROM me, complete c
      JOIN rush.pipeline_job j ON j.id = c.hand_off_to
), handed AS (
    INSERT INTO rush.run_state (run_id, job, round, job_id, pipeline, jobinstance, state, attempt,
                                queue, priority, limited, paused, ready_at,
                                worker, generation, token, claim_id)
    SELECT run_id, name, round, job_id, pipeline, jobinstance, CASE WHEN paused THEN 'Waiting' ELSE 'Ready' END,
           CASE WHEN round > 1 THEN coalesce((SELECT attempts FROM rush.run_job b
                                               WHERE b.run_id = f.run_id AND b.job_id = f.job_id), 0)
                ELSE 0 END,
           queue, priority, limited, paused, statement_timestamp(),
           CASE WHEN mine AND NOT paused THEN %(worker)s END,
           CASE WHEN mine AND NOT paused THEN %(generation)s::bigint END,
           CASE WHEN mine AND NOT paused THEN nextval('rush.token') END,
           CASE WHEN mine AND NOT paused THEN %(claim_id)s::bigint END
      FROM following f
    RETURNING run_id, job, item, round, token, job_id, pipeline, jobinstance, attempt, given_back, worker
), picked AS MATERIALIZED (
    -- Each queue in its own order, so that the index is read from its start and no further.
    SELECT best.run_id, best.job, best.item, best.round
      FROM me, unnest(me.queues) AS q(queue)
     CROSS JOIN LATERAL (
           SELECT s.run_id, s.job, s.item, s.round, s.priority, s.ready_at
             FROM rush.run_state s
            WHERE s.queue = q.queue AND s.state = 'Ready' AND s.worker IS NULL AND NOT s.limited
              AND (%(idle)s OR NOT s.given_back)
            ORDER BY s.priority DESC, s.ready_at, s.run_id
            LIMIT greatest(0, %(want)s - (SELECT count(*) FROM handed WHERE worker IS NOT NULL))
              FOR UPDATE SKIP LOCKED) best
     WHERE me.takes
     ORDER BY best.priority DESC, best.ready_at, best.run_id
     LIMIT greatest(0, %(want)s - (SELECT count(*) FROM handed WHERE worker IS NOT NULL))
), claimed AS (
    UPDATE rush.run_state s
       SET worker = %(worker)s, generation = %(generation)s,
           token = nextval('rush.token'), claim_id = %(claim_id)s
      FROM picked p
     WHERE s.run_id = p.run_id AND s.job = p.job AND s.item = p.item AND s.round = p.round
    RETURNING s.run_id, s.job, s.item, s.round, s.token, s.job_id, s.pipeline, s.jobinstance,
              s.attempt, s.given_back
), got AS (
    SELECT run_id, job, item, round, token, job_id, pipeline, jobinstance, attempt, given_back FROM claimed
    UNION ALL
    SELECT run_id, job, item, round, token, job_id, pipeline, jobinstance, attempt, given_back
      FROM handed WHERE worker IS NOT NULL
)
SELECT 'claimed' AS kind, g.token AS n, g.run_id, g.job, g.item, g.round, %(claim_id)s::bigint AS claim_id,
       g.job_id, g.pipeline, g.jobinstance, g.attempt, g.given_back, false AS cancelling,
       r.params::text AS params,
       (SELECT jsonb_object_agg(p.name, p.value ORDER BY p.job)
          FROM rush.job_parameter p
         WHERE p.pipeline = g.pipeline AND p.job IN ('*', g.job)) AS job_params
  FROM got g JOIN rush.run r ON r.id = g.run_id
UNION ALL
SELECT 'refused', o.token, o.run_id, o.job, o.item, o.round, o.claim_id,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM outcome o
 WHERE (SELECT count(*) FROM accepted) < (SELECT count(*) FROM outcome)
   AND NOT EXISTS (SELECT FROM accepted a WHERE a.token = o.token)
UNION ALL
-- What others must do now: the master with what is finished, failed or cancelled, and with what
-- was left Ready.
SELECT 'left', (SELECT count(*) FROM noted) + (SELECT count(*) FROM failed)
             + (SELECT count(*) FROM over WHERE outcome = 'Cancelled')
             + (SELECT count(*) FROM handed WHERE worker IS NULL),
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
UNION ALL
SELECT 'ended', (SELECT count(*) FROM ended),
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL;

-- name: held :many
-- All that this worker holds, as the database knows it: how it takes what the master
-- assigned, learns of cancelled runs, and finds a claim whose answer was lost.
SELECT 'held' AS kind, s.token AS n, s.run_id, s.job, s.item, s.round, s.claim_id,
       s.job_id, s.pipeline, s.jobinstance,
       s.attempt - (s.state = 'Running')::int AS attempt, s.given_back, r.cancelling,
       r.params::text AS params,
       (SELECT jsonb_object_agg(p.name, p.value ORDER BY p.job)
          FROM rush.job_parameter p
         WHERE p.pipeline = s.pipeline AND p.job IN ('*', s.job)) AS job_params
  FROM rush.run_state s
  JOIN rush.run r ON r.id = s.run_id
 WHERE s.worker = %(worker)s AND s.generation = %(generation)s;

-- name: mark_running :exec
-- A runner has begun these. Their timeout counts from there.
UPDATE rush.run_state s
   SET state = 'Running', attempt = s.attempt + 1,
       started_at = greatest(s.ready_at, statement_timestamp() - o.began * interval '1 second'),
       deadline_at = statement_timestamp() + (j.timeout_seconds - o.began) * interval '1 second'
  FROM unnest(%(run_ids)s::bigint[], %(jobs)s::text[], %(items)s::int[], %(rounds)s::int[],
              %(tokens)s::bigint[], %(claim_ids)s::bigint[], %(began)s::float8[])
    AS o(run_id, job, item, round, token, claim_id, began),
       rush.pipeline_job j
 WHERE s.run_id = o.run_id AND s.job = o.job AND s.item = o.item AND s.round = o.round
   AND (s.worker, s.generation, s.token, s.claim_id)
       IS NOT DISTINCT FROM (%(worker)s, %(generation)s::bigint, o.token, o.claim_id)
   AND s.state = 'Ready' AND j.id = s.job_id;

-- name: give_back :one
-- These go to somebody else: not begun, or stopped with their worker. No attempt is counted.
-- In a pipeline that has been paused meanwhile they wait.
WITH given AS (
    UPDATE rush.run_state s
       SET state = CASE WHEN s.pipeline IN (SELECT name FROM rush.pipeline WHERE paused)
                        THEN 'Waiting' ELSE 'Ready' END,
           paused = s.pipeline IN (SELECT name FROM rush.pipeline WHERE paused),
           attempt = s.attempt - (s.state = 'Running')::int, given_back = true,
           worker = NULL, generation = NULL, token = NULL, claim_id = NULL,
           started_at = NULL, deadline_at = NULL
      FROM unnest(%(run_ids)s::bigint[], %(jobs)s::text[], %(items)s::int[], %(rounds)s::int[],
                  %(tokens)s::bigint[], %(claim_ids)s::bigint[])
        AS o(run_id, job, item, round, token, claim_id)
     WHERE s.run_id = o.run_id AND s.job = o.job AND s.item = o.item AND s.round = o.round
       AND (s.worker, s.generation, s.token, s.claim_id)
           IS NOT DISTINCT FROM (%(worker)s, %(generation)s::bigint, o.token, o.claim_id)
    RETURNING 1
)
SELECT count(*) FROM given;

-- name: append_log :exec
-- Lines of attempts that go on, or that have just ended in a transaction of their own.
-- Those of an attempt that is no longer this worker's are dropped, and so are those that
-- are here already.
INSERT INTO rush.log (run_id, job, item, round, attempt, token, part, at, lines)
SELECT o.run_id, o.job, o.item, o.round, o.attempt, o.token, o.part, statement_timestamp(), o.log
  FROM unnest(%(run_ids)s::bigint[], %(jobs)s::text[], %(items)s::int[], %(rounds)s::int[],
              %(attempts)s::int[], %(tokens)s::bigint[], %(logs)s::text[], %(parts)s::int[])
    AS o(run_id, job, item, round, attempt, token, log, part)
 WHERE (EXISTS (SELECT FROM rush.run_state s
                 WHERE s.run_id = o.run_id AND s.job = o.job AND s.item = o.item AND s.round = o.round
                   AND (s.worker, s.generation, s.token)
                       IS NOT DISTINCT FROM (%(worker)s, %(generation)s::bigint, o.token))
        OR EXISTS (SELECT FROM rush.archive a
                    WHERE a.run_id = o.run_id AND a.job = o.job AND a.token = o.token
                      AND a.worker = %(worker)s))
   AND NOT EXISTS (SELECT FROM rush.log l
                    WHERE l.run_id = o.run_id AND l.token = o.token AND l.part = o.part);

-- name: complete_within :one
-- The end of a job inside its own transaction, together with what it wrote. No row: it is
-- no longer this attempt's to end, and its writes must go. Nothing is handed on from here:
-- the successor is left Ready, or the master is told.
WITH over AS (
    DELETE FROM rush.run_state s
     WHERE s.run_id = %(run_id)s AND s.job = %(job)s AND s.item = %(item)s AND s.round = %(round)s
       AND (s.worker, s.generation, s.token, s.claim_id)
           IS NOT DISTINCT FROM (%(worker)s, %(generation)s::bigint, %(token)s::bigint, %(claim_id)s::bigint)
    RETURNING s.*
), filed AS (
    INSERT INTO rush.archive (run_id, job, item, round, attempt, pipeline, jobinstance, state, worker,
                              token, code, ready_at, started_at, finished_at)
    SELECT run_id, job, item, round, attempt + (started_at IS NULL)::int, pipeline, jobinstance, 'Complete', worker,
           token, %(code)s, ready_at,
           greatest(ready_at, coalesce(started_at, statement_timestamp() - %(began)s * interval '1 second')),
           greatest(ready_at, statement_timestamp())
      FROM over
), kept AS (
    INSERT INTO rush.result (run_id, job, item, round, value)
    SELECT run_id, job, item, round, %(result)s::jsonb FROM over WHERE %(result)s::text IS NOT NULL
    ON CONFLICT (run_id, job, item, round) DO UPDATE SET value = excluded.value
), noted AS (
    INSERT INTO rush.finished (run_id, job_id, job, item, round)
    SELECT run_id, job_id, job, item, round FROM over
)
SELECT token FROM over;

-- name: archived :many
-- Which of these tokens did report: a commit whose answer was lost may have happened.
SELECT a.token
  FROM rush.archive a
 WHERE a.run_id = ANY(%(run_ids)s::bigint[]) AND a.token = ANY(%(tokens)s::bigint[]);

-- name: compiled_jobs :many
-- What a job of a pipeline version is. It never changes, so workers keep it.
SELECT j.id, j.name, j.class_name, j.timeout_seconds, j.retry_limit, j.isolation, j.on_lost_contact,
       j.params, v.version
  FROM rush.pipeline_job j JOIN rush.pipeline_version v ON v.id = j.version_id
 WHERE j.id = ANY(%(job_ids)s::bigint[]);

-- name: results_before :many
-- The results of the jobs of a run, newest round of each.
SELECT DISTINCT ON (job, item) job, item, value
  FROM rush.result
 WHERE run_id = %(run_id)s
 ORDER BY job, item, round DESC;
