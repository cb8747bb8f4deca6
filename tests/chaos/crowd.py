"""
The people: they ask for runs, run some again, cancel some, pause pipelines, all the while.

They ask through a proxy of their own, on which answers get lost too. What they asked for and what
they heard is kept, and compared in the end with what there is.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg

from rush.client import Client
from rush.errors import RushError
from tests.chaos.ground import Ground
from tests.chaos.proxy import Proxy
from tests.chaos.scene import Jobs, job

PIPELINES: dict[str, Jobs] = {
    "quick": [job("a")],
    "single": [job("a", inside=True)],
    "pair": [job("a"), job("b", "a", inside=True)],
    "chain": [job("a"), job("b", "a", inside=True), job("c", "b", reads=True)],
    "diamond": [
        job("a"),
        job("b", "a", failures=1),
        job("c", "a", inside=True),
        job("d", "b", "c", inside=True),
    ],
    "slow": [job("a", seconds=1.5, inside=True), job("b", "a", seconds=0.3), job("c", "b")],
    "fan": [
        job("a"),
        *(job(f"b{n}", "a", inside=n % 2 == 0, seconds=0.02) for n in range(6)),
        job("c", *(f"b{n}" for n in range(6))),
    ],
    # Longer than a short lease and what a freeze lasts beyond it: its end finds that it is over.
    "long": [job("a", seconds=4, inside=True)],
    "hanging": [job("a", hangs=1, timeout_minutes=0.02), job("b", "a", inside=True)],
}
#: How often each is asked for.
WEIGHTS = {"quick": 65, "single": 15, "pair": 10, "chain": 5, "diamond": 2, "fan": 0.7, "slow": 0.6,
           "long": 0.7, "hanging": 0.1}  # fmt: skip

#: How many runs are asked for one by one in a turn, and how many in one statement beside that.
ALONE, TOGETHER = 3, 200

#: A pause lasts up to so many seconds.
LONGEST_PAUSE = 2.0


class Crowd:
    """One thread. It keeps about `backlog` runs in flight until it is stopped."""

    def __init__(self, url: str, proxy: Proxy, seed: int, *, backlog: int) -> None:
        self._ground = Ground(url)
        self._proxy = proxy
        self._chance = random.Random(f"crowd {seed}")
        self._backlog = backlog
        self._stopping = threading.Event()
        self._resume_at: dict[str, float] = {}
        self._client: Client | None = None
        self._connection: psycopg.Connection[Any] | None = None
        self._number = 0
        #: What was done, by kind.
        self.did: Counter[str] = Counter()
        #: References of requests that were answered, and of those that were not.
        self.heard: list[str] = []
        self.unheard: list[str] = []
        self._thread = threading.Thread(target=self._run, name="crowd")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End, and leave nothing paused."""
        self._stopping.set()
        self._thread.join()

    def found_wrong(self) -> list[str]:
        """I1 by what the crowd knows: what was answered is there once, what was not at most once."""
        rows = self._ground.sql(
            "SELECT params ->> 'ref', count(*) FROM rush.run_request WHERE params ? 'ref' GROUP BY 1"
        )
        self._ground.close()
        there = dict(rows)
        lost = [ref for ref in self.heard if ref not in there]
        doubled = [ref for ref, count in there.items() if count > 1]
        problems = [f"I1 answered requests that are not there: {lost[:5]}"] if lost else []
        return problems + ([f"I1 requests that are there twice: {doubled[:5]}"] if doubled else [])

    def _run(self) -> None:
        while not self._stopping.wait(0.05):
            self._lift_pauses(time.monotonic())
            live = self._ground.one("SELECT count(DISTINCT run_id) FROM rush.run_state")
            pending = self._ground.one(
                "SELECT count(*) FROM rush.run_request WHERE status = 'Pending'"
            )
            wanted = self._backlog - live - pending
            for _ in range(min(ALONE, wanted)):
                self._ask(self._chance.choice([self._submit, self._insert]), 1)
            if wanted > ALONE:
                self._ask(self._insert, min(TOGETHER, wanted - ALONE))
            self._meddle()
        self._lift_pauses(float("inf"))
        self._ground.close()
        self._hang_up()

    def _ask(self, ask: Callable[[list[str], list[str]], None], count: int) -> None:
        """Ask for so many runs at once."""
        pipelines = self._chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count)
        refs = [f"run {self._number + n}" for n in range(1, count + 1)]
        self._number += count
        try:
            ask(pipelines, refs)
        except (psycopg.Error, RushError):
            # They may have been made, and they may not.
            self.unheard += refs
            self._hang_up()
        else:
            self.heard += refs

    def _submit(self, pipelines: list[str], refs: list[str]) -> None:
        """By the client, which finds out what became of what was not answered."""
        self._client = self._client or Client(self._proxy.url)
        for pipeline, ref in zip(pipelines, refs, strict=True):
            self._client.submit(pipeline, params={"ref": ref}, idempotency_key=ref)

    def _insert(self, pipelines: list[str], refs: list[str]) -> None:
        """By hand, without a key."""
        self._connection = self._connection or psycopg.connect(
            self._proxy.url, autocommit=True, application_name="crowd"
        )
        self._connection.execute(
            "INSERT INTO rush.run_request (pipeline, params)"
            " SELECT pipeline, jsonb_build_object('ref', ref)"
            " FROM unnest(%s::text[], %s::text[]) AS asked (pipeline, ref)",
            [pipelines, refs],
        )

    def _meddle(self) -> None:
        what = self._chance.choices(
            [self._nothing, self._cancel, self._run_again, self._pause], [80, 6, 12, 1]
        )[0]
        what()

    def _nothing(self) -> None:
        pass

    def _cancel(self) -> None:
        found = self._ground.sql(
            "SELECT pipeline, jobinstance FROM rush.run WHERE state = 'Running' ORDER BY id DESC LIMIT 20"
        )
        if found:
            pipeline, instance = self._chance.choice(found)
            self._request(pipeline, instance, action="cancel")

    def _run_again(self) -> None:
        """A run that has ended, from one of its jobs on. Later in the campaign more have ended."""
        found = self._ground.sql(
            "SELECT pipeline, jobinstance FROM rush.run WHERE state <> 'Running' ORDER BY id DESC LIMIT 50"
        )
        if found:
            pipeline, instance = self._chance.choice(found)
            name = self._chance.choice(PIPELINES[pipeline])["name"]
            self._request(pipeline, instance, action="start", job=name)

    def _request(
        self, pipeline: str, instance: int, *, action: str, job: str | None = None
    ) -> None:
        self._ground.sql(
            "INSERT INTO rush.run_request (pipeline, jobinstance, action, job) VALUES (%s, %s, %s, %s)",
            pipeline,
            instance,
            action,
            job,
        )
        self.did["cancel" if action == "cancel" else "re-run"] += 1

    def _pause(self) -> None:
        pipeline = self._chance.choice(list(PIPELINES))
        if pipeline not in self._resume_at:
            self._ground.sql("UPDATE rush.pipeline SET paused = true WHERE name = %s", pipeline)
            self._resume_at[pipeline] = time.monotonic() + self._chance.uniform(0.2, LONGEST_PAUSE)
            self.did["pause"] += 1

    def _lift_pauses(self, now: float) -> None:
        for pipeline, at in list(self._resume_at.items()):
            if now >= at:
                self._ground.sql(
                    "UPDATE rush.pipeline SET paused = false WHERE name = %s", pipeline
                )
                del self._resume_at[pipeline]

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._connection is not None:
            self._connection.close()
        self._client = self._connection = None
