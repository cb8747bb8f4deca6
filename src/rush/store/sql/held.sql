-- What a worker says about the jobs that it holds, and hears in return.
--
-- A job is held by (worker, generation, token, claim_id); every statement here names
-- all four, so whoever has been overtaken changes nothing. Outcomes come sorted by
-- key, so that rows are locked in one order everywhere. The fence is written with
-- IS NOT DISTINCT FROM, which no index serves: rows are found by their key, never by
-- going through all that the worker holds.

-- name: complete :many
-- Report jobs that are complete: each row goes, its attempt is filed, and what waited for it
-- alone goes on, here where it may. `fail` and `claim` travel in the same transaction, so a
-- worker's whole conversation is one commit.
WITH me AS MATERIALIZED (
    -- Until this commits nobody can declare the worker dead (its generation is a key column).
    SELECT w.name, w.generation, w.queues,
           w.state = 'Alive' AND NOT (SELECT paused FROM rush.control) AS takes
      FROM rush.worker w
     WHERE w.name = %(worker)s AND w.generation = %(generation)s AND w.state <> 'Dead'
       FOR KEY SHARE
), over AS (
    DELETE FROM rush.run_state s
     USING me, unnest(%(run_ids)s::bigint[], %(jobs)s::text[], %(items)s::int[], %(rounds)s::int[],
                      %(tokens)s::bigint[], %(claim_ids)s::bigint[], %(began)s::float8[],
                      %(ended)s::float8[], %(results)s::text[], %(logs)s::text[],
                      %(codes)s::text[]) WITH ORDINALITY
        AS o(run_id, job, item, round, token, claim_id, began, ended, result, log, code, place)
     WHERE s.run_id = o.run_id AND s.job = o.job AND s.item = o.item AND s.round = o.round
       AND (s.worker, s.generation, s.token, s.claim_id)
           IS NOT DISTINCT FROM (me.name, me.generation, o.token, o.claim_id)
    RETURNING s.run_id, s.job, s.item, s.round, s.job_id, s.pipeline, s.jobinstance, s.ready_at,
              s.attempt + (s.started_at IS NULL)::int AS attempt,
              o.token, o.began, o.ended, o.result, o.log, o.code, o.place
), filed AS (
    INSERT INTO rush.archive (run_id, job, item, round, attempt, pipeline, jobinstance, state, worker,
                              token, code, ready_at, started_at, finished_at, log)
    SELECT run_id, job, item, round, attempt, pipeline, jobinstance, 'Complete', %(worker)s,
           token, code, ready_at,
           greatest(ready_at, statement_timestamp() - began * interval '1 second'),
           greatest(ready_at, statement_timestamp() - ended * interval '1 second'), log
      FROM over
), kept AS (
    INSERT INTO rush.result (run_id, job, item, round, value)
    SELECT run_id, job, item, round, result::jsonb
      FROM over
     WHERE result IS NOT NULL
    ON CONFLICT (run_id, job, item, round) DO UPDATE SET value = excluded.value
), ended AS (
    UPDATE rush.run r
       SET state = 'Complete', open = 0, finished_at = statement_timestamp()
      FROM over o JOIN rush.pipeline_job j ON j.id = o.job_id
     WHERE j.ends_run AND o.round = 1
       AND r.id = o.run_id AND r.state = 'Running' AND NOT r.cancelling
    RETURNING o.token
), following AS (
    -- While its run is being cancelled, what follows is the master's to file; and so are the
    -- rounds of a re-run, which have counts.
    SELECT o.token, o.place, o.run_id, o.round, o.pipeline, o.jobinstance, r.params, r.turn,
           n.id AS job_id, n.name, n.queue, n.priority, n.limited,
           EXISTS (SELECT FROM rush.pipeline p WHERE p.name = o.pipeline AND p.paused) AS paused
      FROM over o
      JOIN rush.pipeline_job j ON j.id = o.job_id
      JOIN rush.pipeline_job n ON n.id = j.hand_off_to
      JOIN rush.run r ON r.id = o.run_id
     WHERE o.round = 1 AND NOT r.cancelling
), handed AS (
    -- This worker's, where it may and can run them, and nothing more urgent waits.
    INSERT INTO rush.run_state (run_id, job, round, job_id, pipeline, jobinstance, state,
                                queue, priority, limited, paused, turn, ready_at,
                                worker, generation, token, claim_id)
    SELECT f.run_id, f.name, f.round, f.job_id, f.pipeline, f.jobinstance,
           CASE WHEN f.paused THEN 'Waiting' ELSE 'Ready' END,
           f.queue, f.priority, f.limited, f.paused, f.turn, statement_timestamp(),
           CASE WHEN m.mine THEN %(worker)s END,
           CASE WHEN m.mine THEN %(generation)s::bigint END,
           CASE WHEN m.mine THEN nextval('rush.token') END,
           CASE WHEN m.mine THEN %(claim_id)s::bigint END
      FROM me, following f
     CROSS JOIN LATERAL (SELECT
               me.takes AND f.place <= %(keep)s AND NOT f.limited AND NOT f.paused
               AND f.queue = ANY (me.queues)
               AND NOT EXISTS (SELECT FROM rush.run_state u
                                WHERE u.queue = f.queue AND u.state = 'Ready' AND u.worker IS NULL
                                  AND NOT u.limited AND u.priority > f.priority) AS mine
            OFFSET 0) m
    RETURNING run_id, job, item, round, token, job_id, pipeline, jobinstance
), noted AS (
    INSERT INTO rush.finished (run_id, job_id, job, item, round)
    SELECT run_id, job_id, job, item, round
      FROM over
     WHERE token NOT IN (SELECT token FROM ended UNION ALL SELECT token FROM following)
    RETURNING id
), look AS MATERIALIZED (
    SELECT (SELECT last_value FROM rush.turn) AS newest,
           clock_timestamp() AS began,
           (SELECT ARRAY[one.priority, one.turn]
              FROM me, unnest(me.queues) AS q(queue),
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
SELECT h.token, h.run_id, h.job, h.item, h.round, %(claim_id)s::bigint AS claim_id,
       h.job_id, h.pipeline, h.jobinstance, 0 AS attempt, false AS given_back, false AS cancelling,
       r.params::text AS params,
       CASE WHEN (SELECT EXISTS (SELECT FROM rush.job_parameter)) THEN
           (SELECT jsonb_object_agg(p.name, p.value ORDER BY p.job)
              FROM rush.job_parameter p
             WHERE p.pipeline = h.pipeline AND p.job IN ('*', h.job)) END AS job_params,
       NULL::bigint[] AS accepted, NULL::bigint AS left, NULL::bigint AS ended, NULL::boolean AS ready,
       NULL::bigint[] AS first, NULL::bigint AS newest, NULL::float8 AS looked
  FROM handed h JOIN rush.run r ON r.id = h.run_id
 WHERE h.token IS NOT NULL
UNION ALL
-- The sum: what was accepted, where that is not all; what others must do now; the runs ended;
-- whether there is something to claim, where in the line, the newest turn, and how long that look took.
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       CASE WHEN (SELECT count(*) FROM over) < cardinality(%(tokens)s::bigint[])
            THEN ARRAY(SELECT token FROM over) END,
       (SELECT count(*) FROM noted) + (SELECT count(*) FROM handed WHERE token IS NULL),
       (SELECT count(*) FROM ended),
       m.takes IS TRUE AND l.first IS NOT NULL, l.first, l.newest, date_part('epoch', l.over - l.began)
  FROM look l LEFT JOIN me m ON true;

-- name: fail :many
-- Report attempts that have failed or were cancelled. What was cancelled is gone; what has
-- failed is the master's to retry. Returns the tokens that were accepted.
WITH me AS MATERIALIZED (
    SELECT w.name, w.generation
      FROM rush.worker w
     WHERE w.name = %(worker)s AND w.generation = %(generation)s AND w.state <> 'Dead'
       FOR KEY SHARE
), outcome AS MATERIALIZED (
    SELECT *
      FROM unnest(%(run_ids)s::bigint[], %(jobs)s::text[], %(items)s::int[], %(rounds)s::int[],
                  %(tokens)s::bigint[], %(claim_ids)s::bigint[], %(outcomes)s::text[],
                  %(began)s::float8[], %(ended)s::float8[], %(reasons)s::text[], %(errors)s::text[],
                  %(tracebacks)s::text[], %(logs)s::text[], %(codes)s::text[])
        AS o(run_id, job, item, round, token, claim_id, outcome,
             began, ended, reason, error, traceback, log, code)
), cancelled AS (
    DELETE FROM rush.run_state s
     USING me, outcome o
     WHERE s.run_id = o.run_id AND s.job = o.job AND s.item = o.item AND s.round = o.round
       AND (s.worker, s.generation, s.token, s.claim_id)
           IS NOT DISTINCT FROM (me.name, me.generation, o.token, o.claim_id)
       AND o.outcome = 'Cancelled'
    RETURNING s.run_id, s.job, s.item, s.round, s.pipeline, s.jobinstance, s.ready_at,
              s.attempt + (o.began IS NOT NULL AND s.started_at IS NULL)::int AS attempt, o.*
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
    RETURNING s.run_id, s.job, s.item, s.round, s.pipeline, s.jobinstance, s.ready_at, s.attempt, o.*
), accepted (run_id, job, item, round, pipeline, jobinstance, ready_at, attempt,
             o_run_id, o_job, o_item, o_round, token, claim_id, outcome,
             began, ended, reason, error, traceback, log, code) AS (
    SELECT * FROM cancelled UNION ALL SELECT * FROM failed
), filed AS (
    INSERT INTO rush.archive (run_id, job, item, round, attempt, pipeline, jobinstance, state, worker,
                              token, code, ready_at, started_at, finished_at, reason, error, traceback, log)
    SELECT run_id, job, item, round, attempt, pipeline, jobinstance, outcome, %(worker)s,
           token, code, ready_at,
           CASE WHEN began IS NOT NULL
                THEN greatest(ready_at, statement_timestamp() - began * interval '1 second') END,
           greatest(ready_at, statement_timestamp() - ended * interval '1 second'),
           reason, error, traceback, log
      FROM accepted
)
SELECT token FROM accepted;

-- name: claim :many
-- Take Ready jobs, up to as many as are wanted together with what `complete` has handed on
-- under the same claim id.
WITH me AS MATERIALIZED (
    SELECT w.queues, w.state = 'Alive' AND NOT (SELECT paused FROM rush.control) AS takes
      FROM rush.worker w
     WHERE w.name = %(worker)s AND w.generation = %(generation)s AND w.state <> 'Dead'
       FOR KEY SHARE
), room AS MATERIALIZED (
    -- What was handed on just now has newer tokens than what it follows: no walk through the rest.
    SELECT greatest(0, %(want)s - count(*)) AS jobs
      FROM rush.run_state s
     WHERE s.worker = %(worker)s AND s.generation = %(generation)s AND s.token > %(after)s
       AND s.claim_id = %(claim_id)s
), picked AS MATERIALIZED (
    -- Each queue in its own order, so that the index is read from its start and no further. What
    -- is locked stays where it is: by its place it is found again, and no plan can walk a run.
    SELECT best.ctid, best.run_id
      FROM me, unnest(me.queues) AS q(queue),
           unnest(%(lows)s::int[], %(highs)s::int[], %(turns)s::bigint[]) AS band(low, high, turn)
     CROSS JOIN LATERAL (
           SELECT s.ctid, s.run_id, s.priority, s.turn
             FROM rush.run_state s
            WHERE s.queue = q.queue AND s.state = 'Ready' AND s.worker IS NULL AND NOT s.limited
              AND s.priority BETWEEN band.low AND band.high AND s.turn >= band.turn
              AND (%(idle)s OR NOT s.given_back)
            ORDER BY s.priority DESC, s.turn, s.run_id
            LIMIT (SELECT jobs FROM room)
              FOR UPDATE SKIP LOCKED) best
     WHERE me.takes
     ORDER BY best.priority DESC, best.turn, best.run_id
     LIMIT (SELECT jobs FROM room)
)
UPDATE rush.run_state s
   SET worker = %(worker)s, generation = %(generation)s,
       token = nextval('rush.token'), claim_id = %(claim_id)s
  FROM picked p JOIN rush.run r ON r.id = p.run_id
 WHERE s.ctid = p.ctid
RETURNING s.token, s.run_id, s.job, s.item, s.round, s.claim_id, s.job_id, s.pipeline, s.jobinstance,
          s.attempt, s.given_back, false AS cancelling, r.params::text AS params,
          CASE WHEN (SELECT EXISTS (SELECT FROM rush.job_parameter)) THEN
              (SELECT jsonb_object_agg(j.name, j.value ORDER BY j.job)
                 FROM rush.job_parameter j
                WHERE j.pipeline = s.pipeline AND j.job IN ('*', s.job)) END AS job_params;

-- name: held :many
-- What this worker holds, as the database knows it, of tokens after this one: how it takes what
-- the master assigned, learns of cancelled runs, and finds a claim whose answer was lost.
SELECT s.token, s.run_id, s.job, s.item, s.round, s.claim_id,
       s.job_id, s.pipeline, s.jobinstance,
       s.attempt - (s.state = 'Running')::int AS attempt, s.given_back, r.cancelling,
       r.params::text AS params,
       CASE WHEN (SELECT EXISTS (SELECT FROM rush.job_parameter)) THEN
           (SELECT jsonb_object_agg(p.name, p.value ORDER BY p.job)
              FROM rush.job_parameter p
             WHERE p.pipeline = s.pipeline AND p.job IN ('*', s.job)) END AS job_params
  FROM rush.run_state s
  JOIN rush.run r ON r.id = s.run_id
 WHERE s.worker = %(worker)s AND s.generation = %(generation)s AND s.token > %(after)s;

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
              %(tokens)s::bigint[], %(claim_ids)s::bigint[], %(attempts)s::int[],
              %(logs)s::text[], %(parts)s::int[])
    AS o(run_id, job, item, round, token, claim_id, attempt, log, part)
 WHERE (EXISTS (SELECT FROM rush.run_state s
                 WHERE s.run_id = o.run_id AND s.job = o.job AND s.item = o.item AND s.round = o.round
                   AND (s.worker, s.generation, s.token, s.claim_id)
                       IS NOT DISTINCT FROM (%(worker)s, %(generation)s::bigint, o.token, o.claim_id))
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
-- What jobs of pipeline versions are, and some that come behind them: these will be asked for
-- next. It never changes, so workers keep it.
SELECT j.id, j.name, j.class_name, j.timeout_seconds, j.retry_limit, j.isolation, j.on_lost_contact,
       j.params, v.pipeline, v.version
  FROM (SELECT version_id, min(position) AS first, max(position) + 100 AS last
          FROM rush.pipeline_job
         WHERE id = ANY(%(job_ids)s::bigint[])
         GROUP BY version_id) w
  JOIN rush.pipeline_job j ON j.version_id = w.version_id AND j.position BETWEEN w.first AND w.last
  JOIN rush.pipeline_version v ON v.id = j.version_id;

-- name: results_before :many
-- The results of the jobs of a run, newest round of each.
SELECT DISTINCT ON (job, item) job, item, value
  FROM rush.result
 WHERE run_id = %(run_id)s
 ORDER BY job, item, round DESC;
