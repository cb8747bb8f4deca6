"""Who may use the dashboard and the HTTP API (`accounts.sql`)."""

from __future__ import annotations

from typing import Any

from psycopg import errors as pg

from rush.errors import ConfigurationError
from rush.store.session import Session


def accounts(session: Session) -> list[Any]:
    """Every account: name, role, has_password, created_at, how many tokens."""
    return session.many("accounts")


def any_account(session: Session) -> bool:
    return session.one("any_account").there


def account(session: Session, name: str) -> Any:
    return session.one("account", name=name)


def put_account(session: Session, name: str, *, role: str | None, password: str | None) -> Any:
    """Make an account, or give one another role or password (None: as it is)."""
    return session.one("put_account", name=name, role=role, password=password)


def remove_account(session: Session, name: str) -> bool:
    return bool(session.many("remove_account", name=name))


def sign_in(session: Session, hash: bytes, *, account: str, csrf: str, seconds: float) -> None:
    session.run("sign_in", hash=hash, account=account, csrf=csrf, seconds=seconds)


def signed_in(session: Session, hash: bytes) -> Any:
    """Name, role and csrf of who is signed in so. None: nobody is, or not any more."""
    return session.one("signed_in", hash=hash)


def sign_out(session: Session, hash: bytes) -> None:
    session.run("sign_out", hash=hash)


def add_token(
    session: Session, account: str, name: str, hash: bytes, *, seconds: float | None
) -> None:
    """Raises ConfigurationError where the account is not there, or has a token of that name."""
    try:
        session.run("add_token", account=account, name=name, hash=hash, seconds=seconds)
    except pg.UniqueViolation:
        raise ConfigurationError(f"{account} has a token named {name} already") from None
    except pg.ForeignKeyViolation:
        raise ConfigurationError(f"there is no account {account}") from None


def tokens(session: Session, account: str) -> list[Any]:
    return session.many("tokens", account=account)


def remove_token(session: Session, account: str, name: str) -> bool:
    return bool(session.many("remove_token", account=account, name=name))


def account_of_token(session: Session, hash: bytes) -> Any:
    """Name and role of whose token it is. None: of nobody's, or not any more."""
    return session.one("account_of_token", hash=hash)
