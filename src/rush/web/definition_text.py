"""
A definition as people write it, line by line, and what has changed between two of them.

A definition may have thousands of jobs. So it is taken piece by piece, a key or a job each, and
no further than somebody reads; of two definitions the pieces that differ are compared line by line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from rush.domain.redaction import redacted

#: libyaml's where it is there: of thousands of jobs the other one takes seconds.
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

#: What comes first in a definition as people read it. JSON in PostgreSQL keeps no order.
ORDER = (
    "name", "description", "class_name", "depends_on", "params", "timeout_minutes",
    "retry_gap_minutes", "retry_limit", "queue", "priority", "jobs",
)  # fmt: skip

#: Of more pieces in a row that are the same, so many are shown at each end.
LONGEST_SAME, AROUND = 20, 3

_JOBS = "jobs:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a definition: the same in both versions, or only in the new or the old one."""

    kind: Literal["", "new", "old"]
    text: str


def written(definition: Mapping[str, Any]) -> Iterator[Line]:
    """All of a definition, without its secrets."""
    for piece in _pieces(definition).values():
        yield from _lines("", piece)


def compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Line]:
    """The new definition with what it has changed. What is the same for long is left out."""
    before, after = _pieces(old), _pieces(new)
    same: list[Any] = []
    for was, now in _paired(before, after):
        if was == now:
            same.append(now)
            continue
        yield from _shortened(same)
        same = []
        yield from _changes(_text(was), _text(now))
    yield from _shortened(same)


def _pieces(definition: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """What it is made of, in the order of reading. None of two pieces has the same key."""
    pieces: dict[tuple[str, ...], Any] = {}
    for key in sorted(definition, key=_place):
        value = definition[key]
        if key != "jobs" or not isinstance(value, list) or not value:
            pieces[key,] = {key: value}
            continue
        pieces[key,] = _JOBS
        for job in value:
            name = str(job.get("name", "")) if isinstance(job, dict) else ""
            path = (key, name)
            while path in pieces:
                path = (*path, "")
            pieces[path] = [job]
    return pieces


def _paired(
    before: Mapping[tuple[str, ...], Any], after: Mapping[tuple[str, ...], Any]
) -> Iterator[tuple[Any, Any]]:
    """Each piece as it was and as it is; None where it was or is not there."""
    old, new = list(before), list(after)
    compared = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for what, i, k, j, m in compared.get_opcodes():
        if what == "equal":
            yield from ((before[key], after[key]) for key in new[j:m])
        else:
            yield from ((before[key], None) for key in old[i:k])
            yield from ((None, after[key]) for key in new[j:m])


def _shortened(same: list[Any]) -> Iterator[Line]:
    if len(same) <= LONGEST_SAME:
        yield from _all_lines(same)
        return
    yield from _all_lines(same[:AROUND])
    yield Line(kind="", text=f"# {len(same) - 2 * AROUND:,} that are the same")
    yield from _all_lines(same[-AROUND:])


def _all_lines(pieces: Iterable[Any]) -> Iterator[Line]:
    for piece in pieces:
        yield from _lines("", piece)


def _changes(old: list[str], new: list[str]) -> Iterator[Line]:
    for what, i, k, j, m in difflib.SequenceMatcher(None, old, new).get_opcodes():
        if what == "equal":
            yield from (Line(kind="", text=text) for text in new[j:m])
        else:
            yield from (Line(kind="old", text=text) for text in old[i:k])
            yield from (Line(kind="new", text=text) for text in new[j:m])


def _lines(kind: Literal["", "new", "old"], piece: Any) -> Iterator[Line]:
    return (Line(kind=kind, text=text) for text in _text(piece))


def _text(piece: Any) -> list[str]:
    """As people write it, and without its secrets."""
    if piece is None:
        return []
    if piece is _JOBS:
        return [_JOBS]
    text = yaml.dump(
        _ordered(redacted(piece)), Dumper=DUMPER, sort_keys=False, allow_unicode=True, width=100
    )
    return text.splitlines()


def _ordered(value: Any) -> Any:
    match value:
        case dict():
            return {key: _ordered(value[key]) for key in sorted(value, key=_place)}
        case list():
            return [_ordered(each) for each in value]
        case _:
            return value


def _place(key: str) -> tuple[int, str]:
    return (ORDER.index(key) if key in ORDER else len(ORDER), key)
