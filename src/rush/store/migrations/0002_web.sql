-- Who may use the dashboard and the HTTP API, and what they did.

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
            CONSTRAINT audit_via_is_known CHECK (via IN ('local', 'session', 'token', 'command')),
    action  text NOT NULL,
    target  text NOT NULL,
    detail  jsonb,
    why     text NOT NULL DEFAULT '',
    outcome text
);
COMMENT ON TABLE rush.audit IS 'What was done by way of the dashboard and the HTTP API.';
COMMENT ON COLUMN rush.audit.outcome IS
    'What came of it. The row is there before anything is done: NULL means that nobody knows.';
CREATE INDEX audit_target ON rush.audit (target, id);
