"""One attempt at a job, as the job sees it, and its own transaction."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import time
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import psycopg

    from rush.store.held import OwnAttempt
    from rush.worker.runner import Greeting, Runner

#: Of all jobs: to ask for it anew in each attempt would take a lock, which a job may leave behind taken.
LOGGER = logging.getLogger("job")


class Defined(TypedDict):
    """What a runner is told once of each job of a version."""

    pipeline: str
    job: str
    class_name: str
    params: dict[str, Any]


#: What an attempt is told of itself: job_id, run_id, jobinstance, item, round, attempt, claim_id,
#: and the parameters that are not the definition's: those of `job_parameter`, as people type them,
#: and the request's, as JSON.
Body = tuple[int, int, int, int, int, int, int, dict[str, str | None] | None, str | None]


class Overtaken(Exception):
    """Another attempt has taken this one's place: nothing that it wrote may stay."""


class Attempt:
    """One attempt at a job: the `Context` that the job speaks to."""

    def __init__(self, runner: Runner, token: int, job: Defined, body: Body) -> None:
        self._runner = runner
        self._results: Mapping[str, Any] | None = None
        self._transaction: Transaction | None = None
        self.token = token
        self.pipeline = job["pipeline"]
        self.job = job["job"]
        self.class_name = job["class_name"]
        (
            _,
            self.run_id,
            self.jobinstance,
            self.item,
            self.round,
            self.attempt,
            self.claim_id,
            self._typed_params,
            self._requested_params,
        ) = body
        # A job may change its parameters, and the next attempt must not see it.
        self.params = copy.deepcopy(job["params"])
        self.logger = LOGGER
        self.began = time.monotonic()
        self.logged = 0

    def read_params(self) -> None:
        """
        Put the parameters of `job_parameter` and of the request over the definition's.
        Raises ValueError or RecursionError for JSON that PostgreSQL keeps and Python does not read.
        """
        if self._typed_params:
            from rush.domain.params import read_value

            for name, value in self._typed_params.items():
                self.params[name] = None if value is None else read_value(value)
        if self._requested_params is not None:
            self.params |= json.loads(self._requested_params)

    def results(self) -> Mapping[str, Any]:
        results = self._results
        if results is None:
            results = self._results = self._runner.ask("results", self.token)
        return results

    def progress(self, done: float, total: float | None) -> None:
        self._runner.note_progress(self.token, done, total)

    def cancelled(self) -> bool:
        return self._runner.is_cancelled(self.token)

    @contextlib.contextmanager
    def transaction(self) -> Generator[psycopg.Connection[Any]]:
        if self._transaction is None:
            self._transaction = Transaction(self._runner.greeting, self)
        with self._transaction.connection.transaction():
            yield self._transaction.connection

    def finish(self, result: str | None) -> bool:
        """Commit the job's transaction with its completion, if it has one. Says whether it had."""
        if self._transaction is None:
            return False
        self._transaction.complete(result)
        return True

    def close(self) -> None:
        if self._transaction is not None:
            self._transaction.close()


class Transaction:
    """A job's own transaction: open until the job has ended, committed with its completion."""

    def __init__(self, greeting: Greeting, attempt: OwnAttempt) -> None:
        from rush.store.database import connect
        from rush.store.held import begin_alone

        self._greeting = greeting
        self._attempt = attempt
        self.connection = connect(
            greeting["database_url"], application_name=f"rush job on {greeting['worker']}"
        )
        try:
            begin_alone(
                self.connection,
                greeting["schema"],
                worker=greeting["worker"],
                generation=greeting["generation"],
                attempt=attempt,
            )
            self._whole = self.connection.transaction()
            self._whole.__enter__()
        except BaseException:
            self.connection.close()
            raise

    def complete(self, result: str | None) -> None:
        from rush.store.held import complete_within

        accepted = complete_within(
            self.connection,
            self._greeting["schema"],
            worker=self._greeting["worker"],
            generation=self._greeting["generation"],
            code=self._greeting["code"],
            attempt=self._attempt,
            result=result,
        )
        if not accepted:
            raise Overtaken("another attempt has overtaken this one; its writes are rolled back")
        self._whole.__exit__(None, None, None)

    def close(self) -> None:
        """Roll back what is not committed, by ending the session."""
        self.connection.close()
