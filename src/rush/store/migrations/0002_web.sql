-- Who may use the dashboard and the HTTP API; what was done; and what nobody has looked at yet.

CREATE TABLE rush.account (
    name       text COLLATE "C" PRIMARY KEY
               CONSTRAINT account_name_is_plain
               CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9@._-]{0,99}$'),
    role       text NOT NULL
               CONSTRAINT account_role_is_known CHECK (role IN ('viewer', 'operator', 'admin')),
    password   text,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp()
);
COMMENT ON TABLE rush.account IS 'Who may sign in. While there is none, the dashboard serves this machine alone.';
COMMENT ON COLUMN rush.account.password IS
    'What scrypt makes of it, with its cost and salt: scrypt$N$r$p$salt$hash. NULL: tokens only.';

CREATE TABLE rush.sign_in (
    hash       bytea PRIMARY KEY,
    account    text COLLATE "C" NOT NULL REFERENCES rush.account ON DELETE CASCADE,
    csrf       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE rush.sign_in IS 'Browsers that are signed in.';
COMMENT ON COLUMN rush.sign_in.hash IS 'SHA-256 of what the cookie says.';
COMMENT ON COLUMN rush.sign_in.csrf IS 'What forms on our pages send back, and no other page knows.';
CREATE INDEX sign_in_account ON rush.sign_in (account);

CREATE TABLE rush.api_token (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account    text COLLATE "C" NOT NULL REFERENCES rush.account ON DELETE CASCADE,
    name       text NOT NULL CONSTRAINT token_name_is_not_empty CHECK (name <> '' AND length(name) <= 100),
    hash       bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    expires_at timestamptz,
    UNIQUE (account, name)
);
COMMENT ON TABLE rush.api_token IS 'What programs sign in with: they may do what their account may.';
COMMENT ON COLUMN rush.api_token.hash IS 'SHA-256 of the token, which nobody has but who made it.';

CREATE TABLE rush.audit (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT statement_timestamp(),
    who     text NOT NULL,
    via     text NOT NULL
            CONSTRAINT audit_via_is_known CHECK (via IN ('local', 'session', 'token', 'command', 'client')),
    action  text NOT NULL,
    target  text NOT NULL,
    detail  jsonb,
    why     text NOT NULL DEFAULT '',
    outcome text
);
COMMENT ON TABLE rush.audit IS 'What was done by the dashboard, the HTTP API, the command line and Client.';
COMMENT ON COLUMN rush.audit.outcome IS
    'What came of it. The row is there before anything is done: NULL means that nobody knows.';
CREATE INDEX audit_target ON rush.audit (target, id);

CREATE TABLE rush.audit_request (
    request_id bigint PRIMARY KEY,
    audit_id   bigint NOT NULL REFERENCES rush.audit ON DELETE CASCADE
);
COMMENT ON TABLE rush.audit_request IS
    'Which run requests a deed has made. One that is missing here was made by SQL, or by a program.';
CREATE INDEX audit_request_deed ON rush.audit_request (audit_id);

-- What was asked about one run: plain requests, of which there are very many, are not in it.
CREATE INDEX run_request_about ON rush.run_request (pipeline, jobinstance)
    WHERE job IS NOT NULL OR action <> 'start';

CREATE TABLE rush.resolution (
    run_id      bigint PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT statement_timestamp(),
    who         text,
    why         text NOT NULL DEFAULT '' CONSTRAINT resolution_why_is_short CHECK (length(why) <= 500),
    resolved_by bigint,
    CONSTRAINT resolved_by_somebody_or_a_run CHECK (num_nulls(who, resolved_by) = 1)
);
COMMENT ON TABLE rush.resolution IS
    'Runs whose Stuck jobs need nobody any more. It holds for what was Stuck by then.';
COMMENT ON COLUMN rush.resolution.who IS 'Who has acknowledged it.';
COMMENT ON COLUMN rush.resolution.resolved_by IS
    'The later run that has done what this one could not. Kept for good by the master, hour by hour.';

-- It looks at so many of the runs that follow: who asks for the same again does so soon.
CREATE FUNCTION rush.resolved_by(run rush.run) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT l.id
      FROM (SELECT n.id, n.jobinstance, n.state, n.params FROM rush.run n
             WHERE n.pipeline = run.pipeline AND n.jobinstance > run.jobinstance
             ORDER BY n.jobinstance LIMIT 200) l
     WHERE l.state = 'Complete' AND l.id > run.id AND coalesce(l.params, '{}') = coalesce(run.params, '{}')
     ORDER BY l.jobinstance LIMIT 1
$$;
COMMENT ON FUNCTION rush.resolved_by IS
    'The first Complete run of the same pipeline with the same parameters among the 200 that follow.';

CREATE VIEW rush.unresolved AS
    SELECT s.run_id, s.pipeline, s.jobinstance, s.job, s.item, s.round, s.attempt, s.failed_at
      FROM rush.run_state s JOIN rush.run r ON r.id = s.run_id
     WHERE s.state = 'Stuck'
       AND NOT EXISTS (SELECT FROM rush.resolution n WHERE n.run_id = s.run_id AND n.at >= s.failed_at)
       AND rush.resolved_by(r) IS NULL;
COMMENT ON VIEW rush.unresolved IS 'Stuck jobs that somebody has to look at.';

-- It steps from one to the next through the index, however much is Ready in each.
CREATE VIEW rush.line AS
    WITH RECURSIVE line AS (
        (SELECT queue, priority FROM rush.run_state
          WHERE state = 'Ready' AND worker IS NULL AND NOT limited
          ORDER BY queue, priority DESC LIMIT 1)
        UNION ALL
        SELECT n.queue, n.priority
          FROM line l
         CROSS JOIN LATERAL (
               (SELECT s.queue, s.priority FROM rush.run_state s
                 WHERE s.queue = l.queue AND s.priority < l.priority
                   AND s.state = 'Ready' AND s.worker IS NULL AND NOT s.limited
                 ORDER BY s.priority DESC LIMIT 1)
               UNION ALL
               (SELECT s.queue, s.priority FROM rush.run_state s
                 WHERE s.queue > l.queue
                   AND s.state = 'Ready' AND s.worker IS NULL AND NOT s.limited
                 ORDER BY s.queue, s.priority DESC LIMIT 1)
                ORDER BY queue, priority DESC LIMIT 1) n
    )
    SELECT l.queue, l.priority, o.ready_at
      FROM line l
     CROSS JOIN LATERAL (
           SELECT min(r.ready_at) AS ready_at
             FROM (SELECT ready_at FROM rush.run_state s
                    WHERE s.queue = l.queue AND s.priority = l.priority
                      AND s.state = 'Ready' AND s.worker IS NULL AND NOT s.limited
                    ORDER BY s.turn LIMIT 100) r) o;
COMMENT ON VIEW rush.line IS
    'The queues and priorities in which jobs are Ready, and since when the oldest of the next hundred has been so.';
