-- The tables of Rush.
--
-- All state is here, for anyone to read. Seven tables are the contract: pipeline,
-- run_request, run_state, archive, worker, job_parameter, master_token. The others
-- serve them.
--
-- Lock order, for whoever writes to more than one of them in a transaction:
--     worker → run_request → run_state (by its key) → run
--
-- Indexes are partial with literal predicates, so that what is over costs nothing.
-- `run` has no index on what changes when a run ends, so that ending it is a HOT
-- update.

CREATE SEQUENCE rush.token CACHE 1;
COMMENT ON SEQUENCE rush.token IS
    'Rises with every hand-out of a job. Every later write about it names it.';

CREATE SEQUENCE rush.generation CACHE 1;
COMMENT ON SEQUENCE rush.generation IS
    'Rises with every registration and every death of a worker.';

CREATE SEQUENCE rush.turn CACHE 1;
COMMENT ON SEQUENCE rush.turn IS
    'The highest turn that was given so far: where turns begin when nothing is Ready.';

-- Definitions ------------------------------------------------------------------

CREATE TABLE rush.pipeline (
    name        text COLLATE "C" PRIMARY KEY
                CONSTRAINT pipeline_name_is_plain
                CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    definition  jsonb NOT NULL
                CONSTRAINT pipeline_definition_is_an_object
                CHECK (jsonb_typeof(definition) = 'object')
                CONSTRAINT pipeline_definition_is_not_huge CHECK (length(definition::text) <= 4194304)
                CONSTRAINT pipeline_definition_is_not_nested_deeper_than_64
                CHECK (NOT jsonb_path_exists(
                    definition, 'strict $.**{64 to last} ? (@.type() == "object" || @.type() == "array")'))
                CONSTRAINT pipeline_definition_has_no_number_of_over_1000_digits
                CHECK (NOT jsonb_path_exists(
                    definition, 'strict $.** ? (@.type() == "number" && (@ >= 1e1000 || @ <= -1e1000))')),
    paused      boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT statement_timestamp()
);
COMMENT ON TABLE rush.pipeline IS 'A named definition: jobs and the order between them.';
COMMENT ON COLUMN rush.pipeline.paused IS
    'While true, no job of this pipeline is handed out; what runs goes on.';
CREATE INDEX pipeline_paused ON rush.pipeline (name) WHERE paused;

CREATE TABLE rush.pipeline_version (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline    text COLLATE "C" NOT NULL,
    version     int NOT NULL CONSTRAINT pipeline_version_is_positive CHECK (version > 0),
    definition  jsonb NOT NULL,
    roots       int,
    created_at  timestamptz NOT NULL DEFAULT statement_timestamp(),
    compiled_at timestamptz,
    error       text,
    UNIQUE (pipeline, version)
);
COMMENT ON TABLE rush.pipeline_version IS
    'Every definition that a pipeline has had. The newest is in force; a run keeps the one it started with.';
COMMENT ON COLUMN rush.pipeline_version.compiled_at IS 'When the master turned it into jobs and edges.';
COMMENT ON COLUMN rush.pipeline_version.error IS
    'Why this definition cannot run; a request for it is rejected with this reason.';
CREATE INDEX pipeline_version_to_compile ON rush.pipeline_version (id) WHERE compiled_at IS NULL;

CREATE TABLE rush.pipeline_job (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version_id        bigint NOT NULL REFERENCES rush.pipeline_version ON DELETE CASCADE,
    position          int NOT NULL,
    name              text COLLATE "C" NOT NULL
                      CONSTRAINT job_name_is_plain
                      CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    class_name        text NOT NULL
                      CONSTRAINT job_class_is_a_dotted_path
                      CHECK (class_name ~ '^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$'),
    timeout_seconds   double precision NOT NULL
                      CONSTRAINT timeout_is_positive CHECK (timeout_seconds > 0)
                      CONSTRAINT timeout_is_at_most_30_days CHECK (timeout_seconds <= 2592000),
    retry_gap_seconds double precision NOT NULL
                      CONSTRAINT retry_gap_is_not_negative CHECK (retry_gap_seconds >= 0)
                      CONSTRAINT retry_gap_is_at_most_30_days CHECK (retry_gap_seconds <= 2592000),
    retry_limit       int NOT NULL
                      CONSTRAINT retry_limit_is_not_negative CHECK (retry_limit >= 0)
                      CONSTRAINT retry_limit_is_at_most_100 CHECK (retry_limit <= 100),
    queue             text COLLATE "C" NOT NULL
                      CONSTRAINT job_queue_is_plain
                      CHECK (queue ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    priority          int NOT NULL
                      CONSTRAINT job_priority_is_sensible CHECK (priority BETWEEN -1000 AND 1000),
    limited           boolean NOT NULL DEFAULT false,
    isolation         text NOT NULL
                      CONSTRAINT job_isolation_is_known CHECK (isolation IN ('warm', 'process')),
    on_lost_contact   text NOT NULL
                      CONSTRAINT job_on_lost_contact_is_known CHECK (on_lost_contact IN ('continue', 'kill')),
    params            jsonb NOT NULL
                      CONSTRAINT job_params_are_an_object CHECK (jsonb_typeof(params) = 'object'),
    predecessors      int NOT NULL
                      CONSTRAINT predecessors_is_a_count CHECK (predecessors >= 0),
    hand_off_to       bigint,
    ends_run          boolean NOT NULL,
    UNIQUE (version_id, position),
    UNIQUE (version_id, name)
);
CREATE INDEX pipeline_job_roots ON rush.pipeline_job (version_id) WHERE predecessors = 0;
COMMENT ON TABLE rush.pipeline_job IS
    'The compiled jobs of each version. What a worker may do by itself is decided here, once.';
COMMENT ON COLUMN rush.pipeline_job.hand_off_to IS
    'The only successor, when it waits for nothing else: a worker that completes this job may go on with it.';
COMMENT ON COLUMN rush.pipeline_job.ends_run IS
    'The pipeline is a plain chain and this is its end: a worker that completes this job may end the run.';

CREATE TABLE rush.pipeline_edge (
    job_id       bigint NOT NULL REFERENCES rush.pipeline_job ON DELETE CASCADE,
    successor_id bigint NOT NULL REFERENCES rush.pipeline_job ON DELETE CASCADE,
    PRIMARY KEY (job_id, successor_id)
);
CREATE INDEX pipeline_edge_back ON rush.pipeline_edge (successor_id, job_id);

CREATE TABLE rush.job_parameter (
    pipeline text COLLATE "C" NOT NULL
             CONSTRAINT parameter_pipeline_is_plain
             CHECK (pipeline ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    job      text COLLATE "C" NOT NULL DEFAULT '*'
             CONSTRAINT parameter_job_is_plain
             CHECK (job = '*' OR job ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    name     text COLLATE "C" NOT NULL
             CONSTRAINT parameter_name_is_not_empty CHECK (name <> '' AND length(name) <= 200),
    value    text
             CONSTRAINT parameter_value_is_not_huge CHECK (octet_length(value) <= 262144),
    PRIMARY KEY (pipeline, job, name)
);
COMMENT ON TABLE rush.job_parameter IS
    'Parameters of jobs, over those of the definition and under those of the request. Job * means every job.';
COMMENT ON COLUMN rush.job_parameter.value IS
    'As people type it: read as JSON where it is JSON (500, true, [1, 2]), else taken as the text itself.';

-- Requests and runs ------------------------------------------------------------

CREATE TABLE rush.run_request (
    id              bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    pipeline        text COLLATE "C" NOT NULL
                    CONSTRAINT request_pipeline_is_plain
                    CHECK (pipeline ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    job             text COLLATE "C"
                    CONSTRAINT request_job_is_plain
                    CHECK (job ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    jobinstance     int
                    CONSTRAINT request_jobinstance_is_positive CHECK (jobinstance > 0),
    action          text NOT NULL DEFAULT 'start'
                    CONSTRAINT request_action_is_known CHECK (action IN ('start', 'cancel')),
    params          jsonb
                    CONSTRAINT request_params_are_an_object CHECK (jsonb_typeof(params) = 'object')
                    CONSTRAINT request_params_are_not_huge CHECK (length(params::text) <= 1048576)
                    CONSTRAINT request_params_are_not_nested_deeper_than_64
                    CHECK (NOT jsonb_path_exists(
                        params, 'strict $.**{64 to last} ? (@.type() == "object" || @.type() == "array")'))
                    CONSTRAINT request_params_have_no_number_of_over_1000_digits
                    CHECK (NOT jsonb_path_exists(
                        params, 'strict $.** ? (@.type() == "number" && (@ >= 1e1000 || @ <= -1e1000))')),
    status          text NOT NULL DEFAULT 'Pending'
                    CONSTRAINT request_status_is_known CHECK (status IN ('Pending', 'Accepted', 'Rejected')),
    reason          text,
    run_id          bigint,
    idempotency_key text
                    CONSTRAINT request_idempotency_key_is_short
                    CHECK (length(idempotency_key) BETWEEN 1 AND 200),
    created_at      timestamptz NOT NULL DEFAULT statement_timestamp()
                    CONSTRAINT request_created_at_is_on_the_calendar
                    CHECK (created_at BETWEEN '1970-01-01Z' AND '9999-01-01Z'),
    created_by      text NOT NULL DEFAULT session_user,
    decided_at      timestamptz,
    CONSTRAINT request_undecided_while_pending CHECK ((status = 'Pending') = (decided_at IS NULL)),
    CONSTRAINT request_rejected_with_reason CHECK (status <> 'Rejected' OR reason IS NOT NULL),
    CONSTRAINT request_accepted_has_run CHECK (status <> 'Accepted' OR run_id IS NOT NULL)
) WITH (fillfactor = 50);
COMMENT ON TABLE rush.run_request IS
    'A row asks for something: start this pipeline, run again from that job, cancel. The master decides.';
COMMENT ON COLUMN rush.run_request.job IS 'The job to start from; NULL: from the beginning.';
COMMENT ON COLUMN rush.run_request.jobinstance IS
    'The number of the run within its pipeline; NULL: the next one.';
CREATE INDEX run_request_pending ON rush.run_request (id) WHERE status = 'Pending';
CREATE UNIQUE INDEX run_request_idempotency_key ON rush.run_request (idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE rush.run (
    id          bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    pipeline    text COLLATE "C" NOT NULL,
    jobinstance int NOT NULL CONSTRAINT run_jobinstance_is_positive CHECK (jobinstance > 0),
    version_id  bigint NOT NULL,
    state       text NOT NULL
                CONSTRAINT run_state_is_known CHECK (state IN ('Running', 'Complete', 'Stuck', 'Cancelled')),
    round       int NOT NULL DEFAULT 1 CONSTRAINT run_round_is_positive CHECK (round > 0),
    open        int NOT NULL CONSTRAINT run_open_is_a_count CHECK (open >= 0),
    stuck       int NOT NULL DEFAULT 0 CONSTRAINT run_stuck_is_a_count CHECK (stuck >= 0),
    cancelling  boolean NOT NULL DEFAULT false,
    turn        bigint NOT NULL DEFAULT 0,
    params      jsonb,
    request_id  bigint,
    created_at  timestamptz NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    UNIQUE (pipeline, jobinstance),
    CONSTRAINT run_times_are_on_the_calendar CHECK (
        created_at BETWEEN '1970-01-01Z' AND '9999-01-01Z'
        AND started_at BETWEEN '1970-01-01Z' AND '9999-01-01Z'
        AND (finished_at IS NULL OR finished_at BETWEEN '1970-01-01Z' AND '9999-01-01Z')),
    CONSTRAINT run_finished_when_it_rests CHECK ((state = 'Running') = (finished_at IS NULL))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE rush.run IS 'One execution of a pipeline.';
COMMENT ON COLUMN rush.run.open IS
    'Jobs released and not yet consumed by the master: at 0 the run is over.';
COMMENT ON COLUMN rush.run.stuck IS 'How many of the open jobs are Stuck: when all are, so is the run.';
COMMENT ON COLUMN rush.run.turn IS
    'Its place in the line: one behind the last run of its pipeline, or behind what is Ready now.';
COMMENT ON COLUMN rush.run.created_at IS 'When it was asked for.';
COMMENT ON COLUMN rush.run.started_at IS 'When the master released its first jobs.';
CREATE INDEX run_cancelling ON rush.run (id) WHERE cancelling;

-- Live jobs --------------------------------------------------------------------

CREATE TABLE rush.run_state (
    run_id      bigint NOT NULL,
    job         text COLLATE "C" NOT NULL,
    item        int NOT NULL DEFAULT 0,
    round       int NOT NULL DEFAULT 1,
    job_id      bigint NOT NULL,
    pipeline    text COLLATE "C" NOT NULL,
    jobinstance int NOT NULL,
    state       text NOT NULL
                CONSTRAINT job_state_is_live
                CHECK (state IN ('Waiting', 'Ready', 'Running', 'Failed', 'Stuck')),
    attempt     int NOT NULL DEFAULT 0 CONSTRAINT attempt_is_a_count CHECK (attempt >= 0),
    retries     int NOT NULL DEFAULT 0 CONSTRAINT retries_is_a_count CHECK (retries >= 0),
    losses      int NOT NULL DEFAULT 0 CONSTRAINT losses_is_a_count CHECK (losses >= 0),
    queue       text COLLATE "C" NOT NULL,
    priority    int NOT NULL,
    limited     boolean NOT NULL DEFAULT false,
    paused      boolean NOT NULL DEFAULT false,
    given_back  boolean NOT NULL DEFAULT false,
    turn        bigint NOT NULL DEFAULT 0,
    ready_at    timestamptz NOT NULL,
    worker      text COLLATE "C",
    generation  bigint,
    token       bigint,
    claim_id    bigint,
    started_at  timestamptz,
    deadline_at timestamptz,
    failed_at   timestamptz,
    PRIMARY KEY (run_id, job, item, round),
    CONSTRAINT held_wholly_or_not CHECK (num_nulls(worker, generation, token, claim_id) IN (0, 4)),
    CONSTRAINT held_only_to_run CHECK (worker IS NULL OR state IN ('Ready', 'Running')),
    CONSTRAINT running_is_begun CHECK (
        (state = 'Running') = (started_at IS NOT NULL)
        AND (state = 'Running') = (deadline_at IS NOT NULL)
        AND (state <> 'Running' OR (worker IS NOT NULL AND attempt >= 1))),
    CONSTRAINT failed_has_a_time CHECK (state NOT IN ('Failed', 'Stuck') OR failed_at IS NOT NULL),
    -- What no calendar has, such as infinity, Python cannot read: one such row would stop the master.
    CONSTRAINT times_are_on_the_calendar CHECK (
        ready_at BETWEEN '1970-01-01Z' AND '9999-01-01Z'
        AND (deadline_at IS NULL OR deadline_at BETWEEN '1970-01-01Z' AND '9999-01-01Z'))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE rush.run_state IS
    'The jobs that are live now. A row comes when its job is released and goes when it is complete.';
COMMENT ON COLUMN rush.run_state.item IS 'Which element of a mapped job; 0 where nothing is mapped.';
COMMENT ON COLUMN rush.run_state.round IS 'Rises with each re-run.';
COMMENT ON COLUMN rush.run_state.attempt IS 'The attempts begun so far, the present one included.';
COMMENT ON COLUMN rush.run_state.retries IS 'The retries used up in this round.';
COMMENT ON COLUMN rush.run_state.losses IS 'How often a worker died while it held this job.';
COMMENT ON COLUMN rush.run_state.turn IS
    'Among jobs of one priority the lowest turn is next. Pipelines take turns, run by run; what continues a run has its turn.';
COMMENT ON COLUMN rush.run_state.worker IS
    'Who holds it. Ready with a holder: handed out and not begun. (worker, generation, token, claim_id) is the fence.';
-- Ready to be claimed, in the order of claiming.
CREATE INDEX run_state_ready ON rush.run_state (queue, priority DESC, turn, run_id)
    WHERE state = 'Ready' AND worker IS NULL AND NOT limited;
-- Whose time will come.
CREATE INDEX run_state_waiting ON rush.run_state (ready_at) WHERE state = 'Waiting' AND NOT paused;
CREATE INDEX run_state_paused ON rush.run_state (pipeline) WHERE paused;
-- What is whose, the newest last.
CREATE INDEX run_state_held ON rush.run_state (generation, token) WHERE worker IS NOT NULL;
-- What may be overdue, what has failed, what waits for a person.
CREATE INDEX run_state_running ON rush.run_state (deadline_at) WHERE state = 'Running';
CREATE INDEX run_state_failed ON rush.run_state (run_id) WHERE state = 'Failed';
CREATE INDEX run_state_stuck ON rush.run_state (run_id) WHERE state = 'Stuck';

CREATE TABLE rush.finished (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id bigint NOT NULL,
    job_id bigint NOT NULL,
    job    text COLLATE "C" NOT NULL,
    item   int NOT NULL,
    round  int NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE rush.finished IS
    'Jobs that are over and wait for the master to release what they were holding back.';

CREATE TABLE rush.run_job (
    run_id       bigint NOT NULL,
    job_id       bigint NOT NULL,
    round        int NOT NULL,
    pending      int NOT NULL CONSTRAINT pending_is_a_count CHECK (pending >= 0),
    predecessors int NOT NULL,
    attempts     int NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, job_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE rush.run_job IS
    'Jobs that wait for several others: how many are still missing. At 0 the job is released.';
COMMENT ON COLUMN rush.run_job.attempts IS 'The attempts of earlier rounds: numbers go on rising.';

-- What is over -----------------------------------------------------------------

CREATE TABLE rush.archive (
    run_id      bigint NOT NULL,
    job         text COLLATE "C" NOT NULL,
    item        int NOT NULL DEFAULT 0,
    round       int NOT NULL DEFAULT 1,
    attempt     int NOT NULL CONSTRAINT archive_attempt_is_a_count CHECK (attempt >= 0),
    pipeline    text COLLATE "C" NOT NULL,
    jobinstance int NOT NULL,
    state       text NOT NULL
                CONSTRAINT archive_state_is_over
                CHECK (state IN ('Complete', 'Failed', 'Cancelled', 'Skipped')),
    worker      text COLLATE "C",
    token       bigint,
    code        text,
    ready_at    timestamptz,
    started_at  timestamptz,
    finished_at timestamptz NOT NULL,
    reason      text,
    error       text,
    traceback   text,
    log         text,
    CONSTRAINT archive_failed_with_reason CHECK (state <> 'Failed' OR reason IS NOT NULL)
) PARTITION BY RANGE (finished_at);
COMMENT ON TABLE rush.archive IS 'Attempts that are over. Partitioned by week; retention drops partitions.';
COMMENT ON COLUMN rush.archive.reason IS
    'What kind of failure: raised, exited, killed, timeout, lost, not loaded, too large.';
COMMENT ON COLUMN rush.archive.error IS 'The last line of the traceback, or what happened in a sentence.';
COMMENT ON COLUMN rush.archive.code IS 'The version of the code that ran.';
COMMENT ON COLUMN rush.archive.log IS
    'The last part of its log, which is all of it for most: what came earlier is in log. Written as lines are there.';
CREATE INDEX archive_run ON rush.archive (run_id, job);

CREATE TABLE rush.log (
    run_id  bigint NOT NULL,
    job     text COLLATE "C" NOT NULL,
    item    int NOT NULL,
    round   int NOT NULL,
    attempt int NOT NULL,
    token   bigint NOT NULL,
    part    int NOT NULL,
    at      timestamptz NOT NULL,
    lines   text NOT NULL
) PARTITION BY RANGE (at);
COMMENT ON TABLE rush.log IS
    'What attempts have logged and printed while they went on, in parts; the last part is in archive. Partitioned by week.';
COMMENT ON COLUMN rush.log.lines IS
    'One line a record: time in UTC, level, text. The further lines of a record are indented.';
CREATE INDEX log_run ON rush.log (run_id, token, part);

CREATE VIEW rush.run_log AS
    SELECT run_id, job, item, round, attempt, token, part, at, lines, xmin AS kept_by FROM rush.log
    UNION ALL
    SELECT run_id, job, item, round, attempt, token, 2147483647, finished_at, log, xmin FROM rush.archive
     WHERE log IS NOT NULL;
COMMENT ON VIEW rush.run_log IS 'Whole logs: the parts in log, and the last ones in archive.';

CREATE TABLE rush.archive_rest PARTITION OF rush.archive DEFAULT;
CREATE TABLE rush.log_rest PARTITION OF rush.log DEFAULT;

DO $$
DECLARE
    monday timestamptz;
BEGIN
    FOR week IN 0..5 LOOP
        monday := (date_trunc('week', now() AT TIME ZONE 'UTC') + week * interval '1 week') AT TIME ZONE 'UTC';
        EXECUTE format('CREATE TABLE rush.archive_%1$s PARTITION OF rush.archive FOR VALUES FROM (%2$L) TO (%3$L)',
                       to_char(monday AT TIME ZONE 'UTC', 'IYYY"w"IW'), monday, monday + interval '1 week');
        EXECUTE format('CREATE TABLE rush.log_%1$s PARTITION OF rush.log FOR VALUES FROM (%2$L) TO (%3$L)',
                       to_char(monday AT TIME ZONE 'UTC', 'IYYY"w"IW'), monday, monday + interval '1 week');
    END LOOP;
END $$;

CREATE TABLE rush.result (
    run_id bigint NOT NULL,
    job    text COLLATE "C" NOT NULL,
    item   int NOT NULL DEFAULT 0,
    round  int NOT NULL DEFAULT 1,
    value  jsonb NOT NULL,
    PRIMARY KEY (run_id, job, item, round)
);
COMMENT ON TABLE rush.result IS 'What jobs have returned, for the jobs after them and for whoever asks.';

CREATE TABLE rush.alert (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id     bigint NOT NULL,
    message    text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    tries      int NOT NULL DEFAULT 0,
    next_at    timestamptz NOT NULL DEFAULT statement_timestamp()
               CONSTRAINT alert_next_at_is_on_the_calendar
               CHECK (next_at BETWEEN '1970-01-01Z' AND '9999-01-01Z')
);
COMMENT ON TABLE rush.alert IS 'Calls of the alert hook that are still to be made.';

-- Workers and the master ---------------------------------------------------------

CREATE TABLE rush.worker (
    name             text COLLATE "C" PRIMARY KEY
                     CONSTRAINT worker_name_is_plain
                     CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    id               int GENERATED ALWAYS AS IDENTITY UNIQUE,
    generation       bigint NOT NULL DEFAULT nextval('rush.generation'),
    state            text NOT NULL
                     CONSTRAINT worker_state_is_known CHECK (state IN ('Alive', 'Draining', 'Dead')),
    slots            int NOT NULL CONSTRAINT worker_slots_is_sensible CHECK (slots BETWEEN 1 AND 1000),
    queues           text[] NOT NULL CONSTRAINT worker_serves_a_queue CHECK (cardinality(queues) > 0),
    host             text NOT NULL,
    boot_id          text NOT NULL,
    pid              int NOT NULL,
    backend_pid      int,
    backend_start    timestamptz,
    version          text NOT NULL,
    code             text,
    progress         jsonb,
    reload           boolean NOT NULL DEFAULT false,
    stale_writes     bigint NOT NULL DEFAULT 0,
    started_at       timestamptz NOT NULL DEFAULT statement_timestamp(),
    last_seen        timestamptz NOT NULL DEFAULT statement_timestamp(),
    lease_expires_at timestamptz NOT NULL,
    UNIQUE (name, generation),
    CONSTRAINT worker_times_are_on_the_calendar CHECK (
        started_at BETWEEN '1970-01-01Z' AND '9999-01-01Z'
        AND last_seen BETWEEN '1970-01-01Z' AND '9999-01-01Z'
        AND lease_expires_at BETWEEN '1970-01-01Z' AND '9999-01-01Z')
) WITH (fillfactor = 50);
COMMENT ON TABLE rush.worker IS 'Registered workers. One that leaves in good order takes its row with it.';
COMMENT ON COLUMN rush.worker.generation IS
    'Which registration this is. Death raises it, so that what the dead still send matches nothing.';
COMMENT ON COLUMN rush.worker.progress IS 'How far its jobs have come: {"<token>": [done, total]}.';
COMMENT ON COLUMN rush.worker.stale_writes IS
    'How many writes were refused it because others had moved on. Told with its heartbeats.';

CREATE TABLE rush.master_token (
    name          text PRIMARY KEY DEFAULT 'master'
                  CONSTRAINT there_is_one_master CHECK (name = 'master'),
    term          bigint NOT NULL DEFAULT 0,
    holder        text COLLATE "C",
    generation    bigint,
    backend_pid   int,
    backend_start timestamptz,
    elected_at    timestamptz,
    expires_at    timestamptz NOT NULL DEFAULT 'epoch'
                  CONSTRAINT master_expires_on_the_calendar
                  CHECK (expires_at BETWEEN '1970-01-01Z' AND '9999-01-01Z'),
    -- Makes the term a key column: FOR KEY SHARE lets renewals pass and holds up a take-over.
    UNIQUE (name, term)
) WITH (fillfactor = 50);
COMMENT ON TABLE rush.master_token IS 'Who is master, in which term, until when. One row, never deleted.';
INSERT INTO rush.master_token DEFAULT VALUES;

CREATE TABLE rush.master_term (
    term       bigint PRIMARY KEY,
    holder     text COLLATE "C" NOT NULL,
    elected_at timestamptz NOT NULL
);
COMMENT ON TABLE rush.master_term IS 'Every term there has been.';

CREATE TABLE rush.control (
    one    boolean PRIMARY KEY DEFAULT true CONSTRAINT there_is_one_control CHECK (one),
    paused boolean NOT NULL DEFAULT false,
    stale_writes bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE rush.control IS 'One row of switches. While paused is true, nothing is handed out.';
COMMENT ON COLUMN rush.control.stale_writes IS 'Those of workers that have no row any more.';
INSERT INTO rush.control DEFAULT VALUES;

-- Triggers: they ring the bell and note versions of definitions, nothing else ------

CREATE FUNCTION rush.ring_master() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(TG_TABLE_SCHEMA || ':master', '');
    RETURN NULL;
END $$;

CREATE TRIGGER ring_master AFTER INSERT ON rush.run_request
    FOR EACH STATEMENT EXECUTE FUNCTION rush.ring_master();
CREATE TRIGGER ring_master AFTER INSERT OR UPDATE ON rush.pipeline
    FOR EACH STATEMENT EXECUTE FUNCTION rush.ring_master();
CREATE TRIGGER ring_master AFTER UPDATE OF paused ON rush.control
    FOR EACH STATEMENT EXECUTE FUNCTION rush.ring_master();

-- AFTER, not BEFORE: an INSERT … ON CONFLICT DO UPDATE fires the BEFORE trigger of the
-- INSERT that does not happen.
CREATE FUNCTION rush.note_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rush.pipeline_version (pipeline, version, definition)
    SELECT NEW.name, coalesce(max(version), 0) + 1, NEW.definition
      FROM rush.pipeline_version WHERE pipeline = NEW.name;
    RETURN NULL;
END $$;

CREATE TRIGGER note_version AFTER INSERT ON rush.pipeline
    FOR EACH ROW EXECUTE FUNCTION rush.note_version();
CREATE TRIGGER note_new_version AFTER UPDATE OF definition ON rush.pipeline
    FOR EACH ROW WHEN (NEW.definition IS DISTINCT FROM OLD.definition)
    EXECUTE FUNCTION rush.note_version();
