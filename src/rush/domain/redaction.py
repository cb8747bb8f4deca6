"""
Secrets that stand in parameters, results and definitions: shown to nobody.

A value is secret by its name (`password`, `db_token`, `apiKey` …), and so is the password in
a URL, wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN = "•••"

_SECRET = re.compile(
    r"(?i)(?:^|[_.\-])(?:password|passwd|pwd|passphrase|secret|secrets|token|credentials?|"
    r"(?:api|access|private)[_.\-]?key|auth|dsn)(?:$|[_.\-])"
)
# It begins with what is rare and ends within bounds: a text of a megabyte must not take minutes.
_IN_URL = re.compile(r"(?P<user>://[^\s/:@]{0,1000}):[^\s/@]{1,1000}@")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def is_secret(name: str) -> bool:
    """Whether what has this name is not to be seen."""
    return _SECRET.search(_HUMP.sub("_", name)) is not None


def redacted(value: Any) -> Any:
    """The same value without its secrets."""
    match value:
        case Mapping():
            return {
                name: HIDDEN if is_secret(str(name)) and _says_something(each) else redacted(each)
                for name, each in value.items()
            }
        case str():
            return _IN_URL.sub(rf"\g<user>:{HIDDEN}@", value)
        case Sequence():
            return [redacted(each) for each in value]
        case _:
            return value


def has_hidden(value: Any) -> bool:
    """Whether something of it was hidden, so that it is not what it was."""
    match value:
        case Mapping():
            return any(has_hidden(each) for each in value.values())
        case str():
            return HIDDEN in value
        case Sequence():
            return any(has_hidden(each) for each in value)
        case _:
            return False


def _says_something(value: Any) -> bool:
    return value not in (None, "", False)
