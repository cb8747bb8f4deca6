"""Migrations: each once, in order, in one piece, and none that was edited."""

from __future__ import annotations

import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from rush.errors import DatabaseError, SchemaError
from rush.store import migrate
from rush.store.embedded import bundled_binaries
from tests.support.waiting import wait_for

FIRST = "CREATE TABLE rush.thing (id int PRIMARY KEY);\nINSERT INTO rush.thing VALUES (1);\n"
SECOND = "ALTER TABLE rush.thing ADD COLUMN name text;\n"


@pytest.fixture
def folder(tmp_path):
    """Two migrations, and a file that is none."""
    (tmp_path / "0001_things.sql").write_text(FIRST)
    (tmp_path / "0002_names.sql").write_text(SECOND)
    (tmp_path / "README.md").write_text("not a migration")
    return tmp_path


@pytest.fixture
def empty(empty_database):
    """A connection to a database in which there is nothing."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        yield connection


def names(migrations):
    return [str(each) for each in migrations]


def tables(connection, schema="rush"):
    rows = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p')",
        [schema],
    )
    return {name for (name,) in rows}


def test_migrations_are_applied_in_order_and_once(empty_database, folder):
    """
    The first call applies everything and says so, the second finds nothing to do.
    """
    first = migrate.migrate(empty_database, folder=folder)
    second = migrate.migrate(empty_database, folder=folder)

    assert names(first) == ["0001_things", "0002_names"]
    assert second == []
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT * FROM rush.thing").fetchall() == [(1, None)]
        recorded = connection.execute(
            "SELECT number, name, checksum FROM rush.migration"
        ).fetchall()
    assert recorded == [(each.number, each.name, each.checksum) for each in first]


def test_only_what_is_missing_is_applied(empty, folder):
    """
    A migration that was added later is applied alone, and `status` tells the two apart.
    """
    later = (folder / "0002_names.sql").rename(folder / "later")
    migrate.migrate(empty, folder=folder)
    later.rename(folder / "0002_names.sql")

    before = migrate.status(empty, folder=folder)
    applied = migrate.migrate(empty, folder=folder)
    after = migrate.status(empty, folder=folder)

    assert [applied_at is not None for _, applied_at in before] == [True, False]
    assert names(applied) == ["0002_names"]
    assert [applied_at is not None for _, applied_at in after] == [True, True]


def test_the_status_of_an_empty_database_is_that_all_are_missing(empty, folder):
    """
    Asking changes nothing and needs no table of Rush.
    """
    status = migrate.status(empty, folder=folder)

    assert [applied_at for _, applied_at in status] == [None, None]
    assert empty.execute("SELECT to_regnamespace('rush')").fetchone() == (None,)


def test_two_that_migrate_at_once_apply_everything_once(empty_database, folder):
    """
    Machines that start together do not stand in each other's way.
    """
    start = threading.Barrier(4)

    def one(_):
        start.wait()
        return migrate.migrate(empty_database, folder=folder)

    with ThreadPoolExecutor(4) as pool:
        applied = [each for result in pool.map(one, range(4)) for each in result]

    assert sorted(names(applied)) == ["0001_things", "0002_names"]


def test_the_second_waits_for_the_first(empty_database, folder):
    """
    While one is at it another waits, and then finds everything done.
    """
    with psycopg.connect(empty_database) as first, ThreadPoolExecutor(1) as pool:
        first.execute(migrate._TURN, ["rush"])
        second = pool.submit(migrate.migrate, empty_database, folder=folder)
        wait_for_a_turn_in_waiting(empty_database)
        assert not second.done()
        first.rollback()

        assert names(second.result(timeout=10)) == ["0001_things", "0002_names"]


def test_a_migration_that_fails_leaves_nothing(empty, folder):
    """
    Of a migration that fails in its middle nothing is kept; what came before it is.
    """
    (folder / "0002_names.sql").write_text(f"{SECOND}CREATE TABLE rush.half ();\nSELECT 1 / 0;")

    with pytest.raises(DatabaseError, match=r"migration 0002_names .*: division by zero"):
        migrate.migrate(empty, folder=folder)

    assert tables(empty) == {"migration", "thing"}
    assert empty.execute("SELECT number FROM rush.migration").fetchall() == [(1,)]


def test_a_migration_does_not_queue_for_ever(empty, empty_database, folder, monkeypatch):
    """
    Behind a long transaction a migration gives up, says why, and can be run again.
    """
    later = (folder / "0002_names.sql").rename(folder / "later")
    migrate.migrate(empty, folder=folder)
    later.rename(folder / "0002_names.sql")
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "50ms")

    with psycopg.connect(empty_database) as reader:
        reader.execute("SELECT * FROM rush.thing")
        with pytest.raises(DatabaseError, match="0002_names was not applied: another transaction"):
            migrate.migrate(empty, folder=folder)

    assert names(migrate.migrate(empty, folder=folder)) == ["0002_names"]


def test_an_edited_migration_is_refused(empty, folder):
    """
    A file that has changed since it was applied is named, and nothing more is applied.
    """
    later = (folder / "0002_names.sql").rename(folder / "later")
    migrate.migrate(empty, folder=folder)
    later.rename(folder / "0002_names.sql")
    (folder / "0001_things.sql").write_text(FIRST + "-- a small change")

    with pytest.raises(SchemaError, match="0001_things is not the one that was applied"):
        migrate.migrate(empty, folder=folder)
    with pytest.raises(SchemaError, match="0001_things is not the one that was applied"):
        migrate.check(empty, folder=folder)
    assert migrate.status(empty, folder=folder)[1][1] is None


def test_line_ends_of_another_system_are_no_change(empty, folder):
    """
    A checkout with CRLF has the same checksums.
    """
    migrate.migrate(empty, folder=folder)
    (folder / "0001_things.sql").write_bytes(FIRST.replace("\n", "\r\n").encode())

    migrate.check(empty, folder=folder)


def test_a_newer_schema_is_refused(empty, folder):
    """
    An old Rush keeps its hands off a database that a newer one has migrated.
    """
    migrate.migrate(empty, folder=folder)
    (folder / "0002_names.sql").unlink()
    message = (
        r"the database's schema is at 2, this Rush knows 1: upgrade rush-pipelines on this machine"
    )

    with pytest.raises(SchemaError, match=message):
        migrate.migrate(empty, folder=folder)
    with pytest.raises(SchemaError, match=message):
        migrate.check(empty, folder=folder)


def test_an_older_schema_is_refused(empty, folder):
    """
    A Rush that is newer than the database says what to run, and names what is missing.
    """
    migrate.migrate(empty, folder=folder)
    (folder / "0003_more.sql").write_text("CREATE TABLE rush.more ();")

    with pytest.raises(
        SchemaError,
        match=r"is at 2, this Rush needs 3 \(0003_more to apply\): run `rush db migrate`",
    ):
        migrate.check(empty, folder=folder)


def test_a_database_without_rush_is_refused(empty, folder):
    """
    Where nothing was ever migrated, the message says where and what to run.
    """
    with pytest.raises(SchemaError, match=r'no tables of Rush in schema "rush" of .*`rush db migr'):
        migrate.check(empty, folder=folder)


@pytest.mark.parametrize("schema", ["public", "other", "user"])
def test_rush_lives_in_the_schema_that_is_configured(empty, schema):
    """
    In another schema everything lands there, and nothing elsewhere.
    """
    migrate.migrate(empty, schema)

    migrate.check(empty, schema)
    assert {"pipeline", "run_state", "migration"} <= tables(empty, f'"{schema}"')
    elsewhere = empty.execute(
        "SELECT relname, nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE nspname NOT IN (%s, 'pg_catalog', 'information_schema', 'pg_toast')",
        [schema],
    ).fetchall()
    assert elsewhere == []


def test_two_schemas_of_one_database_do_not_meet(empty):
    """
    Two of Rush in one database are migrated one by one.
    """
    migrate.migrate(empty, "one")

    with pytest.raises(SchemaError):
        migrate.check(empty, "two")
    assert migrate.migrate(empty, "two") == migrate.load()


def test_a_schema_that_is_there_needs_no_right_to_make_schemas(empty, empty_database, folder):
    """
    Where somebody else made the schema, a role that owns it and no more can migrate.
    """
    empty.execute("DROP ROLE IF EXISTS of_little_right")
    empty.execute("CREATE ROLE of_little_right")
    try:
        empty.execute("CREATE SCHEMA rush AUTHORIZATION of_little_right")
        empty.execute("SET ROLE of_little_right")

        assert len(migrate.migrate(empty, folder=folder)) == 2
    finally:
        empty.execute("RESET ROLE")
        empty.execute("DROP OWNED BY of_little_right")
        empty.execute("DROP ROLE of_little_right")


@pytest.mark.parametrize("schema", ["rush", "public"])
def test_the_script_for_psql_makes_the_same(empty, empty_database, schema):
    """
    What `sql` prints, psql applies in one transaction, and it is then as if Rush had done it.
    """
    psql = shutil.which("psql") or bundled_binaries() / "psql"

    done = subprocess.run(
        [psql, "-X", "-q", "-d", empty_database],
        input=migrate.sql(schema),
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")
    migrate.check(empty, schema)
    assert migrate.migrate(empty, schema) == []


def test_the_script_for_psql_is_all_or_nothing(empty, empty_database, folder):
    """
    When a statement of the script fails, psql says so and nothing is left.
    """
    (folder / "0002_names.sql").write_text("SELECT 1 / 0;")
    psql = shutil.which("psql") or bundled_binaries() / "psql"

    done = subprocess.run(
        [psql, "-X", "-q", "-d", empty_database],
        input=migrate.sql(folder=folder),
        capture_output=True,
        text=True,
    )

    assert done.returncode != 0
    assert empty.execute("SELECT to_regnamespace('rush')").fetchone() == (None,)


def test_the_shipped_migrations_are_numbered_without_a_gap():
    """
    Every file of the folder is a migration, and their numbers are 1, 2, 3 …
    """
    shipped = migrate.load()

    assert [each.number for each in shipped] == list(range(1, len(shipped) + 1))
    assert len(shipped) == len(list(Path(migrate.FOLDER).iterdir()))


def test_a_turn_sees_what_the_one_before_did(empty, empty_database, folder, tmp_path):
    """
    Also in a database whose default is REPEATABLE READ nothing is applied a second time.
    """
    (tmp_path / "none").mkdir()
    migrate.migrate(empty, folder=tmp_path / "none")
    empty.execute("SET default_transaction_isolation = 'repeatable read'")
    known = migrate.load(folder)
    with psycopg.connect(empty_database) as first, ThreadPoolExecutor(1) as pool:
        first.execute(migrate._TURN, ["rush"])
        second = pool.submit(migrate._apply, empty, "rush", known[0], known)
        wait_for_a_turn_in_waiting(empty_database)
        first.execute(
            "INSERT INTO rush.migration (number, name, checksum) VALUES (1, 'things', %s)",
            [known[0].checksum],
        )
        first.commit()

        assert second.result(timeout=10) is False


def wait_for_a_turn_in_waiting(database):
    with psycopg.connect(database, autocommit=True) as watch:
        wait_for(
            lambda: watch.execute(
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            ).fetchone(),
            what="the second to wait for its turn",
        )
