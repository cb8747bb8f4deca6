"""
The lines of a job's log, as the table `log` holds them.

    2026-11-25T08:00:01.123Z INFO loaded 27004 rows
    2026-11-25T08:00:02.004Z ERROR it failed
        Traceback (most recent call last):

One record a line: when (the database's clock, in UTC), level, text. The further lines of
a record are indented by four spaces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

INDENT = "    "

#: A dash stands for a time that the worker did not know.
_HEAD = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z|-) (?P<level>[A-Z]+) (?P<text>.*)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """What an attempt has logged or printed at once. `text` may have several lines."""

    at: datetime
    job: str
    round: int
    attempt: int
    level: str
    text: str


@dataclass(slots=True)
class Said:
    """A record by itself: its lines are one text."""

    at: datetime
    level: str
    lines: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def read_lines(text: str, *, otherwise: datetime) -> list[Said]:
    """The records in a text, in its order. One that does not say when is told at `otherwise`."""
    records: list[Said] = []
    for line in text.split("\n"):
        if head := _HEAD.fullmatch(line):
            at = otherwise if head["at"] == "-" else datetime.fromisoformat(head["at"])
            records.append(Said(at, head["level"], [head["text"]]))
        elif records:
            records[-1].lines.append(line.removeprefix(INDENT))
        else:
            records.append(Said(otherwise, "INFO", [line.removeprefix(INDENT)]))
    return records
