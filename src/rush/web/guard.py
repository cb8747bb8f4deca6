"""
Who asks, and whether they may: decided here, for every page and every call.

Each handler says by `needs` what role it takes; `guard` runs before all of them. Where no
accounts are asked for (on loopback) whoever comes is the admin, under the name of the user
who started the server.

What changes something must come from our own pages, or from a program:

- A browser says where a request comes from (Sec-Fetch-Site, Origin): another site is refused.
- A request that a browser sends by itself, with its cookie or without any sign-in, needs the
  token that only our pages know. A program with a bearer token does not need it, nor one that
  sends JSON without saying where it comes from: no browser does that.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.datastructures import FormData

from rush.client import Client
from rush.domain.deeds import Doer, user
from rush.errors import RushError
from rush.web.site import ClientDep, site_of

if TYPE_CHECKING:
    from rush.web.accounts import Accounts

Handler = TypeVar("Handler", bound=Callable[..., Any])

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "X-Rush-Csrf"
CSRF_FIELD = "csrf"
#: Set on the function of each handler.
_NEEDS = "__rush_needs__"


class Role(IntEnum):
    """What one may do. Each role may do what the ones before it may."""

    #: Not signed in.
    anybody = 0
    #: See everything.
    viewer = 1
    #: Start, retry, cancel, pause, drain.
    operator = 2
    #: Change definitions, and who may do what.
    admin = 3


class NotSignedIn(RushError):
    """It takes a sign-in."""


class NotAllowed(RushError):
    """It takes another role, or has come from somewhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks."""

    name: str
    role: Role
    #: `local`, `session` or `token`; empty: not signed in.
    via: str
    #: What forms on our pages send back.
    csrf: str = ""

    def may(self, role: Role) -> bool:
        return self.role >= role


NOBODY = Visitor(name="", role=Role.anybody, via="")


@dataclass(slots=True)
class OpenDoor:
    """No accounts: whoever comes is the admin, or what is said. For loopback alone, then."""

    name: str = field(default_factory=user)
    role: Role = Role.admin
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def visitor(self, request: Request) -> Visitor:
        return Visitor(name=self.name, role=self.role, via="local", csrf=self.csrf)


def needs(role: Role) -> Callable[[Handler], Handler]:
    """Say what role a handler takes."""

    def mark(handler: Handler) -> Handler:
        setattr(handler, _NEEDS, role)
        return handler

    return mark


def role_needed(handler: Callable[..., Any]) -> Role:
    """What role a handler takes. Raises AssertionError where it does not say."""
    role = getattr(handler, _NEEDS, None)
    assert isinstance(role, Role), f"{handler.__qualname__} does not say what role it needs"
    return role


async def guard(request: Request) -> None:
    """
    Find out who asks, and let them pass or not.

    Raises NotSignedIn or NotAllowed. Who asks is in `request.state.visitor` afterwards.
    """
    from starlette.concurrency import run_in_threadpool

    site = site_of(request)
    role = role_needed(request.scope["endpoint"])
    door: OpenDoor | Accounts = site.door
    if isinstance(door, OpenDoor):
        visitor = door.visitor(request)
    else:
        visitor = await run_in_threadpool(door.visitor, request)
    request.state.visitor = visitor
    if request.method not in SAFE_METHODS:
        _check_site(request)
        # A token is sent by no browser of its own accord, and nobody has nothing to lose.
        if visitor.via in ("local", "session") and not _is_program(request):
            await _check_csrf(request, visitor)
    if not visitor.may(role):
        if visitor.role is Role.anybody:
            raise NotSignedIn("this takes a sign-in")
        raise NotAllowed(
            f"this takes the role {role.name}, and {visitor.name} has the role {visitor.role.name}"
        )


def visitor_of(request: Request) -> Visitor:
    return getattr(request.state, "visitor", NOBODY)


def _acting(client: ClientDep, visitor: VisitorDep) -> Iterator[Client]:
    with client.doing(Doer(who=visitor.name, via=visitor.via)):
        yield client


VisitorDep = Annotated[Visitor, Depends(visitor_of)]
#: A client with which something is done: by the one who asks.
ActingDep = Annotated[Client, Depends(_acting, scope="function")]


def _check_site(request: Request) -> None:
    """Raises NotAllowed for what a browser has sent from another site."""
    came_from = request.headers.get("sec-fetch-site")
    if came_from not in (None, "same-origin", "none"):
        raise NotAllowed(f"the request comes from another site ({came_from})")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise NotAllowed("the request comes from another origin")


def _is_program(request: Request) -> bool:
    """Whether no browser can have sent this of its own accord."""
    return (
        request.headers.get("content-type", "").partition(";")[0].strip() == "application/json"
        and "sec-fetch-site" not in request.headers
        and "origin" not in request.headers
        and "cookie" not in request.headers
    )


async def _check_csrf(request: Request, visitor: Visitor) -> None:
    given = request.headers.get(CSRF_HEADER)
    if given is None and _has_form(request):
        form: FormData = await request.form()
        value = form.get(CSRF_FIELD)
        given = value if isinstance(value, str) else None
    if not visitor.csrf or not hmac.compare_digest((given or "").encode(), visitor.csrf.encode()):
        raise NotAllowed("the form is out of date: load the page again, and send it once more")


def _has_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    return kind in ("application/x-www-form-urlencoded", "multipart/form-data")
