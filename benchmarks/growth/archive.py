"""
Steps a second beside a long history: an archive of real width, with its partitions and
indexes, and the runs it tells of, against an empty one.

    python -m benchmarks.growth.archive --rows 10000000
"""

from __future__ import annotations

from benchmarks.growth import common
from benchmarks.rush import Rush

#: How many weeks the history is spread over, this one included.
WEEKS = 12
BATCH = 300_000

PARTITION = """
    SELECT format('CREATE TABLE IF NOT EXISTS rush.archive_%%1$s PARTITION OF rush.archive'
                  ' FOR VALUES FROM (%%2$L) TO (%%3$L)',
                  to_char(monday AT TIME ZONE 'UTC', 'IYYY"w"IW'), monday, monday + interval '1 week')
      FROM (SELECT (date_trunc('week', now() AT TIME ZONE 'UTC') - %(ago)s * interval '1 week')
                   AT TIME ZONE 'UTC' AS monday) week
"""

#: Runs of three jobs, evenly over the weeks; one in fifty has failed once, with a traceback.
HISTORY = """
    WITH moment AS MATERIALIZED (
        SELECT n, now() - (random() * %(weeks)s * 0.99) * interval '1 week' AS at
          FROM generate_series(1, %(runs)s) n
    ), made AS (
        INSERT INTO rush.run (pipeline, jobinstance, version_id, state, open, created_at, started_at,
                              finished_at)
        SELECT 'three', %(before)s + n, (SELECT max(id) FROM rush.pipeline_version WHERE pipeline = 'three'),
               'Complete', 0, at, at, at
          FROM moment
        RETURNING id, jobinstance, finished_at
    )
    INSERT INTO rush.archive (run_id, job, attempt, pipeline, jobinstance, state, worker, token, code,
                              ready_at, started_at, finished_at, reason, error, traceback)
    SELECT id, 'job' || n, 1, 'three', jobinstance, CASE WHEN failed THEN 'Failed' ELSE 'Complete' END,
           'worker' || mod(id, 8), id * 3 + n, md5(id::text), finished_at, finished_at, finished_at,
           CASE WHEN failed THEN 'raised' END,
           CASE WHEN failed THEN 'ValueError: the feed of this day has no rows' END,
           CASE WHEN failed THEN repeat('  File "/srv/etl/jobs/load.py", line 71, in run' || chr(10), 20) END
      FROM made, generate_series(0, 2) n, LATERAL (SELECT mod(id * 3 + n, 50) = 0 AS failed) f
"""


def main(words: list[str] | None = None) -> None:
    parser = common.options(__doc__)
    parser.add_argument("--rows", type=int, default=300_000, help="in the archive")
    arguments = parser.parse_args(words)
    with (
        common.server(arguments) as server,
        common.fresh(server) as empty,
        common.fresh(server) as full,
    ):
        common.started(empty, arguments)
        common.started(full, arguments)
        full.client.pause(None)
        fill(full, arguments.rows)
        places = {"empty": empty, f"{arguments.rows:,} rows": full}
        found = common.interleaved(places, arguments.runs, arguments.rounds)
        size = full.one(
            "SELECT pg_size_pretty(sum(pg_total_relation_size(inhrelid)))"
            " FROM pg_inherits WHERE inhparent = 'rush.archive'::regclass"
        )
    common.show(
        "archive",
        f"Steps/s beside an archive of {arguments.rows:,} rows ({size} in {WEEKS} weeks)",
        ["archive", "steps/s", "least", "most", "of empty"],
        common.compared(found),
    )


def fill(there: Rush, rows: int) -> None:
    for ago in range(WEEKS + 1):
        there.connection.execute(there.connection.execute(PARTITION, {"ago": ago}).fetchone()[0])
    runs = -(-rows // 3)
    before = there.one(
        "SELECT coalesce(max(jobinstance), 0) FROM rush.run WHERE pipeline = 'three'"
    )
    for done in range(0, runs, BATCH // 3):
        part = min(BATCH // 3, runs - done)
        there.connection.execute(HISTORY, {"weeks": WEEKS, "runs": part, "before": before + done})
    common.tidy(there)


if __name__ == "__main__":
    main()
