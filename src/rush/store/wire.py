"""
A session whose statements travel together.

The connection is in libpq's pipeline mode: statements are sent one behind the other, and
their answers are waited for only where somebody asks for them. So a transaction of many
statements costs one round trip, or two where a decision lies between. It speaks to libpq
itself, since a cursor costs more than most of the statements here.

    with wire.transaction():
        completed = wire.send("complete", …)
        claimed = wire.send("claim", …)
    completed(), claimed()

Nobody has to wait: what is sent in `sending()` is on its way, the caller may do something
else, listen to `fileno()`, and ask `arrived()` whether all answers are here.

Every wait has a deadline: a server that takes a statement and never answers, or a path
that swallows what is sent, must not hold a worker for ever. What was sent by then is an
unknown commit, and the connection is of no more use.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections import deque, namedtuple
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from rush.store.session import Connection, Session

#: How long an answer is waited for, in seconds.
PATIENCE = 20.0
#: How long a transaction may rest between two statements, in seconds. None does, but for a busy machine.
REST = 5.0

_FINE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


class Wire(Session):
    """A session of a connection that nobody else uses: not even through its cursors."""

    def __init__(
        self,
        connection: Connection,
        schema: str,
        *,
        prepare: bool = True,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(connection, schema, prepare=prepare)
        #: How many seconds an answer is waited for.
        self.patience = patience
        self._pg = connection.pgconn
        self._sent: deque[_Sent] = deque()
        self._prepared: set[str] = set()
        self._in_transaction = False
        #: The end of what was sent and not waited for, and the first error that came for it.
        self._end: _Sent | None = None
        self._problem: psycopg.Error | None = None
        self._flushed = True
        #: What each transaction begins with saying; and whether the one that is open has said it.
        self._settings: dict[str, str] = {}
        self._said = False

    def bound(self, patience: float) -> None:
        """
        Wait so many seconds for an answer, and let the server give up a little before that. It also
        ends a session that rests in a transaction, or makes no end of one: that is of a process
        that was frozen, and its locks are in the way of those who take its place.
        """
        settings = {
            "statement_timeout": str(int(patience * 900)),
            "idle_in_transaction_session_timeout": str(int(REST * 1000)),
        }
        if self.connection.info.server_version >= 170000:
            settings["transaction_timeout"] = str(int(patience * 3000))
        self.set(settings)
        self.patience = patience

    def set(self, settings: Mapping[str, str]) -> None:
        """Behind a pooler it is said anew in each transaction, in the same round trip."""
        super().set(settings)
        if self.pooled:
            self._settings |= settings

    def send(self, name: str, /, **params: Any) -> Callable[[], list[Any]]:
        sent = self._send(name, params)
        return lambda: self._rows(self._result(sent))

    def many(self, name: str, /, **params: Any) -> list[Any]:
        return self._rows(self._result(self._send(name, params)))

    def one(self, name: str, /, **params: Any) -> Any:
        rows = self.many(name, **params)
        return rows[0] if rows else None

    def run(self, name: str, /, **params: Any) -> int:
        return self._result(self._send(name, params)).command_tuples or 0

    def execute(self, statement: sql.SQL | sql.Composed) -> None:
        self._result(self._send_text(statement.as_bytes(self.connection)))

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Raises what a statement in it has met, when its answer is read: at the end, at the latest."""
        self._in_transaction = True
        try:
            self._send_text(b"BEGIN")
            yield
            self._send_text(b"COMMIT")
            self._synchronise()
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._in_transaction = False

    @contextmanager
    def sending(self) -> Generator[None]:
        """
        One commit for what is sent in here, without the two statements that a transaction
        costs, and without waiting: an answer that is asked for afterwards is waited for then.
        """
        try:
            yield
        except BaseException:
            # What has been sent would be committed by whatever is sent next.
            self.connection.close()
            raise
        self._problem = None
        self._end = self._finish()
        self._flushed = not self._pg.flush()

    def fileno(self) -> int:
        return self._pg.socket

    @property
    def unsent(self) -> bool:
        """The path takes no more for now: listen for it to be writable too."""
        return not self._flushed

    def arrived(self) -> bool:
        """
        Take in what is here, without waiting; say whether that is all. Raises the first error
        that is in it then.
        """
        end = self._end
        if end is None:
            return True
        self._flushed = not self._pg.flush()
        self._pg.consume_input()
        if not self._flushed:
            # Reading what is here would wait for the path to take the rest.
            return False
        while not end.results:
            if self._pg.is_busy():
                return False
            self._take_next()
        self._end = None
        if self._problem is not None:
            raise self._problem
        return True

    # Bells --------------------------------------------------------------------------------

    def rung(self) -> bool:
        """Whether bells have rung since the last time; some come with answers."""
        heard = False
        while self._pg.notifies() is not None:
            heard = True
        return heard

    def hear(self) -> bool:
        """Read what has come while nothing was asked, and say whether a bell has rung."""
        self._pg.consume_input()
        return self.rung()

    # Sending ------------------------------------------------------------------------------

    def _send(self, name: str, params: dict[str, Any]) -> _Sent:
        query = self._queries[name]
        values = [_dumped(params[parameter]) for parameter in query.parameters]
        self._enter()
        self._say_settings()
        if not self.prepare:
            self._pg.send_query_params(query.numbered, values)
            return self._awaited(name)
        if name not in self._prepared:
            self._pg.send_prepare(name.encode(), query.numbered)
            self._prepared.add(name)
            self._awaited(name, prepares=True)
        self._pg.send_query_prepared(name.encode(), values)
        return self._awaited(name)

    def _send_text(self, text: bytes) -> _Sent:
        self._enter()
        self._pg.send_query_params(text, None)
        return self._awaited(text.decode())

    def _enter(self) -> None:
        if self._pg.pipeline_status == PipelineStatus.OFF:
            self._pg.nonblocking = 1
            self._pg.enter_pipeline_mode()

    def _say_settings(self) -> None:
        if self._said or not self._settings:
            return
        self._said = True
        # Not SET LOCAL, which wants a BEGIN: a transaction may be the statements up to the next sync.
        calls = ", ".join(
            f"set_config('{name}', '{value}', true)" for name, value in self._settings.items()
        )
        self._pg.send_query_params(f"SELECT {calls}".encode(), None)
        self._awaited("settings")

    def _awaited(self, name: str, *, prepares: bool = False) -> _Sent:
        sent = _Sent(name, prepares, [])
        self._sent.append(sent)
        return sent

    # Reading ------------------------------------------------------------------------------

    def _result(self, sent: _Sent) -> PGresult:
        """The answer to what was sent. Outside of a transaction it is committed then."""
        if not sent.results:
            if self._in_transaction:
                # A sync, though a flush would do: only after one does the server count how long
                # this transaction rests.
                self._pg.pipeline_sync()
                self._sent.append(_Sent("sync", False, []))
                self._read_until(sent)
            elif self._end is not None:
                self._await_end()
            else:
                self._synchronise()
        (result,) = sent.results
        if result.status not in _FINE:
            raise error_from_result(result)
        return result

    def _synchronise(self) -> None:
        """Read all that is under way. Raises the first error that is in it."""
        if problem := self._settle():
            raise problem

    def _settle(self) -> psycopg.Error | None:
        self._problem = None
        end = self._finish()
        while not end.results:
            self._take_next()
        return self._problem

    def _finish(self) -> _Sent:
        """Mark the end of what belongs together: the server commits there, and answers."""
        self._pg.pipeline_sync()
        self._said = False
        end = _Sent("sync", False, [])
        self._sent.append(end)
        return end

    def _await_end(self) -> None:
        end, self._end = self._end, None
        assert end is not None
        while not end.results:
            self._take_next()
        if self._problem is not None:
            raise self._problem

    def _take_next(self) -> None:
        """Read the next answer, and remember the first error. Raises when the connection is lost."""
        try:
            self._read_next()
        except psycopg.Error as error:
            if self.connection.closed:
                raise
            self._problem = self._problem or error

    def _read_until(self, sent: _Sent) -> None:
        while not sent.results:
            self._read_next()

    def _read_next(self) -> None:
        """Read the answer to the oldest statement that has none. Raises its error."""
        until = time.monotonic() + self.patience
        result = self._next_result(until)
        if result is None:
            # libpq says so behind each statement's answer.
            return
        if self._failed_at_sync(result):
            # It is the commit's, and the sync's own answer is still to come.
            raise error_from_result(result)
        sent = self._sent.popleft()
        sent.results.append(result)
        if result.status in _FINE or result.status == ExecStatus.PIPELINE_SYNC:
            return
        if sent.prepares:
            self._prepared.discard(sent.name)
        if result.status == ExecStatus.PIPELINE_ABORTED:
            return
        if self._pg.status == ConnStatus.BAD:
            raise self._lost(result.get_error_message())
        raise error_from_result(result)

    def _failed_at_sync(self, result: PGresult) -> bool:
        """Whether the commit that comes with a sync has failed: a constraint that is checked last."""
        return (
            result.status == ExecStatus.FATAL_ERROR
            and self._sent[0].name == "sync"
            and self._pg.status != ConnStatus.BAD
        )

    def _next_result(self, until: float) -> PGresult | None:
        while self._pg.flush():
            self._await(select.POLLIN | select.POLLOUT, until)
            self._pg.consume_input()
        while self._pg.is_busy():
            self._await(select.POLLIN, until)
            self._pg.consume_input()
        result = self._pg.get_result()
        if result is None and self._pg.status == ConnStatus.BAD:
            raise self._lost("the connection is lost")
        return result

    def _await(self, events: int, until: float) -> None:
        poll = select.poll()
        poll.register(self._pg.socket, events)
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise self._lost(f"no answer within {self.patience:g} s")

    def _lost(self, reason: str) -> psycopg.OperationalError:
        self.connection.close()
        return psycopg.OperationalError(reason)

    def _roll_back(self) -> None:
        """End a transaction that must leave nothing. What it met by then is not said again."""
        with contextlib.suppress(psycopg.Error):
            self._settle()
            if self._pg.transaction_status != TransactionStatus.IDLE:
                self._send_text(b"ROLLBACK")
                self._settle()

    def _rows(self, result: PGresult) -> list[Any]:
        if result.status != ExecStatus.TUPLES_OK:
            return []
        transformer = Transformer(self.connection)
        transformer.set_pgresult(result)
        names = tuple(result.fname(i) or b"" for i in range(result.nfields))
        return transformer.load_rows(0, result.ntuples, _row_maker(names))


class _Sent(NamedTuple):
    """A statement under way: its answer comes into `results`."""

    name: str
    prepares: bool
    results: list[PGresult]


@cache
def _row_maker(names: tuple[bytes, ...]) -> Callable[[Sequence[Any]], Any]:
    return namedtuple("Row", [name.decode() for name in names])._make  # pyright: ignore[reportUntypedNamedTuple] (the names come from the query)


def _dumped(value: Any) -> bytes | None:
    """A value as PostgreSQL reads it. It finds the type by itself, the same at every call."""
    match value:
        case None:
            return None
        case bool():
            return b"t" if value else b"f"
        case datetime():
            return value.isoformat().encode()
        case _:
            return str(value).encode()
