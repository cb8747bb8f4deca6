"""What pydantic finds wrong, said to the person who wrote it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic_core import ErrorDetails

from rush.domain.located import described

_Wording = Callable[[Any, dict[str, Any]], str]


def say(error: ErrorDetails) -> str:
    """The message for an error, as a phrase that follows its place."""
    wording = _WORDINGS.get(error["type"], _of_any_other)
    return wording(error["input"], error.get("ctx", {}))


def _of_any_other(value: object, _: dict[str, Any]) -> str:
    return f"cannot be {described(value)}"


def _must_be(what: str) -> _Wording:
    return lambda value, _: f"must be {what}, not {described(value)}"


def _of_limit(words: str, limit: str) -> _Wording:
    return lambda value, context: (
        f"must be {words.format(f'{context[limit]:g}')}, not {described(value)}"
    )


_WORDINGS: dict[str, _Wording] = {
    "missing": lambda value, _: "is missing",
    "value_error": lambda value, context: str(context["error"]),
    "model_type": _must_be("an object"),
    "dict_type": _must_be("an object"),
    "tuple_type": _must_be("a list"),
    "string_type": _must_be("text"),
    # A whole number may be larger than any fraction can be.
    "float_type": lambda value, _: (
        "must be a number below 1.8e308"
        if isinstance(value, int) and abs(value) > 1
        else f"must be a number, not {described(value)}"
    ),
    "int_type": _must_be("a whole number"),
    "greater_than": _of_limit("more than {}", "gt"),
    "greater_than_equal": _of_limit("{} or more", "ge"),
    "less_than_equal": _of_limit("at most {}", "le"),
    "literal_error": lambda value, context: (
        f"must be {context['expected'].replace(chr(39), chr(34))}, not {described(value)}"
    ),
}
