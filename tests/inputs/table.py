"""
The table of bad inputs: `tables/*.yaml`, a file a channel.

    python   a call of the client                          (`call`)
    cli      a command                                     (`args`, or `argv` as an expression)
    file     a file with a definition                      (`text`, or `make` as an expression)
    sql      a statement, or a definition put into a row   (`sql`, `definition`)
    jobs     what a job is, does or returns                (`class`, `source`, `body`)

Each case has an `id`, the `entry` of the catalogue of faults that it is of (G is for bad input), and
what is said to whoever gave it: `says`, word for word. Where versions of Python or PostgreSQL differ in
words that are theirs, `says` is a list of what they say.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TABLES = Path(__file__).parent / "tables"
CHANNELS = ("python", "cli", "file", "sql", "jobs")


@dataclass(frozen=True, kw_only=True)
class Case:
    id: str
    channel: str
    entry: str
    input: dict[str, Any] = field(repr=False)
    #: The exit code, or which error it is.
    ends: Any = None
    says: str | list[str] = ""

    def said(self, ends: Any, text: str) -> None:
        """Compare what was said with the table."""
        expected = self.says if isinstance(self.says, list) else [self.says]
        assert (ends, text) in [(self.ends, each) for each in expected], self


@cache
def cases(channel: str) -> list[Case]:
    rows = yaml.safe_load((TABLES / f"{channel}.yaml").read_text())
    return [case(channel, row) for row in rows]


def case(channel: str, row: dict[str, Any]) -> Case:
    given = dict(row)
    known = {key: given.pop(key) for key in ("id", "entry", "ends", "says") if key in given}
    return Case(channel=channel, input=given, **known)


def made(expression: str, **names: Any) -> Any:
    """The value of an expression in the table."""
    return eval(expression, {"__builtins__": __builtins__} | HELPERS | names)


def circle() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["a"] = value
    return value


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def ring(length: int) -> dict[str, Any]:
    """A definition whose jobs all wait for each other."""
    jobs = [
        {"name": f"j{n}", "class_name": "a.A", "depends_on": [f"j{(n + 1) % length}"]}
        for n in range(length)
    ]
    return {"jobs": jobs}


HELPERS: dict[str, Any] = {
    "JOB": {"name": "a", "class_name": "jobs.a.A"},
    "Decimal": Decimal,
    "circle": circle,
    "date": date,
    "json": json,
    "nested": nested,
    "ring": ring,
    "timedelta": timedelta,
}
