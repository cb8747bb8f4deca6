r"""
JSON as PostgreSQL keeps it and everybody reads it alike.

Python's own reader takes the last of two equal keys, reads 1e999 as infinity, lets NaN,
\u0000 and halves of surrogate pairs through, and recurses. This one does none of that,
says where things are, and is not done at the first of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, NoReturn

from rush.domain.located import (
    NUMBER,
    Builder,
    Fault,
    Lines,
    Path,
    fault_of_scalar,
    fault_of_text,
    give_up,
    problems_from,
    walk,
)
from rush.domain.names import quoted
from rush.errors import DefinitionError

#: In characters.
MAX_TEXT = 1024 * 1024

_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
        (?P<sign>[{}\[\],:])
      | (?P<text>")
      | (?P<number>-?[0-9][0-9A-Za-z_.+-]*)
      | (?P<word>-?[A-Za-z_][0-9A-Za-z_]*)
      | (?P<end>\Z)
      | (?P<wrong>.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"true": True, "false": False, "null": None}
_NOT_NUMBERS = ("NaN", "Infinity", "-Infinity")
_VALUES = ("text", "number", "word", "{", "[")
#: What may come next, under the name by which it is asked for.
_EXPECTED = {
    "a value": _VALUES,
    "a value or ]": (*_VALUES, "]"),
    "a key in quotes": ("text",),
    "a key in quotes or }": ("text", "}"),
    "a colon": (":",),
    "a comma or ]": (",", "]"),
    "a comma or }": (",", "}"),
    "nothing more": ("end",),
}
_FOUND = {"end": "the text ends here", "text": "a text begins here"}
_FAULTS_OF_TEXTS = {
    "Unterminated string starting at": "this text has no closing quote",
    "Invalid control character at": r"a line break or other control character in a text must be escaped, like \n",
}
_DECODER = json.JSONDecoder()


def read(text: str, limit: int = MAX_TEXT) -> Any:
    """The value in a text of JSON. Raises DefinitionError with every problem found."""
    source = scan(text, limit)
    if source.faults:
        raise DefinitionError(problems_from(source.faults, source.value, source.marks))
    return source.value


def check(value: object, limit: int = MAX_TEXT, *, within: str = "") -> None:
    """
    Raises DefinitionError with every problem that keeps a Python value out of strict JSON.
    `within` is the place of the value itself.
    """
    try:
        problems = problems_from(list(faults_in(value, limit)), value, {})
    except DefinitionError as error:
        problems = error.problems
    if problems:
        raise DefinitionError([problem.within(within) for problem in problems])


def faults_in(value: object, limit: int) -> Iterator[Fault]:
    """
    What is wrong with a Python value. Gives up on one that is too deep or too large.

    Its size is that of the text which PostgreSQL makes of it, whatever it was read from: a
    definition is within the limit in its file if and only if it is in the table.
    """
    size = 0
    for path, part in walk(value):
        size += _size(path, part)
        if size > limit:
            give_up((), _too_large(limit))
        if path and isinstance(key := path[-1], str) and (fault := fault_of_text(key)):
            yield Fault(path, f"the key {fault}")
        if not isinstance(part, dict | list | tuple) and (fault := fault_of_scalar(part)):
            yield Fault(path, fault)


def scan(text: str, limit: int) -> Builder:
    """The value in a text of JSON, with its marks and faults. Gives up where it is not JSON."""
    check_size(text, limit)
    return _Scanner(text).scan()


def check_size(text: str, limit: int) -> None:
    """Gives up on what is too large to be read."""
    if len(text) > limit:
        give_up((), _too_large(limit))


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.lines = Lines(text)
        self.build = Builder()

    def scan(self) -> Builder:
        expected = "a value"
        while expected:
            expected = self._step(expected)
        return self.build

    def _step(self, expected: str) -> str:
        """Read one token of those expected. Says what to expect next: nothing, at the end."""
        kind, token, start = self._next_token()
        if kind not in _EXPECTED[expected]:
            found = _FOUND.get(kind) or f"found {quoted(token)}"
            self._give_up(f"expected {expected}, but {found}", start)
        match kind:
            case "{":
                self.build.open({}, self.lines.mark(start))
                return "a key in quotes or }"
            case "[":
                self.build.open([], self.lines.mark(start))
                return "a value or ]"
            case "}" | "]":
                self.build.close()
                return self._after_value()
            case ",":
                return "a key in quotes" if self.build.inside is dict else "a value"
            case ":":
                return "a value"
            case "end":
                return ""
            case "text" if self.build.wants_key:
                self.build.key(self._text(start), self.lines.mark(start))
                return "a colon"
            case _:
                self._scalar(kind, token, start)
                return self._after_value()

    def _next_token(self) -> tuple[str, str, int]:
        match = _TOKEN.match(self.text, self.position)
        assert match is not None and match.lastgroup is not None
        self.position = match.end()
        token = match[match.lastgroup]
        kind = token if match.lastgroup == "sign" else match.lastgroup
        return kind, token, match.start(match.lastgroup)

    def _after_value(self) -> str:
        if self.build.inside is None:
            return "nothing more"
        return "a comma or }" if self.build.inside is dict else "a comma or ]"

    def _scalar(self, kind: str, token: str, start: int) -> None:
        mark = self.lines.mark(start)
        if kind == "text":
            self.build.scalar(self._text(start), mark)
        elif kind == "number" and NUMBER.fullmatch(token):
            self.build.number(token, mark)
        elif token in _WORDS:
            self.build.add(_WORDS[token], mark)
        elif token in _NOT_NUMBERS:
            self.build.refuse(f"must be a number of JSON, not {token}", mark)
        else:
            self._give_up(f"expected a value, but found {quoted(token)}", start)

    def _text(self, start: int) -> str:
        """Read the text whose opening quote is at `start`."""
        try:
            text, self.position = _DECODER.raw_decode(self.text, start)
        except json.JSONDecodeError as error:
            message = _FAULTS_OF_TEXTS.get(
                error.msg, "a backslash in a text must begin an escape of JSON"
            )
            self._give_up(message, error.pos)
        return text

    def _give_up(self, message: str, position: int) -> NoReturn:
        give_up(self.build.path, message, self.lines.mark(position))


def size_of(value: object) -> int:
    """How long the text of a value is in PostgreSQL, in characters."""
    return sum(_size(path, part) for path, part in walk(value))


def _size(path: Path, part: object) -> int:
    """What a part adds, with its key, to the length of the text."""
    key = path[-1] if path else None
    return (len(": ") + _written(key) if isinstance(key, str) else 0) + _size_of_part(part)


def _size_of_part(part: object) -> int:
    match part:
        case str():
            return _written(part)
        case None | bool():
            return 5 if part is False else 4
        case int():
            # What has too many digits is refused, and Python would not write it.
            return len(str(part)) if part.bit_length() < 4000 else 1200
        case float():
            # PostgreSQL knows no -0.0.
            return len(f"{Decimal(repr(part + 0.0)):f}")
        case dict() | list() | tuple():
            return len("[]") + len(", ") * max(0, len(part) - 1)
        case _:
            return 0


def _written(text: str) -> int:
    return len(encode_basestring(text))


def _too_large(limit: int) -> str:
    return f"must not be larger than {limit / 2**20:g} MiB"
