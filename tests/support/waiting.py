"""Waiting for a state, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(
    predicate: Callable[[], T], *, what: str | Callable[[], str], timeout: float = 10.0
) -> T:
    """Poll until `predicate` returns something true, and return that. `timeout` is in seconds."""
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() > deadline:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"waited {timeout:g} s in vain for {told}; last seen: {value!r}")
        time.sleep(0.01)
    return value
