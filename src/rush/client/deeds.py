"""
What is done and asked for by way of a client, and who does it.

A deed is noted in `audit`. A run request is a row itself, which is made once, whatever becomes of
the connection on the way.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from rush.client.link import Link
from rush.domain.deeds import Doer, this_user
from rush.domain.names import quoted
from rush.domain.redaction import redacted
from rush.errors import ConfigurationError, DatabaseError, NotFoundError, RefusedError, RushError
from rush.store import audit, requests, run_reads, run_search
from rush.store.session import Connection, Session

P = ParamSpec("P")
T = TypeVar("T")


class Deeds(Link):
    """A link over which somebody does something."""

    def __init__(
        self,
        database: str | Connection,
        schema: str,
        *,
        name: str,
        settle: Callable[[Session], None],
        doer: Doer | None,
    ) -> None:
        super().__init__(database, schema, name=name, settle=settle)
        self._doer = doer or this_user("client")
        #: The requests that have been made by the deed that goes on; None: there is none.
        self._made: list[int] | None = None

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

        return begin() if self._url is None else self._outlast(begin)

    # Requests ---------------------------------------------------------------------------

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
            return self._outlast(
                lambda: self._anew_if_lost(lambda session: _asked(session.often, asked, own))
            )
        except DatabaseError as error:
            if not self._is_lost():
                raise
            raise DatabaseError(
                f"{error}; it is not known whether the request was made: asked again with the "
                f"idempotency key {own} it is not made twice"
            ) from error


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
