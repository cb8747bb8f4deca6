"""
What can happen to the jobs of a run, each as one call on any connection, and scenes in which
they contend for the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from rush.domain.records import Claim
from rush.master import waiting
from rush.store import pipelines
from rush.store.workers import Registration
from tests.chaos.scene import TABLES
from tests.support.kernel import Kernel, outcome

WIDE = {name: [] for name in ("done", "failed", "free", "held", "stuck", "taken")}
WIDE = {**WIDE, "last": list(WIDE)}
CHAIN = {"first": [], "held": ["first"], "then": ["held"]}
END = {"first": [], "held": ["first"]}

#: More than any timeout of these pipelines, in seconds.
LONG = 1e5


@dataclass(frozen=True, slots=True)
class Scene:
    """
    A run in the middle. In all scenes worker1 is running `held`; in the wide one also: `taken` is
    handed to worker1 and not begun, `free` is Ready, `failed` has failed, `stuck` is Stuck, and
    `done` is over and not yet consumed by the master.
    """

    pipeline: str
    run: int
    one: Registration
    two: Registration
    #: What worker1 holds, by job.
    claims: dict[str, Claim]

    @property
    def held(self) -> list[Claim]:
        return list(self.claims.values())


Act = Callable[[Kernel, Scene], object]


class Stage:
    """A database in which scenes are laid, one after the other."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(TABLES.encode())
        self.kernel = Kernel(connection)
        retries = {"retry_limit": 9, "retry_gap_minutes": 0}
        self.kernel.define(WIDE, "wide", of={"stuck": {"retry_limit": 0}}, **retries)
        self.kernel.define(CHAIN, "chain", **retries)
        self.kernel.define(END, "end", **retries)

    def clear(self) -> None:
        tables = (
            "run_request",
            "run",
            "run_state",
            "finished",
            "run_job",
            "archive",
            "result",
            "alert",
        )
        self.kernel.session.connection.execute(
            "".join(f"DELETE FROM rush.{table};" for table in tables).encode()
            + b"DELETE FROM rush.worker WHERE name <> 'master'; UPDATE rush.pipeline SET paused = false;"
            b"DELETE FROM chaos.event; DELETE FROM chaos.action; DELETE FROM public.effect"
        )

    def lay(self, pipeline: str) -> Scene:
        self.clear()
        kernel = self.kernel
        one = kernel.worker("worker1")
        run = kernel.start(pipeline)
        claims = {claim.key.job: claim for claim in kernel.claim(one, 9)}
        if pipeline == "wide":
            kernel.fail(one, claims.pop("stuck"))
            kernel.retry()
            kernel.fail(one, claims.pop("failed"))
            kernel.complete(one, claims.pop("done"))
            kernel.give_back(one, claims.pop("free"))
        else:
            (claim,) = kernel.complete(one, claims.pop("first"), want=1).claims
            claims["held"] = claim
        kernel.begin(one, claims["held"])
        return Scene(pipeline, run, one, kernel.worker("worker2"), claims)

    def outcome(self, scene: Scene) -> list[Any]:
        """All that matters of a run, without what differs from case to case."""
        return [
            self.kernel.sql(statement, scene.run)
            for statement in (
                "SELECT state, round, open, stuck, cancelling FROM rush.run WHERE id = %s",
                """
                SELECT job, round, state, attempt, retries, losses, paused, given_back, worker
                  FROM rush.run_state WHERE run_id = %s ORDER BY job, round
                """,
                """
                SELECT job, round, attempt, state, worker, reason
                  FROM rush.archive WHERE run_id = %s ORDER BY 1, 2, 3, 4
                """,
                "SELECT job, round FROM rush.finished WHERE run_id = %s ORDER BY 1, 2",
                "SELECT job_id, round, pending FROM rush.run_job WHERE run_id = %s ORDER BY 1, 2",
                "SELECT job, round, inside FROM public.effect WHERE run_id = %s ORDER BY 1, 2",
            )
        ]

    def finish(self, scene: Scene) -> str:
        """Let everybody go on until nothing moves, and somebody ask again for what is Stuck."""
        kernel = self.kernel
        kernel.pause(scene.pipeline, False)
        helper = kernel.worker("helper")
        for _ in range(40):
            kernel.take()
            kernel.sweep()
            kernel.release()
            kernel.retry()
            kernel.inherit()
            kernel.wake(after=LONG)
            kernel.claim(helper, 9)
            for who in (scene.one, scene.two, helper):
                self._work_off(who)
            state = kernel.state(scene.run)
            if state == "Stuck" and not kernel.run(scene.run).cancelling:
                kernel.start(scene.pipeline, job="stuck", jobinstance=1)
            elif state in ("Complete", "Cancelled"):
                return state
        raise AssertionError(f"no end: {self.outcome(scene)}")

    def _work_off(self, who: Registration) -> None:
        """A worker ends all that it holds."""
        for claim in self.kernel.held(who):
            self.kernel.report(who, outcome(claim, "Cancelled" if claim.cancelling else "Complete"))


# What workers do ------------------------------------------------------------------------------


def complete(kernel: Kernel, scene: Scene) -> object:
    return kernel.complete(scene.one, *scene.held, want=2)


def complete_another(kernel: Kernel, scene: Scene) -> object:
    """What `last` waits for too is over at the same time."""
    return kernel.complete(scene.one, scene.claims["taken"])


def fail(kernel: Kernel, scene: Scene) -> object:
    return kernel.fail(scene.one, *scene.held)


def complete_within(kernel: Kernel, scene: Scene) -> object:
    """What a job wrote, and its completion."""
    claim = scene.claims["held"]
    connection = kernel.session.connection
    with connection.transaction():
        connection.execute(
            "INSERT INTO public.effect (run_id, job, round, token, inside) VALUES (%s, %s, %s, %s, true)",
            [claim.run_id, claim.job, claim.round, claim.token],
        )
        if not kernel.complete_within(scene.one, claim):
            raise psycopg.Rollback
    return None


def give_back(kernel: Kernel, scene: Scene) -> object:
    return kernel.give_back(scene.one, *scene.held)


def mark_running(kernel: Kernel, scene: Scene) -> object:
    return kernel.begin(scene.one, *scene.held)


def claim(kernel: Kernel, scene: Scene) -> object:
    return kernel.claim(scene.two, 9)


# What the master does -------------------------------------------------------------------------


def time_out(kernel: Kernel, scene: Scene) -> object:
    with kernel.round().transaction():
        return kernel.fail_overdue(after=LONG)


def declare_dead(kernel: Kernel, scene: Scene) -> object:
    return kernel.bury(scene.one, scene.two)


def retry(kernel: Kernel, scene: Scene) -> object:
    return kernel.retry()


def release(kernel: Kernel, scene: Scene) -> object:
    return kernel.release()


def assign(kernel: Kernel, scene: Scene) -> object:
    return kernel.assign()


def sweep(kernel: Kernel, scene: Scene) -> object:
    return kernel.sweep()


# What people want -----------------------------------------------------------------------------


def cancel(kernel: Kernel, scene: Scene) -> object:
    kernel.request(scene.pipeline, jobinstance=1, action="cancel")
    return kernel.take()


def run_again(kernel: Kernel, scene: Scene) -> object:
    kernel.request(
        scene.pipeline, jobinstance=1, job="stuck" if scene.pipeline == "wide" else "held"
    )
    return kernel.take()


def pause(kernel: Kernel, scene: Scene) -> object:
    with kernel.session.transaction():
        assert pipelines.set_paused(kernel.session, scene.pipeline, True)
    return waiting.Pauses().apply(kernel.round())


#: In the wide scene.
ALL: dict[str, Act] = {
    act.__name__: act
    for act in (
        complete,
        complete_another,
        fail,
        complete_within,
        give_back,
        mark_running,
        claim,
        time_out,
        declare_dead,
        retry,
        release,
        assign,
        cancel,
        sweep,
        run_again,
        pause,
    )
}
#: What a chain has nothing for.
WIDE_ALONE = ("complete_another", "mark_running", "claim", "retry", "release", "assign")
IN_CHAIN = {name: act for name, act in ALL.items() if name not in WIDE_ALONE}
