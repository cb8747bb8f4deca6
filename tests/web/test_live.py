"""Open pages are told of what happens."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx

from tests.support.kernel import CHAIN, Kernel


def test_a_tab_is_told_of_what_happens(kernel: Kernel, address: str) -> None:
    """A change reaches the stream by the bell or by the signs, whichever is first."""
    with httpx.stream("GET", f"{address}/api/v1/events", timeout=20) as stream:
        events = events_of(stream)
        assert next(events) == ("hello", {})
        kernel.worker()
        assert told_of("workers", events)
        kernel.define(CHAIN, "etl")
        kernel.start("etl")
        assert told_of("runs", events)


def told_of(topic: str, events: Iterator[tuple[str, dict]]) -> bool:
    return any(name == "change" and topic in data["topics"] for name, data in events)


def events_of(stream: httpx.Response) -> Iterator[tuple[str, dict]]:
    name = ""
    for line in stream.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)
