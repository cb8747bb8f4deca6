-- Who may use the dashboard and the HTTP API.

-- name: accounts :many
SELECT a.name, a.role, a.password IS NOT NULL AS has_password, a.created_at,
       (SELECT count(*) FROM rush.api_token t WHERE t.account = a.name) AS tokens
  FROM rush.account a ORDER BY a.name;

-- name: any_account :one
SELECT EXISTS (SELECT FROM rush.account) AS there;

-- name: account :one
SELECT name, role, password FROM rush.account WHERE name = %(name)s;

-- name: put_account :one
-- Make an account, or give one another role or password. NULL leaves what there is. What was
-- signed in with an old password is signed out.
WITH put AS (
    INSERT INTO rush.account AS a (name, role, password)
    VALUES (%(name)s, coalesce(%(role)s::text, 'viewer'), %(password)s)
    ON CONFLICT (name) DO UPDATE
       SET role = coalesce(%(role)s::text, a.role), password = coalesce(%(password)s, a.password)
    RETURNING name, role
), signed_out AS (
    DELETE FROM rush.sign_in WHERE account = %(name)s AND %(password)s::text IS NOT NULL
)
SELECT name, role FROM put;

-- name: remove_account :many
DELETE FROM rush.account WHERE name = %(name)s RETURNING name;

-- name: sign_in :exec
WITH old AS (
    DELETE FROM rush.sign_in WHERE expires_at < statement_timestamp()
)
INSERT INTO rush.sign_in (hash, account, csrf, expires_at)
VALUES (%(hash)s::bytea, %(account)s, %(csrf)s,
        statement_timestamp() + %(seconds)s::float8 * interval '1 second');

-- name: signed_in :one
SELECT a.name, a.role, s.csrf
  FROM rush.sign_in s JOIN rush.account a ON a.name = s.account
 WHERE s.hash = %(hash)s::bytea AND s.expires_at >= statement_timestamp();

-- name: sign_out :exec
DELETE FROM rush.sign_in WHERE hash = %(hash)s::bytea;

-- name: add_token :exec
INSERT INTO rush.api_token (account, name, hash, expires_at)
VALUES (%(account)s, %(name)s, %(hash)s::bytea,
        statement_timestamp() + %(seconds)s::float8 * interval '1 second');

-- name: tokens :many
SELECT name, created_at, expires_at FROM rush.api_token WHERE account = %(account)s ORDER BY name;

-- name: remove_token :many
DELETE FROM rush.api_token WHERE account = %(account)s AND name = %(name)s RETURNING name;

-- name: account_of_token :one
SELECT a.name, a.role
  FROM rush.api_token t JOIN rush.account a ON a.name = t.account
 WHERE t.hash = %(hash)s::bytea AND (t.expires_at IS NULL OR t.expires_at >= statement_timestamp());
