"""
Whatever two things happen to a run at once, in whatever order: it is as if one had come after
the other.

The first is done and not yet committed while the second is tried on another connection: there
it waits, passes by, or is done first. Then the first commits, or rolls back.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.pairs.transitions import ALL, IN_CHAIN, Act, Scene, Stage
from tests.support.history import wrongs
from tests.support.kernel import Kernel
from tests.support.server import Server
from tests.support.waiting import wait_for

CASES = [
    *[("wide", one, other) for one in ALL for other in ALL],
    *[(chain, one, other) for chain in ("chain", "end") for one in IN_CHAIN for other in IN_CHAIN],
]


@dataclass(frozen=True, slots=True)
class Contest:
    """A stage, and a second connection on which the same people speak."""

    stage: Stage
    second: Kernel
    onlooker: psycopg.Connection[Any]
    threads: ThreadPoolExecutor
    #: What comes of acts in turn.
    known: dict[tuple[str, ...], list[Any]]

    def park(self, scene: Scene, first: Act, second: Act, *, commits: bool) -> None:
        """Do the first, try the second beside it, and then let the first commit or not."""
        connection = self.stage.kernel.session.connection
        with connection.transaction(force_rollback=not commits):
            first(self.stage.kernel, scene)
            trying = self.threads.submit(second, self.second, scene)
            wait_for(lambda: trying.done() or self._waits(), what="the second to wait, or be over")
        trying.result(timeout=10)

    def in_turn(self, pipeline: str, *names: str, cancelled: bool) -> list[Any]:
        """What comes of acts one after the other."""
        about = (pipeline, str(cancelled), *names)
        if about not in self.known:
            scene = self.lay(pipeline, cancelled=cancelled)
            for name in names:
                ALL[name](self.stage.kernel, scene)
            self.known[about] = self.settled(scene)
        return self.known[about]

    def lay(self, pipeline: str, *, cancelled: bool) -> Scene:
        """A scene, in which a cancel has been accepted or not."""
        scene = self.stage.lay(pipeline)
        if cancelled:
            ALL["cancel"](self.stage.kernel, scene)
        return scene

    def settled(self, scene: Scene) -> list[Any]:
        """What came of it, once the master has looked again at what is paused, as it does."""
        self.stage.kernel.apply_pauses()
        return self.stage.outcome(scene)

    def _waits(self) -> bool:
        return bool(
            self.onlooker.execute(
                "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'",
                [self.second.session.connection.info.backend_pid],
            ).rowcount
        )


@pytest.fixture(scope="module")
def contest(server: Server) -> Iterator[Contest]:
    with (
        server.database() as url,
        psycopg.connect(url, autocommit=True) as connection,
        psycopg.connect(url, autocommit=True) as second,
        psycopg.connect(url, autocommit=True) as onlooker,
        ThreadPoolExecutor(1) as threads,
    ):
        stage = Stage(connection)
        yield Contest(stage, stage.kernel.seen_from(second), onlooker, threads, {})


@pytest.mark.parametrize(
    "commits",
    [
        pytest.param(True, id="commits"),
        pytest.param(False, id="rolls back", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(("pipeline", "one", "other"), CASES)
def test_two_at_once_are_two_in_turn(
    contest: Contest, pipeline: str, one: str, other: str, commits: bool
) -> None:
    """
    What comes of two at once comes of one after the other too; then the run goes on to its end,
    with a history in which nothing is lost and nothing is done twice.
    """
    # What had to pass by a locked row finds it the next time.
    orders = [(one, other, other), (other, one, other)] if commits else [(other, other)]
    # What is swept has been cancelled.
    cancelled = "sweep" in (one, other)
    serial = [contest.in_turn(pipeline, *names, cancelled=cancelled) for names in orders]
    stage = contest.stage

    scene = contest.lay(pipeline, cancelled=cancelled)
    contest.park(scene, ALL[one], ALL[other], commits=commits)
    ALL[other](stage.kernel, scene)

    assert contest.settled(scene) in serial
    assert stage.finish(scene) in ("Complete", "Cancelled")
    assert stage.kernel.nothing_left(scene.run)
    assert wrongs(stage.kernel.session.connection) == []
