"""
Rush from Python: ask for runs, wait for them, read them.

    with Client("postgresql://localhost/warehouse") as client:
        run = client.submit("etl", params={"day": "2026-11-25"}).wait()
        print(run.state, run.result("load"))

A client may also be given an open psycopg connection. Then what it asks for is a part of
the caller's transaction: it is committed, or is not, together with the caller's own data.

    with psycopg.connect(...) as connection:
        connection.execute("INSERT INTO delivery ...")
        run = Client(connection).submit("etl")
        connection.commit()
        run.wait()

A client is for one thread at a time. Every method may raise DatabaseError when the
database is out of reach, and SchemaError when Rush's tables are not there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.pq import TransactionStatus

from rush.domain import strictjson
from rush.domain.definition import parse_definition
from rush.domain.log_lines import LogLine, read_lines
from rush.domain.names import check_name, quoted
from rush.domain.states import JobState, RequestState, RunState
from rush.errors import (
    ConfigurationError,
    DatabaseError,
    GaveUpWaiting,
    NotFoundError,
    RefusedError,
    SchemaError,
)
from rush.store import bells, overview, pipelines, requests, run_reads
from rush.store.database import connect
from rush.store.overview import PipelineRow, WorkerRow
from rush.store.run_reads import JobRow, LogPartRow, RequestRow, RunRow
from rush.store.session import Connection, Session, channel

P = ParamSpec("P")
T = TypeVar("T")

#: While no bell rings the database is asked so often, in seconds: at first, and at last.
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
#: The last lines of a job that committed by itself come a little after its end.
LAST_LINES = 0.5

MAX_INSTANCE = 2**31 - 1
MAX_KEY = 200

_RUN_NAME = re.compile(r"(?P<pipeline>[^/]+)/(?P<jobinstance>\d{1,10})", re.ASCII)
_RUN_ID = re.compile(r"\d{1,18}", re.ASCII)


class Client:
    """
    Asks for runs and reads them, in the schema that Rush's tables are in.

    `database` is a URL, or an open connection of the caller's, which stays the caller's.
    Raises ConfigurationError for a URL or a schema's name that cannot be right.
    """

    def __init__(
        self, database: str | Connection, schema: str = "rush", *, name: str = "rush client"
    ) -> None:
        self._owns = isinstance(database, str)
        connection = (
            connect(database, application_name=name) if isinstance(database, str) else database
        )
        self._session = Session(connection, schema, prepare=False)
        if self._owns:
            # A pipeline of thousands of jobs that was applied just now has no statistics yet.
            self._session.settle_plans()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, if it is the client's own."""
        if self._owns:
            self._session.connection.close()

    # Runs -------------------------------------------------------------------------------

    def submit(
        self,
        pipeline: str,
        *,
        job: str | None = None,
        jobinstance: int | None = None,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Run:
        """
        Ask for a run of a pipeline: from the beginning, or from `job` on.

        `jobinstance` is the number that the run shall have, else the next one; that of a
        run that has ended makes it run again. The same `idempotency_key` with the same
        request gives the run that was asked for first. Raises ConfigurationError for what
        cannot be asked for, RefusedError for a key that was used for something else. The
        master's own refusal comes when the run is waited for.
        """
        key = _checked_key(idempotency_key)
        asked: dict[str, Any] = {
            "pipeline": check_name(pipeline, "pipeline"),
            "job": None if job is None else check_name(job, "job"),
            "jobinstance": _checked_instance(jobinstance),
            "params": _checked_params(params),
        }
        request_id = self.write(requests.submit, **asked, idempotency_key=key)
        while request_id is None and key is not None:
            request_id = self._asked_before(asked, key)
        return Run(self, pipeline, request_id=request_id)

    def run(self, ref: str | int) -> Run:
        """
        The run with an id, or with a name like `etl/7`.

        Raises NotFoundError where there is none, ConfigurationError where it is neither.
        """
        row = self.read(run_reads.run, self._run_id(str(ref)))
        if row is None:
            raise NotFoundError(f"there is no run {ref}")
        return Run(self, row.pipeline, run_id=row.id)

    def runs(
        self,
        *,
        pipeline: str | None = None,
        state: RunState | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> list[RunRow]:
        """Runs, the newest first; those with an id below `before`."""
        return self.read(
            run_reads.list_runs, pipeline=pipeline, state=state, limit=limit, before=before
        )

    # Pipelines and workers --------------------------------------------------------------

    def pipelines(self) -> list[PipelineRow]:
        """Every pipeline, with its newest version and its last runs."""
        return self.read(overview.pipelines)

    def workers(self) -> list[WorkerRow]:
        """Every worker, with what it runs."""
        return self.read(overview.workers)

    def apply(self, name: str, definition: Mapping[str, Any]) -> tuple[bool, int]:
        """
        Put a definition under a pipeline's name.

        Returns whether that has made a new version, and the number of the one in force.
        Raises DefinitionError with every problem in it, and then changes nothing.
        """
        check_name(name, "pipeline")
        parse_definition(dict(definition))
        return self.write(pipelines.apply, name, dict(definition))

    def pause(self, pipeline: str | None) -> None:
        """Hand out no more jobs of a pipeline, or (None) of any. What runs goes on."""
        self._set_paused(pipeline, True)

    def resume(self, pipeline: str | None) -> None:
        """Take back what `pause` with the same argument did."""
        self._set_paused(pipeline, False)

    def _set_paused(self, pipeline: str | None, paused: bool) -> None:
        if pipeline is None:
            self.write(pipelines.set_all_paused, paused)
        elif not self.write(pipelines.set_paused, pipeline, paused):
            raise NotFoundError(f"there is no pipeline {quoted(pipeline)}")

    # Waiting ----------------------------------------------------------------------------

    @contextmanager
    def beats(
        self, timeout: float | None = None, *, longest: float = LONGEST_PAUSE
    ) -> Generator[Iterator[None]]:
        """
        An iterator that is worth another look at each of its steps: at once, whenever
        something has become of some run, and after `longest` seconds without that. It ends
        with the last look after `timeout` seconds. Raises ConfigurationError while the
        connection is in a transaction, which would see nothing new.
        """
        if self._status is not TransactionStatus.IDLE:
            raise ConfigurationError(
                "a run cannot be waited for within a transaction, since nobody sees it before "
                "that is committed: commit first"
            )
        if not self._owns:
            yield self._steps(timeout, longest, time.sleep)
            return
        with (
            self._explained(),
            bells.listening(self._session, channel(self._session.schema, "runs")),
        ):
            yield self._steps(timeout, longest, lambda seconds: bells.rest(self._session, seconds))

    def _steps(
        self, timeout: float | None, longest: float, rest: Callable[[float], None]
    ) -> Iterator[None]:
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            yield
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                return
            # Who looks at something large does not look all the time.
            rest_for = max(pause, min(now - began, LONGEST_PAUSE))
            rest(rest_for if deadline is None else min(rest_for, deadline - now))
            pause = min(pause * 2, longest)

    # The store --------------------------------------------------------------------------

    def read(
        self, verb: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call a reading verb of the store. The connection is left as it was found."""
        with self._explained(), self._as_found():
            return verb(self._session, *args, **kwargs)

    def read_at_once(self, look: Callable[[Session], T]) -> T:
        """Call what reads several things, all of one instant."""
        with self._explained():
            if self._status is not TransactionStatus.IDLE:
                return look(self._session)
            with run_reads.snapshot(self._session):
                return look(self._session)

    def write(
        self, verb: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call a writing verb of the store: a part of the caller's transaction, where there may be one."""
        with self._explained():
            return verb(self._session, *args, **kwargs)

    @property
    def _status(self) -> TransactionStatus:
        return self._session.connection.info.transaction_status

    @contextmanager
    def _as_found(self) -> Generator[None]:
        connection = self._session.connection
        if connection.autocommit or self._status is not TransactionStatus.IDLE:
            yield
        else:
            with connection.transaction():
                yield

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except (pg.UndefinedTable, pg.UndefinedColumn, pg.InvalidSchemaName) as error:
            raise SchemaError(
                f"the tables of Rush are not in schema {self._session.schema}, or not as this "
                f"Rush knows them ({_first_line(error)}): run `rush db migrate`"
            ) from error
        except pg.CheckViolation as error:
            what = (error.diag.constraint_name or "a rule of the table").replace("_", " ")
            raise ConfigurationError(f"that cannot be stored: {what}") from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise DatabaseError(f"the database is out of reach: {_first_line(error)}") from error
        except psycopg.Error as error:
            raise DatabaseError(f"the database refused: {_first_line(error)}") from error

    # Requests ---------------------------------------------------------------------------

    def _asked_before(self, asked: Mapping[str, Any], key: str) -> int | None:
        """The request that has the key, if it asked for the same; the new one, if it is gone."""
        row = self.write(run_reads.request_of_key, **asked, idempotency_key=key)
        if row is None:
            return self.write(requests.submit, **asked, idempotency_key=key)
        if not row.is_same:
            raise RefusedError(
                f"the idempotency key {quoted(key)} was used for something else: "
                f"request {row.id}, for {row.pipeline}"
            )
        return row.id

    def _run_id(self, ref: str) -> int:
        if _RUN_ID.fullmatch(ref):
            return int(ref)
        name = _RUN_NAME.fullmatch(ref)
        if name is None:
            raise ConfigurationError(f"a run is named by its id or like etl/7, not {quoted(ref)}")
        found = self.read(run_reads.run_id_of, name["pipeline"], int(name["jobinstance"]))
        if found is None:
            raise NotFoundError(f"there is no run {ref}")
        return found


class Run:
    """
    One execution of a pipeline, begun or only asked for. What it says is read anew each time.

    Reading raises RefusedError when the master has rejected the request, and
    NotFoundError when the run is no more.
    """

    def __init__(
        self,
        client: Client,
        pipeline: str,
        *,
        run_id: int | None = None,
        request_id: int | None = None,
    ) -> None:
        self.pipeline = pipeline
        #: The request that it began with, where that is how we know it.
        self.request_id = request_id
        self._client = client
        self._run_id = run_id
        #: Requests whose verdict is not known yet.
        self._undecided = [] if request_id is None else [request_id]

    def __repr__(self) -> str:
        return f"<Run {self.name}>"

    @property
    def name(self) -> str:
        """`etl/7`; while nobody has taken the request, `request 12`."""
        run_id = self.id
        return f"request {self.request_id}" if run_id is None else self._row().name

    @property
    def id(self) -> int | None:
        """None while nobody has taken the request."""
        self._without_run()
        return self._run_id

    @property
    def jobinstance(self) -> int | None:
        """Its number within the pipeline. None while nobody has taken the request."""
        row = self.read()
        return None if row is None else row.jobinstance

    @property
    def state(self) -> RunState | RequestState:
        """Running, Complete, Stuck or Cancelled; before that, Pending or Rejected."""
        request = self._without_run()
        return self._row().state if request is None else request.status

    def read(self) -> RunRow | None:
        """All that there is to say of the run itself. None while nobody has taken the request."""
        request = self._without_run()
        if request is not None:
            _raise_if_rejected(request)
            return None
        row = None if self._run_id is None else self._client.read(run_reads.run, self._run_id)
        if row is None:
            raise NotFoundError(f"there is no run {self._run_id}")
        return row

    def jobs(self) -> list[JobRow]:
        """Every job as it stands, each after those that it waits for."""
        run_id = self.id
        return [] if run_id is None else self._client.read(run_reads.jobs, run_id)

    def result(self, job: str) -> Any:
        """
        What a job has returned. Raises NotFoundError where the pipeline has no such job, or
        it is not Complete.
        """
        run_id = self.id
        found = None if run_id is None else self._client.read(run_reads.result, run_id, job)
        if found is None:
            row = self._job(job)
            if row.state is not JobState.Complete:
                raise NotFoundError(
                    f"{job} of {self.name} has no result: it is {row.state or 'not begun'}"
                )
            return None
        return found[0]

    def logs(
        self, job: str | None = None, *, attempt: int | None = None, follow: bool = False
    ) -> Iterator[LogLine]:
        """
        What its jobs have logged and printed, in the order of time, each line exactly once.

        With `follow` it goes on until the run has ended. Raises NotFoundError for a job that
        the pipeline does not have.
        """
        if job is not None:
            self._job(job)
        reader = _LogReader(self._client, job, attempt)
        if not follow:
            yield from reader.lines_of(self.id)
            return
        with self._client.beats() as beats:
            for _ in beats:
                over = self.is_over()
                yield from reader.lines_of(self.id)
                if over:
                    break
        with self._client.beats(LAST_LINES) as beats:
            for _ in beats:
                yield from reader.lines_of(self.id)

    def wait(self, timeout: float | None = None) -> Self:
        """
        Wait until nothing more happens to it: until it is Complete, Stuck or Cancelled.

        `timeout` is in seconds. Raises RefusedError with the master's reason, GaveUpWaiting
        when the time is over, and ConfigurationError within an open transaction.
        """
        with self._client.beats(timeout) as beats:
            if any(self.is_over() for _ in beats):
                return self
        state = self.state
        why = "; is a worker alive?" if state is RequestState.Pending else ""
        raise GaveUpWaiting(f"{self.name} is still {state} after {timeout:g} s{why}")

    def is_over(self) -> bool:
        """
        Whether nothing more happens to it, all that was asked for being decided. Raises
        RefusedError with the master's reason.
        """
        if not self._decide():
            return False
        row = self._row()
        return row.state.terminal and not row.cancelling

    def wait_for_verdict(self, timeout: float | None = None) -> bool:
        """
        Wait until the master has decided all that was asked for. Returns whether it has.

        Raises RefusedError with its reason.
        """
        with self._client.beats(timeout) as beats:
            return any(self._decide() for _ in beats)

    def cancel(self) -> None:
        """Ask for its end. What runs is told to stop, and is killed if it does not."""
        self._ask(action="cancel")

    def retry(self, job: str | None = None, *, from_beginning: bool = False) -> Sequence[str]:
        """
        Ask for it to run again, in a new round: from `job` on, else from each job that is Stuck,
        or the whole of it. Returns the jobs that it starts from; none for the beginning.

        Raises RefusedError where there is nothing Stuck, and NotFoundError for a job that
        the pipeline does not have.
        """
        if job is not None:
            starts = [self._job(job).name]
        elif from_beginning:
            starts = []
        else:
            starts = [row.name for row in self.jobs() if row.state is JobState.Stuck]
            if not starts:
                raise RefusedError(
                    f"{self.name} is {self.state} and nothing of it is Stuck: "
                    "say from which job it is to run again, or from the beginning"
                )
        for start in starts or [None]:
            self._ask(job=start)
        return starts

    # What it rests on -------------------------------------------------------------------

    def _ask(self, *, action: str = "start", job: str | None = None) -> None:
        row = self._row()
        request_id = self._client.write(
            requests.submit,
            pipeline=row.pipeline,
            jobinstance=row.jobinstance,
            action=action,
            job=job,
        )
        assert request_id is not None
        self._undecided.append(request_id)

    def _is_over(self) -> bool:
        """Whether it rests, all that was asked for being decided."""
        if not self._decide():
            return False
        row = self._row()
        return row.state.terminal and not row.cancelling

    def _decide(self) -> bool:
        """Whether everything is decided. Raises RefusedError with the reason for what was rejected."""
        while self._undecided:
            request = self._request(self._undecided[0])
            if request.status is RequestState.Pending:
                return False
            del self._undecided[0]
            _raise_if_rejected(request)
        return True

    def _without_run(self) -> RequestRow | None:
        """The request that it began with, while that has not become a run."""
        if self._run_id is not None or self.request_id is None:
            return None
        request = self._request(self.request_id)
        if request.status is not RequestState.Accepted:
            return request
        self._run_id = request.run_id
        return None

    def _row(self) -> RunRow:
        row = self.read()
        if row is None:
            raise NotFoundError(f"nobody has taken request {self.request_id} yet")
        return row

    def _job(self, name: str) -> JobRow:
        jobs = self.jobs()
        for row in jobs:
            if row.name == name:
                return row
        raise NotFoundError(
            f"{self.name} has no job {quoted(name)}"
            + (f"; it has {', '.join(job.name for job in jobs[:10])}" if jobs else "")
        )

    def _request(self, request_id: int) -> RequestRow:
        row = self._client.read(run_reads.request, request_id)
        if row is None:
            raise NotFoundError(f"there is no request {request_id}")
        return row


class _LogReader:
    """Remembers how far each attempt's log was read."""

    def __init__(self, client: Client, job: str | None, attempt: int | None) -> None:
        self._client = client
        self._job = job
        self._attempt = attempt
        #: By token: the last part that was read, and the latest time in it.
        self._after: dict[int, int] = {}
        self._latest: dict[int, datetime] = {}

    def lines_of(self, run_id: int | None) -> Iterator[LogLine]:
        """What has come since the last time. Attempts are merged within what is read at once."""
        while run_id is not None:
            parts = self._client.read(
                run_reads.log, run_id, job=self._job, attempt=self._attempt, after=self._after
            )
            if not parts:
                return
            timed = [line for part in parts if self._is_new(part) for line in self._timed(part)]
            timed.sort(key=lambda line: line[0])
            yield from (line for _, line in timed)

    def _is_new(self, part: LogPartRow) -> bool:
        """A part is there twice when its worker did not hear that it was kept."""
        if part.part <= self._after.get(part.token, -1):
            return False
        self._after[part.token] = part.part
        return True

    def _timed(self, part: LogPartRow) -> Iterator[tuple[datetime, LogLine]]:
        """Each line with its place in time, which within an attempt never goes back."""
        for said in read_lines(part.lines, otherwise=part.at):
            latest = max(said.at, self._latest.get(part.token, said.at))
            self._latest[part.token] = latest
            yield (
                latest,
                LogLine(
                    at=said.at,
                    job=part.job,
                    round=part.round,
                    attempt=part.attempt,
                    level=said.level,
                    text=said.text,
                ),
            )


def _raise_if_rejected(request: RequestRow) -> None:
    if request.status is RequestState.Rejected:
        raise RefusedError(request.reason or "rejected")


def _checked_instance(jobinstance: int | None) -> int | None:
    if jobinstance is not None and not 1 <= jobinstance <= MAX_INSTANCE:
        raise ConfigurationError(f"jobinstance must be from 1 to {MAX_INSTANCE}, not {jobinstance}")
    return jobinstance


def _checked_params(params: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if params is None:
        return None
    plain = dict(params)
    strictjson.check(plain)
    return plain


def _checked_key(key: str | None) -> str | None:
    if key is None:
        return None
    strictjson.check(key)
    if not 1 <= len(key) <= MAX_KEY:
        raise ConfigurationError(
            f"an idempotency key must have 1 to {MAX_KEY} characters, not {len(key)}"
        )
    return key


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
