"""What a job returns, as JSON that PostgreSQL keeps."""

from __future__ import annotations

import json
import sys
from typing import Any

#: What is nested deeper is looked at before it is kept.
MAX_DEPTH = 64


class ResultRefused(Exception):
    """What a job returned cannot be kept."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


def encoded(value: Any, *, limit: int) -> str | None:
    """
    The result as JSON, None for none. Raises ResultRefused for what is no JSON, cannot be kept, or
    has more than `limit` bytes.
    """
    if value is None:
        return None
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultRefused(
            f"the result cannot be kept as JSON: {_why_not(value, error)}"
        ) from None
    if len(text) > limit:
        raise ResultRefused(
            f"the result has {len(text)} bytes, and {limit} are allowed (setting max_result_bytes): "
            "keep large data in a table or a file, and return where it is",
            too_large=True,
        )
    deep = text.count("[") + text.count("{") > MAX_DEPTH
    if deep or "\\u0000" in text or "\\ud" in text.lower():
        _refuse_unstorable(text)
    return text


def _why_not(value: object, error: Exception) -> str:
    """What of a value is no JSON, and where; Python does not say where."""
    from rush.domain.strictjson import check
    from rush.errors import DefinitionError

    if "Circular" in str(error):
        return "it contains itself"
    try:
        check(value, limit=sys.maxsize)
    except DefinitionError as found:
        return str(found)
    return str(error)


def _refuse_unstorable(text: str) -> None:
    """PostgreSQL keeps neither NUL nor half a surrogate pair, and not everybody reads what is deep."""
    from rush.domain.strictjson import check
    from rush.errors import DefinitionError

    try:
        check(json.loads(text), limit=sys.maxsize)
    except DefinitionError as error:
        raise ResultRefused(f"the result cannot be kept as JSON: {error}") from None
