"""
The way of a client to Rush's tables: one connection, which is its own or its caller's.

One of its own that is lost is replaced: what only reads is read again, what would write is written
on the new one, if nothing of it can have been written. What PostgreSQL says is told in Rush's errors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.pq import TransactionStatus

from rush.client.checks import check_timeout
from rush.domain.names import quoted
from rush.errors import ConfigurationError, DatabaseError, SchemaError
from rush.store import bells, run_reads
from rush.store.bells import LONGEST_PAUSE, Beats, OnOutage
from rush.store.database import connect
from rush.store.session import Connection, Session, channel

P = ParamSpec("P")
T = TypeVar("T")

#: For so long, in seconds, it is tried to learn what became of a request without an answer.
LONGEST_DOUBT = 30.0


class Link:
    """
    `database` is a URL, or an open connection of the caller's, which stays the caller's. `settle`
    is done to each session that is opened here.
    """

    def __init__(
        self,
        database: str | Connection,
        schema: str,
        *,
        name: str,
        settle: Callable[[Session], None],
    ) -> None:
        self._schema = schema
        self._name = name
        # A pipeline of thousands of jobs that was applied just now has no statistics yet.
        self._settle = settle
        #: None: the connection is the caller's.
        self._url = database if isinstance(database, str) else None
        self._closed = False
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
        check_timeout(timeout)
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

    def _outlast(self, do: Callable[[], T]) -> T:
        """What something gives that does no harm twice, though there be an outage of some seconds."""
        return bells.outlast(do, lost=self._is_lost, patience=LONGEST_DOUBT)

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


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
