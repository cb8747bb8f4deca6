"""Waiting for file descriptors."""

from __future__ import annotations

import select
from collections.abc import Iterable


def readable(descriptors: Iterable[int], seconds: float | None = None) -> set[int]:
    """
    Which of them can be read, waiting so long for one, or as long as it takes. `select.select`
    refuses those from 1024 on, which a worker with two hundred runners has.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    timeout = None if seconds is None else max(0.0, seconds) * 1000
    return {descriptor for descriptor, _ in poll.poll(timeout)}
