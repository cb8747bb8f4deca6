"""Whatever message a wire is cut at, and whatever statement a worker dies at: one consistent end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Message, Network
from tests.support.server import Server
from tests.sweeps.life import Place, points
from tests.sweeps.nursery import Nursery

pytestmark = [pytest.mark.process, pytest.mark.slow]

#: How many of the points are tried here; `make sweeps` tries all.
CUTS, KILLS = 24, 12


@pytest.fixture(scope="module")
def place(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with Network() as network, Nursery() as nursery:
        yield Place(server, network, nursery, tmp_path_factory.mktemp("lives"))


@pytest.fixture(scope="module")
def quiet_life(place: Place) -> list[Message]:
    return place.record()


@pytest.mark.parametrize("number", range(CUTS))
def test_the_wire_is_cut(place: Place, quiet_life: list[Message], number: int) -> None:
    """
    A worker whose wire is cut before or after a message, or that loses an answer, connects anew:
    the run completes, with each effect once.
    """
    every = points(quiet_life, kills=False)
    point = every[number * len(every) // CUTS]
    assert not place.break_at(f"cut{number}", point).problems, point


@pytest.mark.parametrize("number", range(KILLS))
def test_the_worker_is_killed(place: Place, quiet_life: list[Message], number: int) -> None:
    """
    `kill -9` before a statement has arrived, or when it is done and nobody knows: another worker
    takes over, and the run completes, with each effect once.
    """
    every = points(quiet_life, kills=True)
    point = every[number * len(every) // KILLS]
    assert not place.break_at(f"kill{number}", point).problems, point


def test_a_life_has_all_that_there_is_to_break(quiet_life: list[Message]) -> None:
    """The points are in everything that a worker says in its life: nothing is left out by chance."""
    said = {message.query for message in quiet_life if message.toward == "server"}
    assert said >= {
        "register", "elect", "heartbeat", "renew", "resign", "drain", "leave",
        "submit", "compile_version", "admit", "assign", "release_finished", "retry_failed",
        "wake_waiting", "held", "mark_running", "append_log", "results_before",
        "complete_within", "COMMIT",
    }  # fmt: skip
