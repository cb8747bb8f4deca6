"""
What a job is: a class with a `run()`.

    from rush import Job

    class Load(Job):
        def run(self):
            rows = self.results["extract"]["rows"]
            self.logger.info("loading %s rows", rows)
            return {"loaded": rows}

Returning is success, and what is returned (anything that JSON can hold) is the job's
result. Any exception is failure. A job speaks to whoever runs it through a `Context`,
so it can be run by a worker and by a test alike.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import psycopg


class Context(Protocol):
    """One attempt at a job, as the job sees it."""

    pipeline: str
    job: str
    run_id: int
    jobinstance: int
    item: int
    round: int
    attempt: int
    token: int
    params: dict[str, Any]
    logger: logging.Logger

    def results(self) -> Mapping[str, Any]: ...

    def progress(self, done: float, total: float | None) -> None: ...

    def cancelled(self) -> bool: ...

    def transaction(self) -> AbstractContextManager[psycopg.Connection[Any]]: ...


class Job:
    """
    The base of all job classes. Subclasses define `run()` and leave `__init__` alone.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        #: Parameters: the definition's, then those of `job_parameter`, then the request's; later wins.
        self.params: dict[str, Any] = context.params
        #: Lines go to the run's log, shown by `rush logs`. `print` does too.
        self.logger: logging.Logger = context.logger

    @abstractmethod
    def run(self) -> Any:
        """Do the work. What is returned is the result; raising anything is failure."""
        raise TypeError(f"{type(self).__name__} has no run() of its own")

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return self._context.pipeline

    @property
    def job(self) -> str:
        """This job's name within the pipeline."""
        return self._context.job

    @property
    def run_id(self) -> int:
        """The run's id, unique over all pipelines."""
        return self._context.run_id

    @property
    def jobinstance(self) -> int:
        """The run's number within its pipeline: 1, 2, 3 …"""
        return self._context.jobinstance

    @property
    def attempt(self) -> int:
        """Which try this is, from 1."""
        return self._context.attempt

    @property
    def token(self) -> int:
        """A number that rises with every attempt: hand it to outside systems that can refuse older ones."""
        return self._context.token

    @property
    def idempotency_key(self) -> str:
        """The same over all attempts, another after a re-run: for outside effects that must happen once."""
        context = self._context
        return f"{context.run_id}:{context.job}:{context.item}:{context.round}"

    @property
    def results(self) -> Mapping[str, Any]:
        """The results of the jobs of this run that are complete, by job name."""
        return self._context.results()

    @property
    def cancelled(self) -> bool:
        """Whether this run is being cancelled. A job that asks can stop in good order; others are killed."""
        return self._context.cancelled()

    def progress(self, done: float, total: float | None = None) -> None:
        """Say how far this job has come, in any unit. Cheap: call it as often as you like."""
        self._context.progress(done, total)

    def transaction(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """
        An open transaction on Rush's database, that commits together with the job's completion.

        What is written inside is there exactly once, whatever dies on the way: it is
        committed in the same transaction that records the job as Complete, when `run()`
        has returned. If `run()` raises, or another attempt has overtaken this one, none of
        it is there. Do not commit or roll back yourself; a block that raises is undone
        alone, and the job may go on.
        """
        return self._context.transaction()
