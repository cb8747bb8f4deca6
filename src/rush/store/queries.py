"""
The named queries of `store/sql/*.sql`, one file per table family.

    -- name: finish :one
    -- A sentence on what it does and when it changes nothing.
    UPDATE rush.run_state …

A block begins with its name and what it gives back: `one` row (or none), `many`
rows, or nothing (`exec`). Parameters are `%(name)s`. Names are unique over all files.
In the files Rush's schema is always `rush.`; the configured one is filled in once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, LiteralString, cast

from rush.errors import ConfigurationError

FOLDER = Path(__file__).parent / "sql"

_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}")
_OUR_SCHEMA = re.compile(r"\brush\.(?=[a-z_])")
_HEADER = re.compile(r"^-- name:(.*)$", re.MULTILINE)
_PARAMETER = re.compile(r"%%|%\((?P<name>\w+)\)s")
_TITLE = re.compile(r" (?P<name>[a-z_]+) :(?P<cardinality>one|many|exec)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One statement. Its text starts with its name, so that `pg_stat_activity` tells it too."""

    name: str
    text: LiteralString
    cardinality: Literal["one", "many", "exec"]
    #: The text as PostgreSQL takes it, with $1, $2 … in the place of the `parameters`. Done
    #: once: psycopg would translate a long statement anew at every call.
    numbered: bytes
    parameters: tuple[str, ...]


@cache
def load(schema: str = "rush") -> dict[str, Query]:
    """All queries by name, over all files. Raises ConfigurationError for a bad schema name."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.sql")))
    return {query.name: query for query in parse(fill_schema("\n".join(texts), schema))}


def fill_schema(text: str, schema: str) -> str:
    """Put the quoted schema where the text says `rush.`. Raises ConfigurationError for a bad name."""
    return _OUR_SCHEMA.sub(f"{quoted(schema)}.", text)


def quoted(schema: str) -> str:
    """The schema's name as an identifier. Raises ConfigurationError for one that cannot be."""
    if not _SCHEMA_NAME.fullmatch(schema):
        raise ConfigurationError(
            f"schema {schema[:80]!r}: must be up to 40 of a-z, 0-9 and _, with no digit first"
        )
    return f'"{schema}"'


def parse(text: str) -> Iterator[Query]:
    """The blocks of a text, in order. Raises ValueError for a header that is none, or a name used twice."""
    seen: set[str] = set()
    _, *blocks = _HEADER.split(text)
    for header, body in zip(blocks[::2], blocks[1::2], strict=True):
        title = _TITLE.fullmatch(header)
        if title is None or title["name"] in seen:
            raise ValueError(f"a query needs a name of its own and a cardinality: -- name:{header}")
        seen.add(title["name"])
        # The one place where a text from outside the code counts as literal: the files are ours.
        literal = cast(LiteralString, f"-- {title['name']}\n{body.strip()}")
        numbered, parameters = _numbered(literal)
        yield Query(
            name=title["name"],
            text=literal,
            cardinality=cast(Literal["one", "many", "exec"], title["cardinality"]),
            numbered=numbered,
            parameters=parameters,
        )


def _numbered(text: str) -> tuple[bytes, tuple[str, ...]]:
    """The text with $1, $2 … for its parameters, and their names in that order."""
    order: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        name = match["name"]
        return "%" if name is None else f"${order.setdefault(name, len(order) + 1)}"

    return _PARAMETER.sub(number, text).encode(), tuple(order)
