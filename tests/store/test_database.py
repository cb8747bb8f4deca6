"""Connections: what they are set to, and what is said when there is none."""

from __future__ import annotations

import re
import socket

import psycopg
import pytest

from rush.errors import ConfigurationError, DatabaseError
from rush.store.database import connect, redacted


def test_a_connection_is_in_utc_and_named(database):
    """
    Times come back in UTC whatever the server's zone, and `pg_stat_activity` shows the name.
    """
    with connect(database, application_name="rush worker w1") as connection:
        connection.execute("SELECT 1")
        row = connection.execute(
            "SELECT current_setting('TimeZone'), application_name, utc.now = now(), utc.now::text"
            " FROM pg_stat_activity, (SELECT now() AS now) AS utc WHERE pid = pg_backend_pid()"
        ).fetchone()

    assert row[:3] == ("UTC", "rush worker w1", True)
    assert row[3].endswith("+00")


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_connection_is_idle_when_it_is_handed_over(database, autocommit):
    """
    Whether in autocommit or not, no transaction has begun.
    """
    with connect(database, application_name="t", autocommit=autocommit) as connection:
        assert connection.autocommit is autocommit
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_a_dead_peer_is_noticed_in_seconds(database):
    """
    Keepalives and the limit for what is not acknowledged are set, and a URL may set them otherwise.
    """
    with connect(f"{database}?keepalives_idle=7", application_name="t") as connection:
        set_to = connection.info.get_parameters()

    assert set_to["keepalives_idle"] == "7"
    assert set_to["keepalives_interval"] == "2"
    assert set_to["keepalives_count"] == "3"
    assert set_to["tcp_user_timeout"] == "10000"
    assert set_to["connect_timeout"] == "5"
    assert "options" not in set_to


def test_the_server_notices_a_dead_client_in_seconds(database):
    """
    What a worker has locked when its machine vanishes is not locked for the system's two hours.
    """
    with connect(database, application_name="t") as connection:
        rows = connection.execute(
            "SELECT name, setting::int FROM pg_settings WHERE name LIKE 'tcp%' ORDER BY name"
        ).fetchall()

    assert dict(rows) == {
        "tcp_keepalives_count": 3,
        "tcp_keepalives_idle": 5,
        "tcp_keepalives_interval": 2,
        "tcp_user_timeout": 10_000,
    }


def test_a_server_that_is_not_there_is_named(database):
    """
    The message says where nothing answers, and not the password.
    """
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # never listens, so nobody can take the port meanwhile
        port = reserved.getsockname()[1]

        with pytest.raises(DatabaseError) as refused:
            connect(f"postgresql://me:s3cret@127.0.0.1:{port}/flights", application_name="t")

    assert str(refused.value).startswith(
        f"cannot connect to postgresql://me:***@127.0.0.1:{port}/flights: connection failed"
    )
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_wrong_password_is_not_repeated(database):
    """
    When the server turns us away, its reason is told and the password is not.
    """
    wrong = re.sub(r"(?<=rush:)[^@]*", "s3cret", database)

    with pytest.raises(DatabaseError, match="password authentication failed") as refused:
        connect(wrong, application_name="t")

    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3%cret@h/db",
        "postgresql://me:s3cret@h/db?colour=red",
        "host=h password='s3cret",
        "s3cret",
    ],
)
def test_a_url_that_cannot_be_read_is_not_repeated(url):
    """
    The message says what it must look like, and nothing of what it is.
    """
    with pytest.raises(ConfigurationError, match="must look like postgresql://") as refused:
        connect(url, application_name="t")

    assert "s3" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:pw@h:5432/db", "postgresql://me:***@h:5432/db"),
        ("postgresql://me@h/db", "postgresql://me@h/db"),
        ("postgres://me:p%40w@[::1]:6/db?sslmode=disable", "postgresql://me:***@[::1]:6/db"),
        ("postgresql://h1,h2/db?password=pw", "postgresql://:***@h1,h2/db"),
        (
            "host=/run/pg user=me password='p w' dbname='a b'",
            "postgresql://me:***@%2Frun%2Fpg/a%20b",
        ),
        ("", "postgresql:///"),
    ],
)
def test_a_url_is_shown_without_its_password(url, shown):
    """
    What is shown says where it leads and as whom, in one form.
    """
    assert redacted(url) == shown
