-- Signs that something has happened, for pages that show it. Cheap, however much there is.

-- name: signs :one
-- Numbers that rise: with each hand-out, request, run and version, each end of a job that the
-- master hears of, each registration and death of a worker. And what runs: no more than there
-- are slots.
SELECT (SELECT last_value FROM rush.token) AS handed_out,
       (SELECT last_value FROM rush.generation) AS workers,
       pg_sequence_last_value(pg_get_serial_sequence('rush.run', 'id')::regclass) AS runs,
       pg_sequence_last_value(pg_get_serial_sequence('rush.run_request', 'id')::regclass) AS requests,
       pg_sequence_last_value(pg_get_serial_sequence('rush.finished', 'id')::regclass) AS finished,
       pg_sequence_last_value(pg_get_serial_sequence('rush.pipeline_version', 'id')::regclass) AS versions,
       (SELECT term FROM rush.master_token) AS term,
       running.jobs AS running, running.tokens
  FROM (SELECT count(*) AS jobs, coalesce(sum(token), 0) AS tokens
          FROM rush.run_state WHERE state = 'Running') running;
