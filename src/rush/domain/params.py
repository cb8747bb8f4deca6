"""Parameters of jobs: how people type them, and which of them win."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rush.domain import strictjson
from rush.domain.located import fault_of_text, place_of
from rush.domain.names import quoted
from rush.errors import ConfigurationError, DefinitionError

MAX_KEY = 200


def parse_assignment(text: str) -> tuple[str, Any]:
    """
    Key and value of `key=value`, the value read as `read_value` does.

    Raises ConfigurationError where there is no key, or what PostgreSQL cannot keep.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigurationError(f"a parameter is given as key=value, not {quoted(text)}")
    if len(key) > MAX_KEY:
        raise ConfigurationError(
            f"the key of a parameter must have at most {MAX_KEY} characters, not {len(key)}"
        )
    if fault := fault_of_text(key):
        raise ConfigurationError(f"the key of a parameter {fault}")
    read = read_value(value)
    strictjson.check(read, within=place_of(("params", key)))
    return key, read


def read_value(text: str) -> Any:
    """
    A value as people type it: what is strict JSON is read as such, all else is text.

    `500` is a number, `true` a truth, `[1, 2]` a list, `"500"` the text 500; `soon`,
    `007` and `{"a": 1, "a": 2}` are texts as they stand.
    """
    try:
        return strictjson.read(text)
    except DefinitionError:
        return text


def as_typed(value: Any) -> str:
    """A value as one would type it, on one line: what `read_value` reads again."""
    if isinstance(value, str) and not value.splitlines()[1:] and read_value(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """The definition's parameters, `job_parameter`'s, the request's: later wins, key by key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged |= layer
    return merged
