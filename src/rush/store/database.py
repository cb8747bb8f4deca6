"""
Connections to PostgreSQL, which notice in seconds that the other side is gone.

Nothing here is a start-up option, so PgBouncer may stand in between. It is recognised by this:
the session that it says it is is not the one that the server says it is. It may have any mode,
so the least is taken for granted (`Session` tells what that means).
"""

from __future__ import annotations

from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from rush.errors import ConfigurationError, DatabaseError

#: What a URL may say otherwise. A dead peer is noticed after idle + count * interval seconds;
#: `tcp_user_timeout` is in milliseconds, and ignored where the system has no such thing.
DEFAULTS = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def connect(
    url: str, *, application_name: str, autocommit: bool = True
) -> psycopg.Connection[TupleRow]:
    """
    Open a connection whose time zone is UTC.

    `application_name` is what `pg_stat_activity` shows. Raises ConfigurationError for a
    URL that is none, DatabaseError when the server cannot be reached or turns us away.
    """
    options = DEFAULTS | _parts(url) | {"application_name": application_name}
    try:
        connection = psycopg.connect(make_conninfo("", **options), autocommit=True)
    except psycopg.OperationalError as error:
        raise DatabaseError(f"cannot connect to {redacted(url)}: {_reason(error)}") from error
    # The role's own styles may be such that psycopg cannot read them.
    rows = connection.execute(
        "SELECT set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO', false),"
        " set_config('IntervalStyle', 'postgres', false), pg_backend_pid()"
    ).fetchall()
    if rows[0][-1] != connection.info.backend_pid:
        # Nor does psycopg prepare anything then.
        connection.prepare_threshold = None
    connection.autocommit = autocommit
    return connection


def redacted(url: str) -> str:
    """The URL as it may be shown: where it leads and as whom, without the password."""
    parts = _parts(url)
    user = quote(parts.get("user", ""))
    if "password" in parts:
        user += ":***"
    host = _host(parts.get("host") or parts.get("hostaddr") or "")
    # libpq writes one port per host, and nothing for the usual one.
    port = f":{parts['port']}" if parts.get("port", "").strip(",") else ""
    return f"postgresql://{user}{'@' if user else ''}{host}{port}/{quote(parts.get('dbname', ''))}"


def _parts(url: str) -> dict[str, str]:
    try:
        return {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError:
        # Its message repeats what it could not read, which may be the password.
        raise ConfigurationError(
            "the database URL cannot be read: it must look like "
            "postgresql://user:password@host:5432/database, with special characters as %XX"
        ) from None


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else quote(host, safe=",")


def _reason(error: psycopg.OperationalError) -> str:
    return " ".join(str(error).split()) or "no answer"
