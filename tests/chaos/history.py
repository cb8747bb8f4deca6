"""
What must have been true all along, read from the tables and from the harness's own.

Each statement finds what breaks an invariant, and must find nothing. The names are those of
the catalogue of faults. They hold once everything has come to rest; `I12` holds at every moment.
What cannot be read from tables (I15 to I19) is looked at by the campaign; I9 and I13 are about
limits and schedules, which there are not.
"""

from __future__ import annotations

from typing import Any

import psycopg

from rush.domain.states import TRANSITIONS

#: One snapshot, at any time: what is released and not yet consumed is live or finished.
CONSERVATION = """
    WITH live AS (
        SELECT run_id, count(*) AS jobs FROM rush.run_state GROUP BY run_id
    ), finished AS (
        SELECT run_id, count(*) AS jobs FROM rush.finished GROUP BY run_id
    ), concerned AS (
        SELECT id FROM rush.run WHERE state = 'Running'
        UNION SELECT run_id FROM live UNION SELECT run_id FROM finished
    )
    SELECT r.id, r.state, r.open, coalesce(l.jobs, 0) AS live, coalesce(f.jobs, 0) AS finished
      FROM concerned JOIN rush.run r USING (id)
      LEFT JOIN live l ON l.run_id = r.id
      LEFT JOIN finished f ON f.run_id = r.id
     WHERE NOT r.cancelling AND r.open <> coalesce(l.jobs, 0) + coalesce(f.jobs, 0)
"""

INVARIANTS = {
    "I1 every request is decided": """
        SELECT id, pipeline, status FROM rush.run_request WHERE status = 'Pending'
    """,
    "I1 every run ends, none is Stuck": """
        SELECT id, state, open FROM rush.run WHERE state NOT IN ('Complete', 'Cancelled')
    """,
    "I1 no run is made twice of one request": """
        SELECT request_id, array_agg(id) FROM rush.run GROUP BY request_id HAVING count(*) > 1
    """,
    "I1 in a Complete run every job is Complete": """
        SELECT r.id, j.name FROM rush.run r JOIN rush.pipeline_job j ON j.version_id = r.version_id
         WHERE r.state = 'Complete'
           AND NOT EXISTS (SELECT FROM rush.archive a WHERE a.run_id = r.id AND a.job = j.name
                              AND a.state IN ('Complete', 'Skipped'))
    """,
    "I2 no job is Complete twice in a round": """
        SELECT run_id, job, round, count(*) FROM rush.archive WHERE state = 'Complete'
         GROUP BY run_id, job, item, round HAVING count(*) > 1
    """,
    "I2 a transactional effect is there once where the job is Complete, and not at all elsewhere": """
        SELECT run_id, job, round, a.tokens AS complete, e.tokens AS effects
          FROM (SELECT a.run_id, a.job, a.round, array_agg(a.token) AS tokens
                  FROM rush.archive a
                  JOIN rush.run r ON r.id = a.run_id
                  JOIN rush.pipeline_job j ON j.version_id = r.version_id AND j.name = a.job
                 WHERE a.state = 'Complete' AND (j.params ->> 'inside')::boolean
                 GROUP BY a.run_id, a.job, a.round) a
          FULL JOIN (SELECT run_id, job, round, array_agg(token) AS tokens
                       FROM public.effect WHERE inside GROUP BY run_id, job, round) e
         USING (run_id, job, round)
         WHERE a.tokens IS DISTINCT FROM e.tokens
    """,
    "I3 what is Complete has had its effect outside": """
        SELECT a.run_id, a.job, a.round, a.token FROM rush.archive a
         WHERE a.state = 'Complete'
           AND NOT EXISTS (SELECT FROM public.effect e
                            WHERE e.run_id = a.run_id AND e.job = a.job AND e.token = a.token AND NOT e.inside)
    """,
    "I3 no token is begun twice": """
        SELECT run_id, job, token, count(*) FROM public.effect WHERE NOT inside
         GROUP BY run_id, job, token HAVING count(*) > 1
    """,
    "I3 every effect outside is of a token that was handed out": """
        SELECT e.run_id, e.job, e.round, e.token FROM public.effect e
         WHERE NOT EXISTS (SELECT FROM chaos.event h WHERE h.run_id = e.run_id AND h.job = e.job
                              AND h.round = e.round AND h.token = e.token)
    """,
    "I4 what completes carries the newest token": """
        SELECT a.run_id, a.job, a.round, a.token, h.newest
          FROM rush.archive a
          JOIN (SELECT run_id, job, round, max(token) AS newest FROM chaos.event
                 GROUP BY run_id, job, round) h USING (run_id, job, round)
         WHERE a.state = 'Complete' AND a.token <> h.newest
    """,
    "I4 no token ends twice": """
        SELECT token, count(*) FROM rush.archive WHERE token IS NOT NULL
         GROUP BY token HAVING count(*) > 1
    """,
    "I4 tokens rise": """
        SELECT * FROM (
            SELECT run_id, job, round, token,
                   max(token) OVER (PARTITION BY run_id, job, round ORDER BY seq
                                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
              FROM chaos.event WHERE token IS NOT NULL) t
         WHERE token < before
    """,
    "I5 attempts are counted 1, 2, 3 without a gap": """
        SELECT run_id, job, array_agg(attempt ORDER BY attempt) FROM rush.archive
         WHERE started_at IS NOT NULL
         GROUP BY run_id, job, item
        HAVING min(attempt) <> 1 OR max(attempt) <> count(*) OR count(DISTINCT attempt) <> count(*)
    """,
    "I5 no more attempts than retries allow": """
        SELECT a.run_id, a.job, a.round, count(*) FROM rush.archive a
          JOIN rush.run r ON r.id = a.run_id
          JOIN rush.pipeline_job j ON j.version_id = r.version_id AND j.name = a.job
         WHERE a.state IN ('Complete', 'Failed')
         GROUP BY a.run_id, a.job, a.round, j.retry_limit HAVING count(*) > j.retry_limit + 1
    """,
    "I6 nothing is taken from a holder without being let go": """
        SELECT * FROM (
            SELECT run_id, job, round, token, lag(token) OVER w AS before
              FROM chaos.event WHERE what <> 'run'
            WINDOW w AS (PARTITION BY run_id, job, round ORDER BY seq)) t
         WHERE token <> before
    """,
    "I7 no job begins before those it waits for are committed": """
        SELECT run_id, job, round, token, missing FROM public.effect WHERE missing > 0
    """,
    "I8 terms never go down": """
        SELECT * FROM (
            SELECT seq, what, term, max(term) OVER (ORDER BY seq) AS newest FROM chaos.action) t
         WHERE term < newest
    """,
    "I8 only the holder of the term acts as master": """
        SELECT seq, what, by, term, holder FROM chaos.action
         WHERE by <> left('rush ' || holder || ' master', 63)
    """,
    "I8 a term has one holder": """
        SELECT a.term, a.holder, t.holder FROM chaos.action a LEFT JOIN rush.master_term t USING (term)
         WHERE t.holder IS DISTINCT FROM a.holder
    """,
    "I10 jobs go only from states to states that follow them": """
        SELECT run_id, job, round, before, after, count(*) FROM chaos.event
         WHERE what IN ('made', 'changed') AND before IS DISTINCT FROM after
           AND (coalesce(before, ''), after) NOT IN (SELECT * FROM unnest(%(before)s::text[], %(after)s::text[]))
         GROUP BY run_id, job, round, before, after
    """,
    "I10 a job that is over in a round stays over": """
        SELECT run_id, job, round FROM (
            SELECT run_id, job, round, what,
                   row_number() OVER (PARTITION BY run_id, job, round ORDER BY seq DESC) AS back,
                   count(*) FILTER (WHERE what = 'made') OVER (PARTITION BY run_id, job, round) AS made
              FROM chaos.event WHERE what <> 'run') t
         WHERE (what = 'gone' AND back > 1) OR made <> 1
    """,
    "I10 what has gone is Complete or Cancelled": """
        SELECT e.run_id, e.job, e.round, e.before FROM chaos.event e
         WHERE e.what = 'gone' AND e.before <> 'Stuck'
           AND NOT EXISTS (SELECT FROM rush.archive a
                            WHERE a.run_id = e.run_id AND a.job = e.job AND a.round = e.round
                              AND a.state IN ('Complete', 'Cancelled'))
    """,
    "I10 a run that has ended goes on only in a new round": """
        SELECT * FROM (
            SELECT run_id, round, before, after, lag(round) OVER (PARTITION BY run_id ORDER BY seq) AS round_before
              FROM chaos.event WHERE what = 'run') t
         WHERE after = 'Running' AND before IS NOT NULL AND round <= round_before
    """,
    "I11 the events give the table": """
        SELECT run_id, job, round, e.after, e.token, s.state, s.token
          FROM (SELECT DISTINCT ON (run_id, job, round) run_id, job, round, what, after, token
                  FROM chaos.event WHERE what <> 'run' ORDER BY run_id, job, round, seq DESC) e
          FULL JOIN rush.run_state s USING (run_id, job, round)
         WHERE (e.what = 'gone' AND s.state IS NOT NULL)
            OR (e.what <> 'gone' AND (e.after, e.token) IS DISTINCT FROM (s.state, s.token))
            OR e.what IS NULL
    """,
    "I12 what is released is live, or finished and not yet consumed": CONSERVATION,
    "I12 nothing is left over": """
        SELECT 'run_state' AS left_over, run_id, job FROM rush.run_state
        UNION ALL SELECT 'finished', run_id, job FROM rush.finished
    """,
    "I14 no attempt outlives its deadline and what it takes to notice": """
        SELECT a.run_id, a.job, a.attempt, a.finished_at - a.started_at AS lasted FROM rush.archive a
          JOIN rush.run r ON r.id = a.run_id
          JOIN rush.pipeline_job j ON j.version_id = r.version_id AND j.name = a.job
         WHERE a.finished_at - a.started_at > (j.timeout_seconds + %(notice)s) * interval '1 second'
    """,
    "I14 no retry comes before its gap is over": """
        SELECT a.run_id, a.job, a.attempt, a.finished_at, e.at FROM rush.archive a
          JOIN rush.run r ON r.id = a.run_id
          JOIN rush.pipeline_job j ON j.version_id = r.version_id AND j.name = a.job
          JOIN public.effect e ON e.run_id = a.run_id AND e.job = a.job AND e.round = a.round
                              AND e.token > a.token AND NOT e.inside
         WHERE a.state = 'Failed' AND e.at < a.finished_at + j.retry_gap_seconds * interval '1 second'
    """,
}


def violations(connection: psycopg.Connection[Any], *, notice: float = 60.0) -> list[str]:
    """
    Every broken invariant, with the first rows that break it. `notice` is how many seconds
    it may take until somebody acts on a deadline.
    """
    found: list[str] = []
    for name, statement in INVARIANTS.items():
        params = {
            "notice": notice,
            "before": [str(step.before or "") for step in TRANSITIONS],
            "after": [str(step.after) for step in TRANSITIONS],
        }
        rows = connection.execute(statement.encode(), params).fetchall()
        if rows:
            found.append(f"{name}: {len(rows)} rows, the first of them {rows[:3]}")
    return found
