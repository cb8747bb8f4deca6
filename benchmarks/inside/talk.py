"""
How the harness and a process inside a product's environment speak: lines of JSON.

    harness → stdin    ["verb", argument, …]
    stdout → harness   one value for each

What a library prints to standard output goes to standard error instead.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

_answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def asked() -> Iterator[list[Any]]:
    """What the harness asks, until it closes the pipe."""
    for line in iter(sys.stdin.readline, ""):
        yield json.loads(line)


async def asked_meanwhile() -> AsyncIterator[list[Any]]:
    """The same, while the event loop goes on."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        yield json.loads(line)


def answer(value: object = None) -> None:
    print(json.dumps(value), file=_answers, flush=True)


def wait_for_go() -> None:
    """Say that all is imported and connected, and wait for the clock to start."""
    answer("ready")
    next(asked())
