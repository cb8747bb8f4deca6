"""Every order of events of a small world, breadth first: the shortest way to what must not be."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

W = TypeVar("W", bound=Hashable)

#: What may happen next: its name, and the world after it.
Steps = Callable[[W], Iterable[tuple[str, W]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[W]):
    """What a search has seen."""

    #: Different worlds that were looked at.
    worlds: int
    #: The wrong, and the events that lead to it; None: nothing goes wrong to this depth.
    wrong: str | None = None
    story: tuple[str, ...] = ()


def search(start: W, steps: Steps[W], wrong: Callable[[W], str | None], *, depth: int) -> Found[W]:
    """Look at all that can happen in so many events. Stops at the first thing that is wrong."""
    came_from: dict[W, tuple[W, str] | None] = {start: None}
    edge = [start]
    for _ in range(depth):
        further: list[W] = []
        for world in edge:
            for event, after in steps(world):
                if after in came_from:
                    continue
                came_from[after] = (world, event)
                if (what := wrong(after)) is not None:
                    story = _story(came_from, after)
                    return Found(worlds=len(came_from), wrong=what, story=story)
                further.append(after)
        edge = further
    return Found(worlds=len(came_from))


def _story(came_from: dict[W, tuple[W, str] | None], world: W) -> tuple[str, ...]:
    events: list[str] = []
    while (step := came_from[world]) is not None:
        world, event = step
        events.append(event)
    return tuple(reversed(events))
