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

A client that was given a URL opens a new connection when it has lost its own: reading goes
on then, waiting sits out an outage, and what was asked for is asked for once. With a
connection of the caller's, a lost one is an error.

A client is for one thread at a time. Every method may raise DatabaseError when the
database is out of reach, and SchemaError when Rush's tables are not there.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.pq import TransactionStatus

from rush.domain import strictjson
from rush.domain.deeds import Doer, this_user
from rush.domain.located import described, fault_of_text
from rush.domain.log_lines import LogLine
from rush.domain.names import NAME_PATTERN, Guesses, check_name, check_text, fault_of_name, quoted
from rush.domain.redaction import redacted
from rush.domain.rows import (
    AttemptRow,
    DefinitionRow,
    JobRow,
    PipelineRow,
    RequestRow,
    RunRow,
    Standing,
    VersionRow,
    WorkerRow,
)
from rush.domain.states import JobState, RequestState, RunState, WorkerState
from rush.errors import (
    ConfigurationError,
    DatabaseError,
    GaveUpWaiting,
    NotFoundError,
    RefusedError,
    RushError,
    SchemaError,
)
from rush.store import attention, audit, bells, overview, requests, run_reads, run_search, workers
from rush.store.bells import LONGEST_PAUSE, Beats, OnOutage
from rush.store.database import connect
from rush.store.log_reader import LogReader
from rush.store.session import Connection, Session, channel

P = ParamSpec("P")
T = TypeVar("T")

#: The last lines of a job that committed by itself come a little after its end.
LAST_LINES = 0.5
#: For so long, in seconds, it is tried to learn what became of a request without an answer.
LONGEST_DOUBT = 30.0

MAX_ID = 2**63 - 1
MAX_INSTANCE = 2**31 - 1
MAX_KEY = 200

_RUN_NAME = re.compile(rf"(?P<pipeline>{NAME_PATTERN})/(?P<jobinstance>\d+)", re.ASCII)
_RUN_ID = re.compile(r"\d+", re.ASCII)


class Client:
    """
    Asks for runs and reads them, in the schema that Rush's tables are in.

    `database` is a URL, or an open connection of the caller's, which stays the caller's.
    `settle` is done to each session that the client opens. `doer` is who does what is done,
    else the user that this process runs as. Raises ConfigurationError for a URL or a schema's
    name that cannot be right.
    """

    def __init__(
        self,
        database: str | Connection,
        schema: str = "rush",
        *,
        name: str = "rush client",
        settle: Callable[[Session], None] = Session.settle_plans,
        doer: Doer | None = None,
    ) -> None:
        self._schema = schema
        self._name = name
        # A pipeline of thousands of jobs that was applied just now has no statistics yet.
        self._settle = settle
        #: None: the connection is the caller's.
        self._url = database if isinstance(database, str) else None
        self._closed = False
        self._doer = doer or this_user("client")
        #: The requests that have been made by the deed that goes on; None: there is none.
        self._made: list[int] | None = None
        #: How many waits there are, one within the other, that want to hear bells.
        self._listeners = 0
        if isinstance(database, str):
            with self._explained():
                self._session = self._opened(database)
        else:
            self._session = Session(database, schema, prepare=False)

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
        self._closed = True
        if self._url is not None:
            self._session.connection.close()

    # Deeds ------------------------------------------------------------------------------

    @property
    def doer(self) -> Doer:
        """Who does what is done."""
        return self._doer

    @contextmanager
    def doing(self, doer: Doer) -> Generator[Self]:
        """Let what is done in the block be done by somebody."""
        before, self._doer = self._doer, doer
        try:
            yield self
        finally:
            self._doer = before

    @contextmanager
    def deed(
        self, action: str, target: str, detail: Mapping[str, Any] | None = None, *, why: str = ""
    ) -> Generator[None]:
        """
        Something that is done in the block, noted in `audit` before and after, with the requests
        that it makes. Within another it is a part of that. What only makes requests need not
        be one: those are rows themselves. What was asked for by a wrong name, or with what cannot
        be right, is no deed, and leaves nothing.
        """
        if self._made is not None:
            yield
            return
        deed = self._begin_deed(action, target, detail, why)
        made = self._made = []
        outcome: str | None = "failed"
        try:
            yield
            outcome = "done"
        except RushError as error:
            was_wrong = isinstance(error, NotFoundError | ConfigurationError) and not made
            outcome = None if was_wrong else f"failed: {error}"
            raise
        finally:
            self._made = None
            # Where the database has gone, nobody knows what came of it.
            with suppress(DatabaseError):
                if outcome is None:
                    self.write(audit.withdraw_deed, deed)
                else:
                    self.write(audit.end_deed, deed, outcome, made)

    def _begin_deed(
        self, action: str, target: str, detail: Mapping[str, Any] | None, why: str
    ) -> int:
        """Sits out an outage as what follows does. One that was noted twice came to nothing known."""

        def begin() -> int:
            return self.write(
                audit.begin_deed,
                who=self._doer.who,
                via=self._doer.via,
                action=action,
                target=target,
                detail=redacted(detail),
                why=why,
            )

        if self._url is None:
            return begin()
        return bells.outlast(begin, lost=self._is_lost, patience=LONGEST_DOUBT)

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

        With a connection of the client's own, an outage is sat out for half a minute, and
        however it ends nothing is asked for twice.
        """
        request_id = self.ask(
            key=_checked_key(idempotency_key),
            action="start",
            pipeline=check_name(pipeline, "pipeline"),
            job=None if job is None else check_name(job, "job"),
            jobinstance=_checked_instance(jobinstance),
            params=_checked_params(params),
        )
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
        unresolved: bool = False,
    ) -> list[RunRow]:
        """
        Runs, the newest first; those with an id below `before`; only those with something Stuck
        that nobody has looked at, if they are to be `unresolved`. Raises ConfigurationError for a
        name that no pipeline can have, and for numbers that are none.
        """
        if pipeline is not None:
            check_name(pipeline, "pipeline")
        _check_number(limit, "limit", 1)
        if before is not None:
            _check_number(before, "before", 0)
        if unresolved:
            states = () if state is None else (state,)
            like = run_search.RunFilter(pipeline=pipeline, states=states, unresolved=True)
            return self.read(run_search.find_runs, like, limit=limit, before=before).runs
        return self.read(
            run_reads.list_runs, pipeline=pipeline, state=state, limit=limit, before=before
        )

    def acknowledge(self, run_ids: Sequence[int], *, why: str = "") -> list[int]:
        """
        Say that somebody has looked at what is Stuck of these runs. Returns those of them that
        needed it.
        """
        with self.deed("acknowledge", f"{len(run_ids)} runs", {"runs": run_ids}, why=why):
            return self.write(attention.acknowledge, run_ids, who=self._doer.who, why=why)

    def last_request(self, pipeline: str, jobinstance: int | None = None) -> RequestRow | None:
        """What was asked for last about a pipeline, or about one run of it."""
        return self.read(run_reads.last_request, pipeline, jobinstance)

    def _run_id(self, ref: str) -> int:
        name = _RUN_NAME.fullmatch(ref)
        if name is None and not _RUN_ID.fullmatch(ref):
            raise ConfigurationError(f"a run is named by its id or like etl/7, not {quoted(ref)}")
        found = None
        if name is None:
            found = _small(ref, MAX_ID)
        elif (number := _small(name["jobinstance"], MAX_INSTANCE)) is not None:
            found = self.read(run_reads.run_id_of, name["pipeline"], number)
        if found is None:
            raise NotFoundError(f"there is no run {quoted(ref)[1:-1]}")
        return found

    # Pipelines --------------------------------------------------------------------------

    def pipelines(self) -> list[PipelineRow]:
        """Every pipeline, with its newest version and its last runs."""
        return self.read(overview.pipelines)

    def pipeline(self, name: str) -> DefinitionRow:
        """A pipeline's definition. Raises NotFoundError, with what was probably meant."""
        check_text(name, "pipeline")
        row = None if fault_of_name(name) else self.read(overview.pipeline, name)
        if row is None:
            raise self._no_pipeline(name)
        return row

    def versions(self, name: str) -> list[VersionRow]:
        """Every version of a pipeline's definition, the newest first."""
        return self.read(overview.versions, self.pipeline(name).name)

    def apply(self, name: str, definition: Mapping[str, Any], *, why: str = "") -> tuple[bool, int]:
        """
        Put a definition under a pipeline's name.

        Returns whether that has made a new version, and the number of the one in force.
        Raises DefinitionError with every problem in it, and then changes nothing. What changes
        nothing is no deed.
        """
        # Only who applies a definition pays for what checks it.
        from rush.domain.definition import parse_definition
        from rush.store import pipelines

        check_name(name, "pipeline")
        plain = _plain(definition)
        parse_definition(plain)
        if (version := self.read(pipelines.in_force, name, plain)) is not None:
            return False, version
        with self.deed("apply", name, why=why):
            return self.write(pipelines.apply, name, plain)

    def pause(self, pipeline: str | None, *, why: str = "") -> None:
        """Hand out no more jobs of a pipeline, or (None) of any. What runs goes on."""
        self._switch("pause", pipeline, True, why=why)

    def resume(self, pipeline: str | None, *, why: str = "") -> None:
        """Take back what `pause` with the same argument did."""
        self._switch("resume", pipeline, False, why=why)

    def _switch(self, action: str, pipeline: str | None, paused: bool, *, why: str) -> None:
        if pipeline is not None:
            check_text(pipeline, "pipeline")
            if fault_of_name(pipeline):
                raise self._no_pipeline(pipeline)
        with self.deed(action, pipeline or "everything", why=why):
            self._set_paused(pipeline, paused)

    def _set_paused(self, pipeline: str | None, paused: bool) -> None:
        if pipeline is None:
            self.write(Session.run, "set_all_paused", paused=paused)
            return
        if not self.write(Session.many, "set_paused", name=pipeline, paused=paused):
            raise self._no_pipeline(pipeline)

    def _no_pipeline(self, name: str) -> NotFoundError:
        meant = Guesses(row.name for row in self.pipelines()).ending(name)
        return NotFoundError(f"there is no pipeline {quoted(name)}{meant}")

    # Workers ----------------------------------------------------------------------------

    def workers(self) -> list[WorkerRow]:
        """Every worker, with what it runs."""
        return self.read(overview.workers)

    def standing(self) -> Standing:
        """Who is master, whether everything is paused, and how many workers could take a job."""
        return self.read(overview.standing)

    def drain(self, worker: str, *, why: str = "") -> None:
        """Let a worker take no more jobs. Raises NotFoundError for one that is not alive."""
        check_text(worker, "worker")
        if fault_of_name(worker):
            raise self._not_alive(worker)
        with self.deed("drain", f"worker {worker}", why=why):
            self._drain(worker)

    def _drain(self, worker: str) -> None:
        worker_id = self.write(workers.drain, worker)
        if worker_id is not None:
            self._ring(worker_id)
        elif not any(
            row.name == worker and row.state is WorkerState.Draining for row in self.workers()
        ):
            raise self._not_alive(worker)

    def reload(self, worker: str | None = None, *, why: str = "") -> list[str]:
        """
        Let workers, one or all that are alive, load the project's code anew. Returns who they are.

        Raises NotFoundError for one that is not alive.
        """
        if worker is not None:
            check_text(worker, "worker")
            if fault_of_name(worker):
                raise self._not_alive(worker)
        with self.deed("reload", f"worker {worker}" if worker else "all workers", why=why):
            return self._reload(worker)

    def _reload(self, worker: str | None) -> list[str]:
        asked = self.write(workers.request_reload, worker)
        if worker is not None and not asked:
            raise self._not_alive(worker)
        self._ring(*(row.id for row in asked))
        return [row.name for row in asked]

    def _ring(self, *worker_ids: int) -> None:
        if worker_ids:
            names = [channel(self._schema, "worker", worker_id) for worker_id in worker_ids]
            self.write(Session.notify, *names)

    def _not_alive(self, name: str) -> NotFoundError:
        alive = [row.name for row in self.workers() if row.state is not WorkerState.Dead]
        return NotFoundError(f"no worker {quoted(name)} is alive{Guesses(alive).ending(name)}")

    # Waiting ----------------------------------------------------------------------------

    @contextmanager
    def beats(
        self,
        timeout: float | None = None,
        *,
        longest: float = LONGEST_PAUSE,
        on_outage: OnOutage | None = None,
    ) -> Generator[Beats]:
        """
        Steps that are each worth a look at runs: the first at once, then whenever something
        has become of some run, and after `longest` seconds without that. They end with the
        last look after `timeout` seconds. A look by way of their `outlast` sits out an outage,
        of which `on_outage` is told.

        Raises ConfigurationError while the connection is in a transaction, which would see
        nothing new.
        """
        _check_timeout(timeout)
        if self._status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            raise ConfigurationError(
                "a run cannot be waited for within a transaction, since nobody sees it before "
                "that is committed: commit first"
            )
        beats = Beats(
            time.sleep if self._url is None else self._rest,
            self._is_lost,
            timeout=timeout,
            longest=longest,
            on_outage=on_outage,
        )
        if self._url is None:
            yield beats
        else:
            with self._hearing(beats):
                yield beats

    def _rest(self, seconds: float) -> None:
        with self._explained():
            bells.rest(self._session, seconds)

    @contextmanager
    def _hearing(self, beats: Beats) -> Generator[None]:
        """Hear of runs, also on the connections that take the place of this one."""
        self._listeners += 1
        try:
            if self._listeners == 1:
                beats.outlast(lambda: self.read(Session.listen, self._bell))
            yield
        finally:
            self._listeners -= 1
            if not self._listeners and not self._is_lost():
                with suppress(DatabaseError), self._explained():
                    self._session.unlisten(self._bell)

    @property
    def _bell(self) -> str:
        return channel(self._schema, "runs")

    # The store --------------------------------------------------------------------------

    def read(
        self, verb: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call a reading verb of the store. The connection is left as it was found."""

        def look(session: Session) -> T:
            with self._as_found():
                return verb(session, *args, **kwargs)

        return self._anew_if_lost(look)

    def read_at_once(
        self, verb: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call what reads several things, all of one instant."""

        def look(session: Session) -> T:
            if self._status is not TransactionStatus.IDLE:
                return verb(session, *args, **kwargs)
            with run_reads.snapshot(session):
                return verb(session, *args, **kwargs)

        return self._anew_if_lost(look)

    def write(
        self, verb: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """
        Call a writing verb of the store: a part of the caller's transaction, where there may be one.

        When the connection is lost in the middle, it may or may not have been done.
        """
        if self._url is not None:
            # One that was lost while nobody used it is replaced before anything is written.
            self._anew_if_lost(bells.ping)
        with self._explained():
            return verb(self._session, *args, **kwargs)

    def write_requests(
        self,
        verb: Callable[Concatenate[Session, P], run_search.Found],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> run_search.Found:
        """Call a verb of the store that makes many requests: a part of the deed that goes on."""
        found = self.write(verb, *args, **kwargs)
        if self._made is not None:
            self._made.extend(found.requests)
        return found

    def ask(self, *, key: str | None = None, **asked: Any) -> int:
        """
        Make a run request: `pipeline`, `job`, `jobinstance`, `action`, `params`. Returns its id,
        or that of the request which has the key already.

        Where the connection is the client's own, a request whose commit got no answer is
        looked up by its key. Raises RefusedError for a key that was used for something else.
        """
        request_id = self._ask(key, asked)
        if self._made is not None:
            self._made.append(request_id)
        return request_id

    def _ask(self, key: str | None, asked: Mapping[str, Any]) -> int:
        if self._url is None:
            with self._explained():
                return _asked(self._session, asked, key)
        own = key or f"auto:{uuid.uuid4().hex}"
        try:
            return bells.outlast(
                lambda: self._anew_if_lost(lambda session: _asked(session, asked, own)),
                lost=self._is_lost,
                patience=LONGEST_DOUBT,
            )
        except DatabaseError as error:
            if not self._is_lost():
                raise
            raise DatabaseError(
                f"{error}; it is not known whether the request was made: asked again with the "
                f"idempotency key {own} it is not made twice"
            ) from error

    # The connection ---------------------------------------------------------------------

    def _opened(self, url: str) -> Session:
        connection = connect(url, application_name=self._name)
        try:
            session = Session(connection, self._schema, prepare=False)
            self._settle(session)
        except BaseException:
            connection.close()
            raise
        if self._listeners:
            session.listen(self._bell)
        return session

    def _is_lost(self) -> bool:
        """Whether a connection of the client's own is gone, and not by `close`."""
        return self._url is not None and not self._closed and self._session.connection.closed

    def _anew_if_lost(self, look: Callable[[Session], T]) -> T:
        """
        What `look` gives; on a new connection, when the client's own turns out to be lost. It
        may have been called before, then, and must do no harm twice.
        """
        with self._explained():
            if not self._is_lost():
                try:
                    return look(self._session)
                except psycopg.OperationalError:
                    if not self._is_lost():
                        raise
            assert self._url is not None
            self._session = self._opened(self._url)
            return look(self._session)

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
        except UnicodeEncodeError as error:
            half = error.object[error.start : error.end]
            raise ConfigurationError(
                f"{quoted(error.object)} is no text that PostgreSQL keeps: "
                f"it has half of a surrogate pair, {ascii(half)[1:-1]}"
            ) from error
        except (pg.UndefinedTable, pg.UndefinedColumn, pg.InvalidSchemaName) as error:
            raise SchemaError(
                f"the tables of Rush are not in schema {self._schema}, or not as this "
                f"Rush knows them ({_first_line(error)}): run `rush db migrate`"
            ) from error
        except pg.CheckViolation as error:
            what = (error.diag.constraint_name or "a rule of the table").replace("_", " ")
            raise ConfigurationError(f"that cannot be stored: {what}") from error
        except pg.QueryCanceled as error:
            raise DatabaseError(f"the database took too long: {_first_line(error)}") from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise DatabaseError(f"the database is out of reach: {_first_line(error)}") from error
        except psycopg.Error as error:
            raise DatabaseError(f"the database refused: {_first_line(error)}") from error


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

    def attempts(self, job: str | None = None) -> list[AttemptRow]:
        """What has been tried, in the order of time, with what is being tried now."""
        run_id = self.id
        return [] if run_id is None else self._client.read(run_reads.attempts, run_id, job=job)

    def result(self, job: str) -> Any:
        """
        What a job has returned. Raises NotFoundError where the pipeline has no such job, or
        it is not Complete.
        """
        check_text(job, "job")
        run_id = self.id
        found = None
        if run_id is not None and not fault_of_name(job):
            found = self._client.read(run_reads.result, run_id, job)
        if found is None:
            row = self._job(job)
            if row.state is not JobState.Complete:
                raise NotFoundError(
                    f"{job} of {self.name} has no result: it is {row.state or 'not begun'}"
                )
            return None
        return found[0]

    def logs(
        self,
        job: str | None = None,
        *,
        attempt: int | None = None,
        follow: bool = False,
        on_outage: OnOutage | None = None,
    ) -> Iterator[LogLine]:
        """
        What its jobs have logged and printed, in the order of time, each line exactly once.

        With `follow` it goes on until the run has ended; while the database is out of reach,
        `on_outage` is told. Raises NotFoundError for a job that the pipeline does not have.
        """
        if job is not None:
            self._job(job)
        reader = LogReader(job, attempt)

        def look() -> list[LogLine] | None:
            run_id = self.id
            return None if run_id is None else self._client.read(reader.more, run_id)

        if follow:
            yield from self._followed(look, on_outage)
        else:
            yield from chain.from_iterable(iter(look, None))

    def _followed(
        self, look: Callable[[], list[LogLine] | None], on_outage: OnOutage | None
    ) -> Iterator[LogLine]:
        with self._client.beats(on_outage=on_outage) as beats:

            def lines() -> Iterator[LogLine]:
                return chain.from_iterable(iter(lambda: beats.outlast(look), None))

            for _ in beats:
                over = beats.outlast(self.is_over)
                yield from lines()
                if over:
                    break
            with self._client.beats(LAST_LINES) as last:
                for _ in last:
                    yield from lines()

    def wait(self, timeout: float | None = None) -> Self:
        """
        Wait until nothing more happens to it: until it is Complete, Stuck or Cancelled.

        `timeout` is in seconds. Raises RefusedError with the master's reason, GaveUpWaiting
        when the time is over, and ConfigurationError within an open transaction. An outage of
        the database is sat out, for five minutes where there is no `timeout`; DatabaseError
        after that.
        """
        with self._client.beats(timeout) as beats:
            if any(beats.outlast(self.is_over) for _ in beats):
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
            return any(beats.outlast(self._decide) for _ in beats)

    def cancel(self) -> None:
        """Ask for its end. What runs is told to stop, and is killed if it does not."""
        self._ask(action="cancel")

    def retry(
        self,
        job: str | None = None,
        *,
        from_beginning: bool = False,
        params: Mapping[str, Any] | None = None,
    ) -> Sequence[str]:
        """
        Ask for it to run again, in a new round: from `job` on, else from each job that is Stuck,
        or the whole of it; with these parameters in place of those that it had by their names.
        Returns the jobs that it starts from; none for the beginning.

        Raises RefusedError where there is nothing Stuck, and NotFoundError for a job that
        the pipeline does not have.
        """
        changed = _checked_params(params)
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
            self._ask(job=start, params=changed)
        return starts

    def acknowledge(self, *, why: str = "") -> None:
        """
        Say that somebody has looked at what is Stuck of it, so that it needs attention no more.
        What gets Stuck after that does again. Raises RefusedError where there is nothing.
        """
        row = self._row()
        with self._client.deed("acknowledge", row.name, why=why):
            if not self._client.acknowledge([row.id], why=why):
                raise RefusedError(f"nothing of {row.name} is Stuck that still needs somebody")

    # What it rests on -------------------------------------------------------------------

    def _ask(
        self,
        *,
        action: str = "start",
        job: str | None = None,
        params: dict[str, Any] | None = None,
    ) -> None:
        row = self._row()
        request_id = self._client.ask(
            pipeline=row.pipeline,
            jobinstance=row.jobinstance,
            action=action,
            job=job,
            params=params,
        )
        self._undecided.append(request_id)

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


def _asked(session: Session, asked: Mapping[str, Any], key: str | None) -> int:
    """Make a request, unless the key says that it was made before. Returns its id."""
    while (request_id := requests.submit(session, **asked, idempotency_key=key)) is None:
        assert key is not None
        row = run_reads.request_of_key(session, **asked, idempotency_key=key)
        if row is None:
            # It is gone since.
            continue
        if not row.is_same:
            raise RefusedError(
                f"the idempotency key {quoted(key)} was used for something else: "
                f"request {row.id}, for {row.pipeline}"
            )
        return row.id
    return request_id


def _raise_if_rejected(request: RequestRow) -> None:
    if request.status is RequestState.Rejected:
        raise RefusedError(request.reason or "rejected")


def _plain(mapping: object) -> Any:
    """A mapping as a dict; anything else as it is, for what checks it to say so."""
    return dict(mapping) if isinstance(mapping, Mapping) else mapping


def _small(digits: str, limit: int) -> int | None:
    """The number that some digits make, unless it is beyond the limit."""
    digits = digits.lstrip("0") or "0"
    number = int(digits) if len(digits) <= len(str(limit)) else limit + 1
    return number if number <= limit else None


def _checked_instance(jobinstance: object) -> int | None:
    if jobinstance is None:
        return None
    if isinstance(jobinstance, bool) or not isinstance(jobinstance, int):
        raise ConfigurationError(
            f"jobinstance must be a whole number, not a Python {type(jobinstance).__name__}"
        )
    if not 1 <= jobinstance <= MAX_INSTANCE:
        raise ConfigurationError(
            f"jobinstance must be from 1 to {MAX_INSTANCE}, not {described(jobinstance)}"
        )
    return jobinstance


def _check_number(number: object, what: str, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int):
        raise ConfigurationError(
            f"{what} must be a whole number, not a Python {type(number).__name__}"
        )
    if not least <= number <= MAX_ID:
        raise ConfigurationError(
            f"{what} must be from {least} to {MAX_ID}, not {described(number)}"
        )


def _check_timeout(timeout: object) -> None:
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise ConfigurationError(
            f"timeout must be a number of seconds, not a Python {type(timeout).__name__}"
        )
    if not timeout >= 0:
        raise ConfigurationError(f"timeout must be 0 or more seconds, not {timeout}")


def _checked_params(params: object) -> dict[str, Any] | None:
    if params is None:
        return None
    if not isinstance(params, Mapping):
        raise ConfigurationError(
            f"params must be a mapping of names to values, not a Python {type(params).__name__}"
        )
    plain: dict[str, Any] = dict(params)
    strictjson.check(plain, within="params")
    return plain


def _checked_key(key: object) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str):
        raise ConfigurationError(
            f"an idempotency key must be text, not a Python {type(key).__name__}"
        )
    if fault := fault_of_text(key):
        raise ConfigurationError(f"an idempotency key {fault}")
    if not 1 <= len(key) <= MAX_KEY:
        raise ConfigurationError(
            f"an idempotency key must have 1 to {MAX_KEY} characters, not {len(key)}"
        )
    return key


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
