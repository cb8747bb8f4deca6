"""
Values of JSON, where each part of them stands, and what is wrong with them.

A path leads from the whole to a part: `("jobs", 1, "timeout_minutes")`. Texts are read
into a Builder, which marks where every part stands, collects what is wrong with single
values, and goes on. What makes the rest unreadable ends the reading.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator, Mapping
from json import dumps
from typing import Any, NamedTuple, NoReturn, TypeAlias

from rush.domain.names import quoted
from rush.errors import DefinitionError, Problem

MAX_DEPTH = 64
MAX_DIGITS = 1000
#: A place that takes more characters is cut in its middle.
MAX_PLACE = 400

Path: TypeAlias = tuple[str | int, ...]

#: A number as JSON writes it; it has groups where it is not a whole one.
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,59}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_TOO_LARGE = 10**MAX_DIGITS
_TOO_MANY_DIGITS = f"must be a number of at most {MAX_DIGITS} digits"
_INFINITY = float("inf")


class Mark(NamedTuple):
    """A place in a text. Both from 1."""

    line: int
    column: int


class Fault(NamedTuple):
    """What is wrong with the value at a path. The mark, where it is not the value's own."""

    path: Path
    message: str
    mark: Mark | None = None


class Lines:
    """The lines of a text."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(end.end() for end in re.finditer("\n", text))]

    def mark(self, position: int) -> Mark:
        line = bisect_right(self._starts, position)
        return Mark(line, position - self._starts[line - 1] + 1)


def place_of(path: Path) -> str:
    """A path as a reader of the text would say it: `jobs[1].params["my key"]`."""
    place = ""
    for step in path:
        if isinstance(step, int):
            place += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            place += f".{step}" if place else step
        else:
            place += f"[{quoted(step)}]"
    return place if len(place) <= MAX_PLACE else f"{place[:200]} … {place[-100:]}"


def problems_from(
    faults: Iterable[Fault], value: object, marks: Mapping[Path, Mark]
) -> list[Problem]:
    """
    The first fault of each path as a problem, in the order in which `value` is read.

    What is missing stands where the nearest whole around it does.
    """
    first: dict[Path, Fault] = {}
    for fault in faults:
        first.setdefault(fault.path, fault)
    order: Mapping[Path, Any] = marks or {path: at for at, (path, _) in enumerate(walk(value))}
    ordered = sorted(
        first.values(), key=lambda fault: fault.mark or order[_nearest(fault.path, order)]
    )
    return [
        _problem(path, message, mark or marks.get(_nearest(path, marks)))
        for path, message, mark in ordered
    ]


def give_up(path: Path, message: str, mark: Mark | None = None) -> NoReturn:
    """End the reading with the one problem that makes the rest unreadable."""
    raise DefinitionError([_problem(path, message, mark)])


def walk(value: object) -> Iterator[tuple[Path, object]]:
    """Every part of a value with its path, in reading order. Gives up on what is too deep."""
    levels: list[Iterator[tuple[Path, object]]] = [iter([((), value)])]
    while levels:
        for path, part in levels[-1]:
            yield path, part
            if isinstance(part, dict | list | tuple):
                if len(levels) > MAX_DEPTH:
                    give_up(path, f"is nested deeper than {MAX_DEPTH}")
                levels.append(_parts(path, part))
                break
        else:
            levels.pop()


def fault_of_scalar(value: object) -> str | None:
    """What keeps a value that is no list and no object out of strict JSON; None when nothing does."""
    match value:
        case None | bool():
            return None
        case str():
            return fault_of_text(value)
        case int():
            return None if -_TOO_LARGE < value < _TOO_LARGE else _TOO_MANY_DIGITS
        case float():
            finite = abs(value) < _INFINITY
            return None if finite else f"must be a number of JSON, not {dumps(value)}"
        case _:
            return f"must be a value of JSON, not a Python {type(value).__name__}"


def fault_of_text(text: str) -> str | None:
    """What PostgreSQL cannot keep, though some readers of JSON take it."""
    if "\x00" in text:
        return r"must not hold the character \u0000"
    if not text.isascii() and (half := _SURROGATE.search(text)):
        return f"must not hold half of a surrogate pair, {ascii(half[0])[1:-1]}"
    return None


def described(value: object) -> str:
    """A value of JSON in a few words, to follow "must be …, not"."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {quoted(value)}"
        case int() | float():
            return str(value) if abs(value) < 10**40 else "a number that large"
        case list() | tuple():
            return "a list"
        case _:
            return "an object"


class Builder:
    """
    Puts a value together from what a reader of some syntax finds, in reading order.

    In an object, `key` comes before each value; what belongs to a key is marked at the key.
    """

    def __init__(self) -> None:
        self.value: Any = None
        self.marks: dict[Path, Mark] = {}
        self.faults: list[Fault] = []
        self._open: list[tuple[Path, dict[str, Any] | list[Any]]] = []
        self._key: str | None = None

    @property
    def inside(self) -> type[object] | None:
        """dict or list, after the innermost container that is open; None outside of all."""
        return type(self._open[-1][1]) if self._open else None

    @property
    def wants_key(self) -> bool:
        return self.inside is dict and self._key is None

    @property
    def path(self) -> Path:
        """Where the next value goes; while a key is wanted, the object it is wanted for."""
        if not self._open:
            return ()
        path, container = self._open[-1]
        if isinstance(container, list):
            return (*path, len(container))
        return path if self._key is None else (*path, self._key)

    def key(self, key: str, mark: Mark) -> None:
        _, container = self._open[-1]
        self._key = key
        self.marks.setdefault(self.path, mark)
        if fault := fault_of_text(key):
            self.complain(f"the key {fault}", mark)
        if key in container:
            self.complain("is here twice", mark)

    def add(self, value: Any, mark: Mark) -> Any:
        """Put a value where it goes. It is returned, as by all that add one."""
        self.marks.setdefault(self.path, mark)
        container = self._open[-1][1] if self._open else None
        if container is None:
            self.value = value
        elif isinstance(container, list):
            container.append(value)
        else:
            container[self._key or ""] = value
            self._key = None
        return value

    def scalar(self, value: object, mark: Mark) -> Any:
        fault = fault_of_scalar(value)
        return self.add(value, mark) if fault is None else self.refuse(fault, mark)

    def number(self, token: str, mark: Mark) -> Any:
        """What matches NUMBER. Python would read what is too large as infinity, or not at all."""
        if len(token.lstrip("-")) > MAX_DIGITS:
            return self.refuse(_TOO_MANY_DIGITS, mark)
        match = NUMBER.fullmatch(token)
        number = float(token) if match and match.lastindex else int(token)
        if abs(number) == _INFINITY:
            return self.refuse(f"must be a number below 1.8e308, not {quoted(token)[1:-1]}", mark)
        return self.add(number, mark)

    def refuse(self, message: str, mark: Mark) -> None:
        """A value that is not of JSON: null takes its place."""
        self.complain(message, mark)
        self.add(None, mark)

    def complain(self, message: str, mark: Mark) -> None:
        """Something is wrong with the value that comes next, or with its key."""
        self.faults.append(Fault(self.path, message, mark))

    def open(self, container: dict[str, Any] | list[Any], mark: Mark) -> None:
        path = self.path
        if len(self._open) == MAX_DEPTH:
            give_up(path, f"is nested deeper than {MAX_DEPTH}", mark)
        self.add(container, mark)
        self._open.append((path, container))

    def close(self) -> Any:
        """The container that is whole now."""
        return self._open.pop()[1]


def _parts(
    path: Path, whole: dict[Any, Any] | list[Any] | tuple[Any, ...]
) -> Iterator[tuple[Path, object]]:
    if not isinstance(whole, dict):
        yield from (((*path, position), part) for position, part in enumerate(whole))
        return
    for key, part in whole.items():
        if not isinstance(key, str):
            give_up(path, f"must have text as its keys, not a Python {type(key).__name__}")
        yield (*path, key), part


def _nearest(path: Path, known: Container[Path]) -> Path:
    while path and path not in known:
        path = path[:-1]
    return path


def _problem(path: Path, message: str, mark: Mark | None) -> Problem:
    line, column = mark or (None, None)
    return Problem(place=place_of(path), message=message, line=line, column=column)
