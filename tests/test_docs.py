"""The papers say everything that there is, and what they show works."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

import rush
from docs.generate_commands import PAGE, generate
from rush.client import Client, Run
from rush.config import SETTINGS, variable_of
from rush.domain import states
from rush.domain.definition import (
    Definition,
    JobDefinition,
    parse_definition,
    read_pipeline_file,
)
from rush.errors import DefinitionError
from rush.jobs.base import Job

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAPERS = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ROW = re.compile(r"^\| `([^`]+)` \|(.*)\|$", re.MULTILINE)


# Tables -----------------------------------------------------------------------------------


def test_every_table_and_column_is_documented(connection: psycopg.Connection[Any]) -> None:
    """docs/tables.md has each table of the schema with each of its columns, and no others."""
    assert documented_columns() == columns_of_schema(connection)


def test_the_columns_of_the_contract_are_marked() -> None:
    """What people may rely on is marked as such, and nothing else is."""
    contract = {
        "pipeline": "name definition",
        "run_request": "id pipeline job jobinstance action params status reason run_id idempotency_key",
        "run": "id pipeline jobinstance state created_at started_at finished_at",
        "run_state": "pipeline job jobinstance attempt state worker started_at",
        "archive": "pipeline job jobinstance attempt state worker started_at finished_at error",
        "job_parameter": "pipeline job name value",
        "worker": "name state last_seen",
        "master_token": "holder term expires_at",
    }
    marked = {
        table: {name for name, rest in ROW.findall(text) if rest.startswith(" ● ")}
        for table, text in tables_documented()
    }
    assert {table: names for table, names in marked.items() if names} == {
        table: set(names.split()) for table, names in contract.items()
    }


@pytest.mark.parametrize("name", ["tables.md", "operations.md"])
def test_every_statement_runs(connection: psycopg.Connection[Any], name: str) -> None:
    """The statements that a paper shows are taken by the database as they stand."""
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL search_path = public, rush")
        for statements in fenced(DOCS / name, "sql"):
            connection.execute(statements.encode())


def documented_columns() -> dict[str, set[str]]:
    return {table: {name for name, _ in ROW.findall(text)} for table, text in tables_documented()}


def tables_documented() -> Iterator[tuple[str, str]]:
    """Each table with its columns' rows, from the first table of its section."""
    for heading, text in sections(DOCS / "tables.md"):
        if match := re.fullmatch(r"`(\w+)`", heading):
            yield match[1], text.partition("| reason |")[0]


def columns_of_schema(connection: psycopg.Connection[Any]) -> dict[str, set[str]]:
    """Of each view, and each table that is no partition of another."""
    rows = connection.execute(
        "SELECT c.relname, a.attname FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " WHERE c.relnamespace = 'rush'::regnamespace AND c.relkind IN ('r', 'p', 'v')"
        " AND NOT c.relispartition"
    ).fetchall()
    columns: dict[str, set[str]] = {}
    for table, column in rows:
        columns.setdefault(table, set()).add(column)
    return columns


# Definitions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "model"),
    [("Fields of a pipeline", Definition), ("Fields of a job", JobDefinition)],
)
def test_every_field_is_documented(
    heading: str, model: type[Definition] | type[JobDefinition]
) -> None:
    """docs/definitions.md has each field with its default, and no others."""
    text = dict(sections(DOCS / "definitions.md"))[heading]
    documented = {name: rest.split("|")[0].strip().strip("`") for name, rest in ROW.findall(text)}
    assert documented == {
        name: "required" if field.is_required() else json.dumps(field.default)
        for name, field in model.model_fields.items()
    }


def test_the_examples_are_definitions() -> None:
    """What docs/definitions.md shows as right is right, and of what is wrong it shows every problem."""
    right, wrong = fenced(DOCS / "definitions.md", "yaml")
    read_pipeline_file(right, syntax="yaml", default_name="orders")
    for text in fenced(DOCS / "definitions.md", "json"):
        parse_definition(json.loads(text))
    with pytest.raises(DefinitionError) as raised:
        read_pipeline_file(wrong, syntax="yaml", default_name="bad")
    said, _ = fenced(DOCS / "definitions.md", "text")
    assert said.splitlines() == [
        f"bad.yaml:{each.line}:{each.column}: {each}" for each in raised.value.problems
    ]


# Commands, settings, Python ------------------------------------------------------------------


def test_the_commands_are_as_generated() -> None:
    """docs/commands.md is what `python docs/generate_commands.py` writes."""
    assert generate() == PAGE.read_text(encoding="utf-8")


def test_every_setting_is_documented() -> None:
    """docs/settings.md has each setting with its variable, and no others."""
    found = dict(sections(DOCS / "settings.md"))
    assert {f"`{name}`" for name in SETTINGS} == {name for name in found if name.startswith("`")}
    for name in SETTINGS:
        assert f"`{variable_of(name)}`" in found[f"`{name}`"]


def test_every_public_name_is_documented() -> None:
    """Each name of the module `rush` is told of in a paper."""
    text = "".join(paper.read_text() for paper in (DOCS / "jobs.md", DOCS / "client.md"))
    assert [name for name in rush.__all__ if f"`{name}" not in text] == []


@pytest.mark.parametrize(
    ("kind", "paper", "prefix"),
    [(Job, "jobs.md", "self."), (Client, "client.md", ""), (Run, "client.md", "")],
)
def test_every_public_method_is_documented(kind: type[Any], paper: str, prefix: str) -> None:
    """Each method and property of the classes for users is told of."""
    text = (DOCS / paper).read_text()
    names = [name for name in vars(kind) if not name.startswith("_")]
    assert [name for name in names if not told(name, text, prefix)] == []


def test_the_states_are_drawn() -> None:
    """The diagram in docs/guarantees.md is the one of the code."""
    assert fenced(DOCS / "guarantees.md", "mermaid") == [states.mermaid()]


def told(name: str, text: str, prefix: str) -> bool:
    return f"`{prefix}{name}" in text or f"`{name}" in text


# Links ------------------------------------------------------------------------------------


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.relative_to(ROOT)))
def test_every_link_leads_somewhere(paper: Path) -> None:
    """A link between the papers leads to a file that is there, and to a heading in it."""
    broken = [link for link in LINK.findall(without_fences(paper)) if not leads(paper, link)]
    assert broken == []


def test_the_index_has_every_paper() -> None:
    """Who begins at docs/README.md finds every paper."""
    linked = {(DOCS / link).resolve() for link in LINK.findall((DOCS / "README.md").read_text())}
    assert [paper.name for paper in DOCS.glob("*.md") if paper.resolve() not in linked] == [
        "README.md"
    ]


def leads(paper: Path, link: str) -> bool:
    if link.startswith(("https://", "http://", "mailto:")):
        return True
    name, _, anchor = link.partition("#")
    goal = (paper.parent / name).resolve() if name else paper
    if not goal.exists():
        return False
    return not anchor or anchor in anchors(goal)


@cache
def anchors(paper: Path) -> set[str]:
    """What the headings of a paper are called in links: as GitHub makes it."""
    headings = (heading for _, heading in HEADING.findall(without_fences(paper)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# Reading ----------------------------------------------------------------------------------


def sections(paper: Path) -> Iterator[tuple[str, str]]:
    """Each heading with the text up to the next one, of whatever level."""
    _, *parts = re.split(r"^#{1,6} (.+)$", without_fences(paper), flags=re.MULTILINE)
    return zip(parts[::2], parts[1::2], strict=True)


def without_fences(paper: Path) -> str:
    return FENCE.sub("", paper.read_text(encoding="utf-8"))


def fenced(paper: Path, kind: str) -> list[str]:
    return [
        text for found, text in FENCE.findall(paper.read_text(encoding="utf-8")) if found == kind
    ]
