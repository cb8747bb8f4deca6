"""What becomes of errors: problem+json (RFC 9457) for programs, a page for people."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from rush.errors import (
    ConfigurationError,
    DatabaseError,
    DefinitionError,
    GaveUpWaiting,
    NotFoundError,
    RefusedError,
    RushError,
    SchemaError,
)
from rush.web.accounts import TooManyAttempts, WrongPassword
from rush.web.guard import NotAllowed, NotSignedIn
from rush.web.rendering import page

log = logging.getLogger(__name__)

#: The first class that an error belongs to decides.
STATUSES: tuple[tuple[type[RushError], int, str], ...] = (
    (TooManyAttempts, 429, "Too many attempts"),
    (WrongPassword, 401, "Not signed in"),
    (NotSignedIn, 401, "Not signed in"),
    (NotAllowed, 403, "Not allowed"),
    (NotFoundError, 404, "Not found"),
    (RefusedError, 409, "Refused"),
    (SchemaError, 503, "The schema does not fit"),
    (ConfigurationError, 422, "That cannot be right"),
    (DatabaseError, 503, "The database does not answer"),
    (GaveUpWaiting, 504, "Gave up waiting"),
    (RushError, 500, "Rush failed"),
)

TITLES = {404: "Not found", 405: "Not possible here"}


def answer_errors(app: FastAPI) -> None:
    app.add_exception_handler(RushError, _explained)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def problem(status: int, title: str, detail: str, **more: Any) -> JSONResponse:
    return JSONResponse(
        {"type": "about:blank", "title": title, "status": status, "detail": detail} | more,
        status_code=status,
        media_type="application/problem+json",
    )


def for_program(request: Request) -> bool:
    """Whether a program asks, and not a person's browser."""
    path = request.url.path.removeprefix(request.app.state.site.base)
    return path.startswith("/api/") or "text/html" not in request.headers.get("accept", "")


def _explained(request: Request, error: Exception) -> Response:
    assert isinstance(error, RushError)
    status, title = next((s, t) for kind, s, t in STATUSES if isinstance(error, kind))
    if isinstance(error, NotSignedIn) and not for_program(request):
        return _to_sign_in(request)
    more: dict[str, Any] = {}
    if isinstance(error, DefinitionError):
        more["problems"] = jsonable_encoder(error.problems)
    return _answer(request, status, title, str(error), **more)


def _to_sign_in(request: Request) -> Response:
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    base = request.app.state.site.base
    return RedirectResponse(f"{base}/sign-in?next={quote(here, safe='')}", status_code=303)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [
        {"place": ".".join(map(str, each["loc"])), "message": each["msg"]}
        for each in error.errors()
    ]
    detail = "; ".join(f"{each['place']}: {each['message']}" for each in problems)
    return _answer(request, 422, "That cannot be right", detail, problems=problems)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = TITLES.get(error.status_code, error.detail)
    return _answer(request, error.status_code, title, f"there is nothing at {request.url.path}")


def _unexpected(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(
        request,
        500,
        "Rush failed",
        f"and this is its fault: {type(error).__name__}. The server's log has the traceback.",
    )


def _answer(request: Request, status: int, title: str, detail: str, **more: Any) -> Response:
    if for_program(request):
        return problem(status, title, detail, **more)
    return page(request, "problem.html", status=status, title=title, detail=detail)
