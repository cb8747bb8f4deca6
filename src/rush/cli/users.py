"""`rush users`: who may use the dashboard and the HTTP API."""

from __future__ import annotations

import getpass
import sys
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions, JsonFlag
from rush.cli.engine import client_of
from rush.cli.output import Column
from rush.domain.durations import parse_duration
from rush.errors import ConfigurationError, NotFoundError
from rush.store import accounts

if TYPE_CHECKING:
    from rush.client import Client

app = App(name="users")

Role = Literal["viewer", "operator", "admin"]
Name = Annotated[str, Parameter(name="NAME")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLine:
    name: str
    role: str
    password: bool
    tokens: int


@app.default
def list_(*, json: JsonFlag = False, options: DatabaseOptions = DATABASE_OPTIONS) -> None:
    """Say who may use the dashboard and the HTTP API.

    By itself it lists the accounts. While there is none, a dashboard serves its own machine
    alone; as soon as there is one, everybody must sign in.

    For example:
      rush users
    """
    context = Context(options)
    with client_of(context) as client:
        lines = [
            AccountLine(name=row.name, role=row.role, password=row.has_password, tokens=row.tokens)
            for row in client.read(accounts.accounts)
        ]
    if json:
        context.out.json([asdict(line) for line in lines])
        return
    context.out.table(
        ("Name", "Role", "Password", Column("Tokens", right=True)),
        [(line.name, line.role, "yes" if line.password else "no", line.tokens) for line in lines],
        empty="there is no account: make one by `rush users add NAME --role admin`",
    )


@app.command
def add(
    name: Name,
    /,
    *,
    role: Role = "viewer",
    no_password: Annotated[bool, Parameter(negative=())] = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Make an account, or change the role and password of one.

    A viewer sees everything. An operator also starts, retries, cancels, pauses and drains. An
    admin may do all. The password is asked for, or read from stdin where that is no terminal.

    For example:
      rush users add alice --role operator
      rush users add robot --role viewer --no-password

    Parameters
    ----------
    name
        The account's name.
    role
        What the account may do.
    no_password
        Leave the account without a password, for tokens only.
    """
    context = Context(options)
    password = None if no_password else read_password()
    with client_of(context) as client, _noted(client, "put account", name, {"role": role}):
        row = client.write(accounts.put_account, name, role=role, password=password)
    context.out.say(f"{row.name} is {row.role}")


@app.command
def remove(name: Name, /, *, options: DatabaseOptions = DATABASE_OPTIONS) -> None:
    """Remove an account, with its tokens; who is signed in with it is signed out.

    For example:
      rush users remove alice

    Parameters
    ----------
    name
        The account's name.
    """
    context = Context(options)
    with client_of(context) as client:
        with _noted(client, "remove account", name):
            if not client.write(accounts.remove_account, name):
                raise NotFoundError(f"there is no account {name}")
        left = client.read(accounts.any_account)
    context.out.say(f"{name} is gone")
    if not left:
        context.out.warning(
            "no account is left: a dashboard that starts now asks nobody to sign in"
        )


@app.command
def token(
    name: Name,
    label: Annotated[str, Parameter(name="LABEL")],
    /,
    *,
    expires: Annotated[str | None, Parameter(metavar="TIME")] = None,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Make a token for an account, and print it. It is shown this once.

    For example:
      rush users token robot nightly --expires 90d

    Parameters
    ----------
    name
        The account that the token is for: it may do what that may.
    label
        What the token is called.
    expires
        After so long it is worth nothing (default: never).
    """
    from rush.web.passwords import fingerprint, new_token

    context = Context(options)
    made = new_token()
    seconds = None if expires is None else parse_duration(expires)
    with client_of(context) as client, _noted(client, "make token", name, {"label": label}):
        client.write(accounts.add_token, name, label, fingerprint(made), seconds=seconds)
    context.out.say(made)
    context.out.note("send it so: Authorization: Bearer TOKEN")


@app.command
def revoke(
    name: Name,
    label: Annotated[str, Parameter(name="LABEL")],
    /,
    *,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Make a token worth nothing.

    For example:
      rush users revoke robot nightly

    Parameters
    ----------
    name
        The account that the token is for.
    label
        What the token is called.
    """
    context = Context(options)
    with client_of(context) as client, _noted(client, "revoke token", name, {"label": label}):
        if not client.write(accounts.remove_token, name, label):
            raise NotFoundError(f"{name} has no token {label}{_others(client, name)}")
    context.out.say(f"the token {label} of {name} is worth nothing any more")


def _noted(
    client: Client, action: str, account: str, detail: dict[str, Any] | None = None
) -> AbstractContextManager[None]:
    """Something about an account, which the audit tells as well."""
    return client.deed(action, f"account {account}", detail)


def _others(client: Client, name: str) -> str:
    labels = [row.name for row in client.read(accounts.tokens, name)]
    return f"; it has {', '.join(labels)}" if labels else ""


def read_password() -> str:
    """What is kept of a password that is typed, or comes in. Raises ConfigurationError for a short one."""
    from rush.web.passwords import SHORTEST, hashed

    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != password:
            raise ConfigurationError("the two are not the same")
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < SHORTEST:
        raise ConfigurationError(f"a password must have at least {SHORTEST} characters")
    return hashed(password)
