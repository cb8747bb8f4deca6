"""The master's token (`master_token.sql`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psycopg import errors as pg

from rush.store.session import Session
from rush.store.workers import Registration


class TermOver(Exception):
    """The term has ended: whoever acted in it is not master any more."""


def elect(
    session: Session,
    registration: Registration,
    *,
    expiry: float,
    gone_term: int | None,
    seen: int = 0,
) -> int | None:
    """
    Take the token, for so many seconds. `gone_term` is a term whose holder's session was
    seen to be gone, `seen` the highest term that this worker has heard of. Returns the new
    term; None: somebody holds it.
    """
    row = session.one(
        "elect",
        worker=registration.name,
        generation=registration.generation,
        expiry=expiry,
        gone_term=gone_term,
        seen=seen,
        pooled=session.pooled,
    )
    return None if row is None else row.term


def renew(session: Session, registration: Registration, term: int, *, expiry: float) -> bool:
    row = session.one(
        "renew",
        worker=registration.name,
        generation=registration.generation,
        term=term,
        expiry=expiry,
        pooled=session.pooled,
    )
    return row is not None


def resign(session: Session, registration: Registration, term: int) -> None:
    session.run("resign", worker=registration.name, generation=registration.generation, term=term)


def fence(session: Session, term: int) -> Callable[[], bool]:
    """
    Send the fence of a transaction of this term. What is returned waits for the answer
    and says whether the term still holds; it must be called before the commit.
    """
    rows = session.send("fence", term=term)
    return lambda: bool(rows())


def insist(session: Session, term: int) -> Callable[[], None]:
    """
    Send the fence of a transaction whose answers are read after its end. What is returned
    waits for the answer, and raises TermOver where the term was: nothing of it is left then.
    """
    try:
        rows = session.send("insist", term=term)
    except pg.DivisionByZero as error:
        raise TermOver(f"term {term} is over") from error

    def insisted() -> None:
        try:
            rows()
        except pg.DivisionByZero as error:
            raise TermOver(f"term {term} is over") from error

    return insisted


def master(session: Session) -> Any:
    """Who is master: term, holder, elected_at, expires_at, expired, session_gone."""
    return session.one("master")
