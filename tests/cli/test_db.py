from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from rush.cli.db import find_psql, shell_environment, without_password
from rush.store.embedded import Embedded
from rush.store.migrate import load

RUSH = Path(sys.executable).parent / "rush"
MIGRATIONS = [str(migration) for migration in load()]


@pytest.fixture
def theirs(database) -> tuple[str, ...]:
    """Flags that lead to a database of somebody's, and to a schema that is not there yet."""
    return ("--database-url", database, "--schema", "etl")


def test_migrating(rush, theirs):
    """Migrations are named as they are applied, once; then the schema is up to date."""
    first, second = rush("db", "migrate", *theirs), rush("db", "migrate", *theirs)

    assert first.code == second.code == 0
    assert first.out.splitlines() == [f"applied {migration}" for migration in MIGRATIONS]
    assert second.out == "the schema etl is up to date\n"
    assert "SET search_path = public, etl" in first.err


def test_the_search_path(rush, theirs, database):
    """--search-path makes the tables found without their schema, and then no hint is given."""
    ended = rush("db", "migrate", "--search-path", *theirs)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-1].endswith(" here to public, etl")
    with psycopg.connect(database) as connection:
        assert connection.execute("SHOW search_path").fetchall() == [("public, etl",)]
        assert connection.execute("SELECT count(*) FROM run_state").fetchall() == [(0,)]
    assert rush("db", "migrate", *theirs).err == ""


def test_status(rush, theirs):
    """The list says of each migration whether it is applied, and the exit code says it of all."""
    before = rush("db", "status", *theirs)
    assert before.code == 1
    assert before.out.count("not yet") == len(MIGRATIONS)
    assert before.err == f"{len(MIGRATIONS)} to apply: run `rush db migrate`\n"

    rush("db", "migrate", *theirs)
    after = rush("db", "status", *theirs)
    assert (after.code, after.err) == (0, "")
    assert "not yet" not in after.out

    found = json.loads(rush("db", "status", "--json", *theirs).out)
    assert [f"{each['number']:04}_{each['name']}" for each in found] == MIGRATIONS
    assert all(each["applied_at"] for each in found)


def test_the_script_for_psql(rush, theirs, database):
    """What `rush db sql` prints does the same as `rush db migrate`."""
    script = rush("db", "sql", "--schema", "etl").out
    subprocess.run([find_psql(), "-q", database], input=script, text=True, check=True)

    assert rush("db", "status", *theirs).code == 0


def test_a_database_of_somebody_is_not_migrated_unasked(rush, theirs, database):
    """A command that finds no schema there says what to type, and leaves nothing behind."""
    ended = rush("db", "url", *theirs)

    assert (ended.code, ended.out) == (2, "")
    assert "run `rush db migrate`" in ended.err
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT to_regnamespace('etl')").fetchall() == [(None,)]


def test_the_url(rush, database, monkeypatch):
    """`rush db url` prints the URL alone, as psql takes it."""
    monkeypatch.setenv("DATABASE_URL", database)

    assert rush("db", "url").out == f"{database}\n"


def test_a_database_out_of_reach(rush):
    """A server that does not answer is exit code 4, and the password is not repeated."""
    ended = rush("db", "status", "-v", "--database-url", "postgresql://me:hush@127.0.0.1:1/x")

    assert (ended.code, ended.out) == (4, "")
    assert "cannot connect to postgresql://me:***@127.0.0.1:1/x" in ended.err
    assert "hush" not in ended.err


def test_no_database_at_all(rush, tmp_path):
    """Looking at a database that was never made says how to make one, and makes none."""
    ended = rush("db", "status")

    assert (ended.code, ended.out) == (2, "")
    assert "set RUSH_DATABASE_URL, or start an embedded server by `rush db start`" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_the_shell(rush, database, tmp_path):
    """psql finds Rush's tables without their schema, and gets what stands behind --."""
    query = "SELECT current_setting('search_path'), count(*) FROM run_state"
    answer = subprocess.run(
        [RUSH, "db", "shell", "--database-url", database, "--", "-Atc", query],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )

    assert answer.stdout == "public,rush|0\n"


def test_the_shell_s_exit_code_is_psql_s(rush, database, tmp_path):
    """psql takes the command's place, so a statement that fails is seen."""
    answer = subprocess.run(
        [RUSH, "db", "shell", "--database-url", database, "--", "-c", "SELECT 1/0"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    assert answer.returncode == 1
    assert "division by zero" in answer.stderr


def test_no_password_is_seen_by_other_users():
    """psql gets the password by its environment, which `ps` does not show."""
    url = "postgresql://me:hu%20sh@db:5433/x?sslmode=require"
    environ = shell_environment({"PGOPTIONS": "-c jit=off"}, url, "public")

    assert environ == {"PGOPTIONS": "-c jit=off -c search_path=public", "PGPASSWORD": "hu sh"}
    assert without_password(url) == "user=me dbname=x host=db port=5433 sslmode=require"


def test_psql_of_the_embedded_server(monkeypatch):
    """Without a psql on the PATH, the one of the embedded server serves."""
    monkeypatch.setenv("PATH", "")

    assert os.access(find_psql(), os.X_OK)
    assert find_psql().endswith("pginstall/bin/psql")


def test_the_embedded_server(rush, tmp_path):
    """It is started when it is needed, its schema is made, it is found again, and it stops."""
    try:
        url = rush("db", "url")
        assert url.code == 0, url.err
        assert url.err == (
            "started the embedded PostgreSQL in .rush (it stays up until `rush db stop`)\n"
        )
        assert rush("db", "url").err == ""
        assert rush("db", "status").code == rush("runs").code == 0
        assert rush("db", "start").out.startswith("the embedded PostgreSQL is up; reach it by: ")
        with psycopg.connect(url.out.strip()) as connection:
            assert connection.execute("SHOW search_path").fetchall() == [("public, rush",)]
    finally:
        stopped = rush("db", "stop")
    assert stopped.out == "the embedded PostgreSQL is stopped\n"
    assert rush("db", "stop").out == "the embedded PostgreSQL is not running\n"


STOPPED = "error: the embedded PostgreSQL of {} is stopped: start it by `rush db start`\n"


def test_an_embedded_server_that_was_stopped(rush, tmp_path):
    """Who looks, or steps in, is told that it is stopped, with 4; what cannot do without starts it."""
    embedded = Embedded(tmp_path / ".rush")
    Path("etl.json").write_text('{"jobs": [{"name": "a", "class_name": "jobs.a.A"}]}')
    try:
        for starts in (["pipelines", "apply", "etl.json"], ["run", "etl"], ["db", "migrate"]):
            ended = rush(*starts)
            assert (ended.code, embedded.running()) == (0, True), (starts, ended.err)
            assert "started the embedded PostgreSQL in .rush" in ended.err
            rush("db", "stop")
        for looks in LOOKING:
            ended = rush(*looks.split())
            assert (ended.code, ended.out) == (4, ""), looks
            assert ended.err == STOPPED.format(tmp_path), looks
            assert not embedded.running(), looks
    finally:
        embedded.remove()


LOOKING = (
    "runs",
    "runs show etl/1",
    "pipelines",
    "pipelines show etl",
    "pipelines versions etl",
    "workers",
    "workers drain w",
    "workers reload",
    "logs etl/1",
    "explain etl/1",
    "retry etl/1",
    "cancel etl/1",
    "pause etl",
    "resume etl",
    "db status",
    "db prune --older-than 1d --yes",
)


def test_stopping_what_was_never_started(rush, tmp_path):
    """Stopping is fine where nothing runs, and makes nothing."""
    ended = rush("db", "stop")

    assert (ended.code, ended.out) == (0, "the embedded PostgreSQL is not running\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_a_database_of_somebody_is_not_started_or_stopped(rush, monkeypatch, verb):
    """Where a database is named, start and stop say who named it, and do nothing."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/x")
    ended = rush("db", verb)

    assert ended.code == 2
    assert "named by environment DATABASE_URL" in ended.err
