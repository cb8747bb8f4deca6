"""Named queries: what their files say, and that all of them fit the schema."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

import rush
from rush.errors import ConfigurationError
from rush.store import queries

ALL = queries.load()
PYTHON = "\n".join(
    path.read_text(encoding="utf-8") for path in Path(rush.__file__).parent.rglob("*.py")
)


@pytest.fixture(scope="module")
def migrated(server):
    """One connection for all queries: preparing one changes nothing."""
    with server.database() as url, psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("name", ALL)
def test_every_query_fits_the_schema(migrated, name):
    """
    PostgreSQL can prepare each query against the schema as the migrations leave it.
    """
    migrated.execute(f"PREPARE {name} AS {numbered(ALL[name].text)}")


@pytest.mark.parametrize("name", ALL)
def test_every_query_is_used(name):
    """
    No query is left behind that nothing in Rush names any more.
    """
    assert re.search(rf"""["']{name}["']""", PYTHON)


def test_names_are_unique_over_all_files():
    """
    No query hides another one of the same name in another file.
    """
    files = sorted(queries.FOLDER.glob("*.sql"))
    headers = sum(file.read_text(encoding="utf-8").count("\n-- name:") for file in files)

    assert headers == len(ALL)


def test_a_block_is_read_with_its_name_and_cardinality():
    """
    A block runs from its header to the next one, and what stands before the first is left out.
    """
    text = (
        "-- On ends.\n\n-- name: finish :one\n-- End it.\nDELETE;\n\n-- name: ring :exec\nNOTIFY;\n"
    )

    finish, ring = queries.parse(text)

    assert (finish.name, finish.cardinality, finish.text) == (
        "finish",
        "one",
        "-- finish\n-- End it.\nDELETE;",
    )
    assert (ring.name, ring.cardinality, ring.text) == ("ring", "exec", "-- ring\nNOTIFY;")


@pytest.mark.parametrize(
    "text",
    [
        "-- name: finish\nSELECT 1;",
        "-- name: finish :some\nSELECT 1;",
        "-- name:finish :one\nSELECT 1;",
        "-- name: finish :one \nSELECT 1;",
        "-- name: finish :one\nSELECT 1;\n-- name: finish :many\nSELECT 1;",
    ],
)
def test_a_header_that_cannot_be_right_is_refused(text):
    """
    A block without a cardinality, or with a name that was taken, is an error and not skipped.
    """
    with pytest.raises(ValueError, match="a name of its own and a cardinality"):
        list(queries.parse(text))


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("SELECT * FROM rush.run", 'SELECT * FROM "s".run'),
        ("nextval('rush.token')", "nextval('\"s\".token')"),
        ("SELECT rush.run.id", 'SELECT "s".run.id'),
        ("crush.run, brush.x, _rush.y", "crush.run, brush.x, _rush.y"),
        ("-- This is rush. And rush.", "-- This is rush. And rush."),
        ("rush 'rush' rush_run", "rush 'rush' rush_run"),
    ],
)
def test_the_schema_is_filled_in_where_it_is_named(text, filled):
    """
    Only `rush.` in front of a name gives way to the configured schema.
    """
    assert queries.fill_schema(text, "s") == filled


@pytest.mark.parametrize(
    "schema", ["", "Rush", "1st", "a-b", 'a"b', "a.b", "rush\n", "a" * 41, "été", "a;drop"]
)
def test_a_bad_schema_name_is_refused(schema):
    """
    What could be more than a plain name never becomes a part of a statement.
    """
    with pytest.raises(ConfigurationError, match="must be up to 40 of a-z, 0-9 and _"):
        queries.fill_schema("SELECT * FROM rush.run", schema)


@pytest.mark.parametrize("schema", ["rush", "public", "user", "_", "a" * 40])
def test_a_good_schema_name_is_usable(connection, schema):
    """
    Every name that is let through is one that PostgreSQL takes, reserved words included.
    """
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {queries.quoted(schema)}")
    connection.execute(queries.fill_schema("CREATE TABLE rush.some_table ()", schema))

    with pytest.raises(psycopg.errors.DuplicateTable):
        connection.execute(queries.fill_schema("CREATE TABLE rush.some_table ()", schema))


def numbered(text: str) -> str:
    """The query with `$1` for its first parameter, and so on, read as strictly as psycopg does."""
    names: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        assert match["name"], f"a lone % in: {text}"
        return f"${names.setdefault(match['name'], len(names) + 1)}"

    return re.sub(r"%(%|\((?P<name>\w+)\)s)?", number, text)
