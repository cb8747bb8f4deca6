"""
YAML, as far as it says what JSON can say.

Readers of YAML differ on what `yes`, `010` or `2013-01-01` are, so these must be written
as JSON would, or in quotes. An alias stands for a copy of its anchor, and copies add up:
ten lines can mean a billion values, so they are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml
from yaml.resolver import Resolver

from rush.domain.located import MAX_DEPTH, NUMBER, Builder, Lines, Mark, Path, give_up
from rush.domain.names import quoted
from rush.domain.strictjson import check_size

#: How many values all aliases together may stand for.
MAX_ALIASED = 100_000

_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_AS_JSON = "must be a number as JSON writes it, or in quotes to be text, not {}"
_REFUSED = {
    "bool": "must be true or false, or in quotes to be text, not {}",
    "int": _AS_JSON,
    "float": _AS_JSON,
    "timestamp": "must be in quotes to be text, since JSON has no dates: {}",
    "merge": "must be in quotes to be text, since nothing is merged here: {}",
    "tagged": "must have no tag, like !!str or !name",
}

#: What PyYAML says it was at when what follows a value of a list was neither the next one nor its end.
_LISTS = ("while parsing a block collection", "while parsing a flow sequence")

_Loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


def scan(text: str, limit: int) -> Builder:
    """The value in a text of YAML, with its marks and faults. Gives up where it is not YAML."""
    check_size(text, limit)
    if wrong := _UNPRINTABLE.search(text):
        mark = Lines(text).mark(wrong.start())
        give_up((), f"must not hold the character {quoted(wrong[0])}", mark)
    return _Scanner(text).scan(yaml.parse(text, Loader=_Loader))


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self.build = Builder()
        self._resolver = Resolver()
        self._documents = 0
        self._values = 0
        self._aliased = 0
        #: For each container that is open: its anchor, and how many values came before it.
        self._open: list[tuple[str | None, int]] = []
        #: For each anchor whose value is whole: the value, and how many values that is.
        self._anchors: dict[str, tuple[Any, int]] = {}

    def scan(self, events: Iterable[yaml.Event]) -> Builder:
        try:
            for event in events:
                self._take(event, _mark(event.start_mark))
        except yaml.MarkedYAMLError as error:
            give_up(self._path_of(error), self._said(error), _mark(error.problem_mark))
        if not self._documents:
            give_up((), "is empty", Mark(1, 1))
        return self.build

    def _said(self, error: yaml.MarkedYAMLError) -> str:
        """What PyYAML says, where it does not leave out what matters."""
        problem = str(error.problem)
        if "nesting depth" in problem:
            return f"is nested deeper than {MAX_DEPTH}"
        if "cannot start any token" in problem:
            at = error.problem_mark.index if error.problem_mark else 0
            found = self._text[at : at + 1]
            if found == "\t":
                return "this is not YAML: lines are indented by spaces, not by tabs"
            return f"this is not YAML: a text that begins with {found} must be in quotes"
        return f"this is not YAML: {problem}"

    def _path_of(self, error: yaml.MarkedYAMLError) -> Path:
        """What could not be read on. In a list that did not go on, that is its last value."""
        path = self.build.path
        if error.context in _LISTS and path and isinstance(path[-1], int):
            return (*path[:-1], path[-1] - 1) if path[-1] else path[:-1]
        return path

    def _take(self, event: yaml.Event, mark: Mark) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    give_up((), "must be a single document, and another one begins here", mark)
            case yaml.ScalarEvent():
                self._values += 1
                self._remember(event.anchor, self._scalar(event, mark), 1)
            case yaml.AliasEvent():
                self._alias(event.anchor, mark)
            case yaml.CollectionStartEvent():
                self._begin(event, mark)
            case yaml.CollectionEndEvent():
                anchor, before = self._open.pop()
                self._remember(anchor, self.build.close(), self._values - before)
            case _:
                pass

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark) -> Any:
        """Take a scalar as a key or a value. Says as which."""
        text, kind = event.value, self._kind(event)
        if self.build.wants_key:
            self.build.key(text, mark)
            if kind != "str":
                self.build.complain("the key must be in quotes to be text", mark)
            return text
        if kind == "null":
            return self.build.add(None, mark)
        if kind == "number":
            return self.build.number(text, mark)
        if kind == "bool" and text.lower() in ("true", "false"):
            return self.build.add(text.lower() == "true", mark)
        if kind in _REFUSED:
            return self.build.refuse(_REFUSED[kind].format(quoted(text)[1:-1]), mark)
        return self.build.scalar(text, mark)

    def _kind(self, event: yaml.ScalarEvent) -> str:
        """What a scalar is to some reader of YAML or JSON."""
        if event.tag:
            return "tagged"
        plain, _ = event.implicit
        if not plain:
            return "str"
        if NUMBER.fullmatch(event.value):
            return "number"
        tag = self._resolver.resolve(yaml.ScalarNode, event.value, (True, False))
        return str(tag).rpartition(":")[2]

    def _alias(self, anchor: str, mark: Mark) -> None:
        if anchor not in self._anchors:
            give_up(self.build.path, f"nothing whole has the anchor &{anchor} before this", mark)
        if self.build.wants_key:
            give_up(self.build.path, "must have text as its keys, not an alias", mark)
        value, values = self._anchors[anchor]
        self._values += values
        self._aliased += values
        if self._aliased > MAX_ALIASED:
            give_up(self.build.path, f"aliases stand for more than {MAX_ALIASED} values", mark)
        self.build.add(value, mark)

    def _remember(self, anchor: str | None, value: Any, values: int) -> None:
        if anchor:
            self._anchors[anchor] = (value, values)

    def _begin(self, event: yaml.CollectionStartEvent, mark: Mark) -> None:
        if self.build.wants_key:
            give_up(self.build.path, "must have text as its keys, not lists or objects", mark)
        if event.tag:
            self.build.complain(_REFUSED["tagged"], mark)
        self._open.append((event.anchor, self._values))
        self._values += 1
        self.build.open({} if isinstance(event, yaml.MappingStartEvent) else [], mark)


def _mark(mark: Any) -> Mark:
    """From PyYAML's, which counts from 0."""
    return Mark(mark.line + 1, mark.column + 1)
