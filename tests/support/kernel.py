"""
The kernel by its verbs: a master and workers without threads, clocks or processes.

A story says who does what, and when. Each of the master's tasks is one call; a worker is a
registration, what it says is said for it; an instant that is to come is passed in. After
whatever the master does, every run's counts are compared with its rows.
"""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from rush.domain.records import Answer, Claim, LogPart, Outcome, OutcomeState
from rush.master import assign, finish, requests, retries, waiting
from rush.master.tasks import BATCH, Round
from rush.store import held, master_token, pipelines, runs, workers
from rush.store import requests as request_verbs
from rush.store.session import Session
from rush.store.workers import Identity, Registration
from tests.support.server import Server

POISON_LIMIT = 3

Jobs = Mapping[str, Sequence[str]]

CHAIN: Jobs = {"a": [], "b": ["a"], "c": ["b"]}
DIAMOND: Jobs = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


class Kernel:
    """One database, seen through one connection in autocommit."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.session = Session(connection, "rush")
        self.session.settle_plans()
        self.pauses = waiting.Pauses()
        self._claim_ids = itertools.count(1)
        # A worker that takes no jobs, for somebody has to be master.
        self.master = self.worker("master", queues=("none",))
        term = master_token.elect(self.session, self.master, expiry=3600, gone_term=None)
        assert term is not None
        self.term = term

    def seen_from(self, connection: psycopg.Connection[Any]) -> Kernel:
        """The same master and workers, speaking through another connection."""
        other = copy.copy(self)
        other.session = Session(connection, "rush")
        other.session.settle_plans()
        return other

    # What people do -----------------------------------------------------------------------

    def define(
        self,
        jobs: Jobs,
        name: str = "p",
        *,
        of: Mapping[str, Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        """Put down a pipeline: each job with its predecessors, options for all and `of` some."""
        of = of or {}
        definition = {
            "jobs": [
                {"name": job, "class_name": "jobs.any.Any", "depends_on": list(before)}
                | options
                | dict(of.get(job, {}))
                for job, before in jobs.items()
            ]
        }
        pipelines.apply(self.session, name, definition)
        self.compile()

    def request(self, pipeline: str = "p", **columns: Any) -> int:
        request = request_verbs.submit(self.session, pipeline=pipeline, **columns)
        assert request is not None
        return request

    def start(self, pipeline: str = "p", **columns: Any) -> int:
        """Ask for a run, let the master take it, and return its id."""
        return self.accepted(self.request(pipeline, **columns))

    def accepted(self, request: int) -> int:
        """Let the master decide. Returns the run of what must have been accepted."""
        self.take()
        status, reason, run = self.verdict(request)
        assert status == "Accepted", reason
        assert run is not None
        return run

    def refused(self, request: int) -> str:
        """Let the master decide. Returns the reason of what must have been rejected."""
        self.take()
        status, reason, _ = self.verdict(request)
        assert status == "Rejected", status
        assert reason is not None
        return reason

    def cancel(self, run: int) -> None:
        """Ask for a run's end, and let the master raise the flag."""
        found = self.run(run)
        self.accepted(self.request(found.pipeline, jobinstance=found.jobinstance, action="cancel"))

    # What the master does -----------------------------------------------------------------

    def round(self) -> Round:
        return Round(session=self.session, term=self.term)

    def compile(self) -> Round:
        return self._perform(requests.compile_versions)

    def take(self) -> Round:
        return self._perform(lambda round: requests.admit(round) or requests.take(round))

    def admit(self, own: Registration, *, room: int) -> Round:
        """Make runs of plain requests, with a worker of the master's own that has so much room."""
        round = self.round()
        round.own, round.room = own, room
        requests.admit(round)
        self.check_counts()
        return round

    def release(self) -> Round:
        return self._perform(finish.release)

    def sweep(self) -> Round:
        return self._perform(finish.sweep)

    def retry(self) -> Round:
        return self._perform(lambda round: retries.retry(round, poison_limit=POISON_LIMIT))

    def assign(self) -> Round:
        return self._perform(assign.assign)

    def pause(self, name: str, paused: bool = True) -> None:
        """Pause or resume a pipeline, and let the master act on it."""
        assert pipelines.set_paused(self.session, name, paused)
        self.apply_pauses()

    def apply_pauses(self) -> Round:
        return self._perform(self.pauses.apply)

    def wake(self, *, after: float = 0) -> int:
        """Wake what waits, as if so many seconds had passed. Returns how many woke."""
        woken = runs.wake_waiting(self.session, limit=BATCH, now=self.later(after))
        self.check_counts()
        return woken

    def fail_overdue(self, *, after: float, grace: float = 5) -> list[Any]:
        """Fail what is overdue, as if so many seconds had passed."""
        failed = runs.fail_overdue(self.session, grace=grace, limit=BATCH, now=self.later(after))
        self.check_counts()
        return failed

    def bury(self, *names: Registration) -> list[Any]:
        """Declare registrations dead, and inherit. Returns what was inherited."""
        with self.round().transaction() as session:
            workers.declare_dead(session, [(who.name, who.generation) for who in names])
            freed = self.inherit()
        return freed

    def inherit(self) -> list[Any]:
        freed = runs.inherit(self.session, poison_limit=POISON_LIMIT, limit=BATCH)
        self.check_counts()
        return freed

    def _perform(self, task: Any) -> Round:
        round = self.round()
        task(round)
        self.check_counts()
        return round

    # What workers do ----------------------------------------------------------------------

    def worker(
        self,
        name: str = "worker1",
        *,
        slots: int = 4,
        queues: Sequence[str] = ("default",),
        lease: float = 3600,
    ) -> Registration:
        identity = Identity(
            name=name,
            slots=slots,
            queues=tuple(queues),
            host="here",
            boot_id="boot",
            pid=1,
            version="0",
            code=None,
        )
        registration = workers.register(self.session, identity, lease=lease)
        assert registration is not None
        return registration

    def claim(self, who: Registration, want: int = 1, *, idle: bool = True) -> list[Claim]:
        return self.report(who, want=want, idle=idle).claims

    def begin(self, who: Registration, *claims: Claim, ago: float = 0) -> None:
        """A runner has begun these, so many seconds ago."""
        began = time.monotonic() - ago
        held.mark_running(self.session, who, [(claim, began) for claim in claims])

    def running(self, who: Registration, want: int = 1) -> list[Claim]:
        """Claim jobs, and begin them."""
        claims = self.claim(who, want)
        assert len(claims) == want
        self.begin(who, *claims)
        return claims

    def report(
        self, who: Registration, *outcomes: Outcome, want: int = 0, idle: bool = True
    ) -> Answer:
        answer = held.report(
            self.session,
            who,
            outcomes,
            keep=want,
            want=want,
            idle=idle,
            claim_id=next(self._claim_ids),
        )()
        self.check_counts()
        return answer

    def complete(self, who: Registration, *claims: Claim, want: int = 0) -> Answer:
        return self.report(who, *(outcome(claim) for claim in claims), want=want)

    def fail(self, who: Registration, *claims: Claim) -> Answer:
        return self.report(who, *(outcome(claim, "Failed") for claim in claims))

    def complete_within(self, who: Registration, claim: Claim, result: Any = None) -> bool:
        """The end of a job in a transaction of its own."""
        done = held.complete_within(
            self.session.connection,
            "rush",
            worker=who.name,
            generation=who.generation,
            code="c0de",
            attempt=attempt_of(claim),
            result=None if result is None else json.dumps(result),
        )
        self.check_counts()
        return done

    def give_back(self, who: Registration, *claims: Claim) -> int:
        given = held.give_back(self.session, who, claims)
        self.check_counts()
        return given

    def held(self, who: Registration) -> list[Claim]:
        return held.held(self.session, who)

    def append_log(self, who: Registration, claim: Claim, lines: str, part: int = 0) -> None:
        part_of_log = LogPart(claim=claim, attempt=claim.attempt + 1, part=part, lines=lines)
        held.append_log(self.session, who, [part_of_log])

    def work(self, who: Registration, *, failing: Iterable[str] = (), only: int = 10_000) -> None:
        """
        Run what there is, in rounds of a master's and a worker's turns, until nothing moves:
        the `failing` jobs fail whenever they run, retry gaps are jumped over.
        """
        failing = set(failing)
        for _ in range(only):
            self.release()
            self.retry()
            self.wake(after=1e8)
            claims = self.claim(who, 1000)
            if not claims:
                return
            self.report(
                who,
                *(outcome(c, "Failed" if c.key.job in failing else "Complete") for c in claims),
            )

    # What there is to see -----------------------------------------------------------------

    def sql(self, statement: str, *values: Any) -> list[Any]:
        cursor = self.session.connection.cursor(row_factory=namedtuple_row)
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        rows = self.sql(statement, *values)
        return rows[0][0] if rows else None

    def later(self, seconds: float) -> datetime:
        return self.one("SELECT clock_timestamp()") + timedelta(seconds=seconds)

    def verdict(self, request: int) -> tuple[str, str | None, int | None]:
        """Status, reason and run of a request."""
        (row,) = self.sql(
            "SELECT status, reason, run_id FROM rush.run_request WHERE id = %s", request
        )
        return tuple(row)

    def run(self, run: int) -> Any:
        (row,) = self.sql("SELECT * FROM rush.run WHERE id = %s", run)
        return row

    def state(self, run: int) -> str:
        return self.run(run).state

    def live(self, run: int) -> dict[str, str]:
        """The state of each live job of a run."""
        rows = self.sql("SELECT job, state FROM rush.run_state WHERE run_id = %s ORDER BY job", run)
        return {row.job: row.state for row in rows}

    def job(self, run: int, job: str) -> Any:
        """The row of a live job."""
        (row,) = self.sql("SELECT * FROM rush.run_state WHERE run_id = %s AND job = %s", run, job)
        return row

    def archive(self, run: int) -> list[tuple[str, int, int, str]]:
        """What is over of a run: job, round, attempt, state."""
        rows = self.sql(
            """
            SELECT job, round, attempt, state FROM rush.archive
             WHERE run_id = %s ORDER BY job, round, attempt, finished_at
            """,
            run,
        )
        return [tuple(row) for row in rows]

    def ended(self, run: int, state: str = "Complete") -> list[str]:
        """The jobs of a run that are in the archive in a state, in order."""
        return [job for job, _, _, ended in self.archive(run) if ended == state]

    def check_counts(self) -> None:
        """A run's counts are what they say: released and not yet consumed, and Stuck of these."""
        wrong = self.sql(
            """
            SELECT r.id, r.state, r.open, r.stuck, live.jobs, finished.jobs AS unconsumed
              FROM rush.run r
             CROSS JOIN LATERAL (SELECT count(*) AS jobs, count(*) FILTER (WHERE s.state = 'Stuck') AS stuck
                                   FROM rush.run_state s WHERE s.run_id = r.id) live
             CROSS JOIN LATERAL (SELECT count(*) AS jobs FROM rush.finished f WHERE f.run_id = r.id) finished
             WHERE NOT r.cancelling
               AND (r.open, r.stuck) <> (live.jobs + finished.jobs, live.stuck)
            """
        )
        assert wrong == []

    def nothing_left(self, run: int) -> bool:
        """Whether all that serves the living is empty of a run."""
        return not any(
            self.one(f"SELECT count(*) FROM rush.{table} WHERE run_id = %s", run)
            for table in ("run_state", "finished", "run_job")
        )


def attempt_of(claim: Claim) -> Any:
    """The attempt at a job that has been handed out, begun just now."""
    return SimpleNamespace(
        **claim.key._asdict(), token=claim.token, claim_id=claim.claim_id, began=time.monotonic()
    )


def outcome(claim: Claim, state: OutcomeState = "Complete", **fields: Any) -> Outcome:
    """How the attempt of a claim ended, just now."""
    now = time.monotonic()
    if state == "Failed":
        fields = {"reason": "raised", "error": "ValueError: no"} | fields
    return Outcome(
        **{
            "claim": claim,
            "state": state,
            "began": now,
            "ended": now,
        }
        | fields
    )


@pytest.fixture(scope="session")
def one_database(server: Server) -> Iterator[str]:
    """The URL of a database for stories that leave nothing behind."""
    with server.database() as url:
        yield url


@pytest.fixture
def kernel(one_database: str) -> Iterator[Kernel]:
    """A kernel whose whole story is rolled back at the end: nobody else sees it."""
    with (
        psycopg.connect(one_database, autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        yield Kernel(connection)


@pytest.fixture
def shared(connection: psycopg.Connection[Any]) -> Kernel:
    """A kernel of a database of its own, which other connections see."""
    return Kernel(connection)


@pytest.fixture
def worker(kernel: Kernel) -> Registration:
    """A worker that serves the default queue."""
    return kernel.worker()
