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
    r"api_?key|access_?key|private_?key|auth|dsn)(?:$|[_.\-])"
)
_IN_URL = re.compile(r"(?P<scheme>[a-zA-Z][\w+.\-]*://[^\s/:@]*):(?P<password>[^\s/@]+)@")
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
            return _IN_URL.sub(rf"\g<scheme>:{HIDDEN}@", value)
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
