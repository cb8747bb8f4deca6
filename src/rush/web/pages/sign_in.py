"""Sign in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from rush.web.accounts import Accounts, TooManyAttempts, WrongPassword
from rush.web.guard import Role, VisitorDep, needs
from rush.web.rendering import page
from rush.web.site import SiteDep

router = APIRouter()


@router.get("/sign-in")
@needs(Role.anybody)
def form(request: Request, site: SiteDep, visitor: VisitorDep, next: str = "/") -> Response:
    if visitor.via or not isinstance(site.door, Accounts):
        return RedirectResponse(_local(site.base, next), status_code=303)
    return page(request, "sign_in.html", next=next, name="", wrong="")


@router.post("/sign-in")
@needs(Role.anybody)
def sign_in(
    *,
    request: Request,
    site: SiteDep,
    name: Annotated[str, Form(max_length=200)],
    password: Annotated[str, Form(max_length=1000)],
    next: Annotated[str, Form()] = "/",
) -> Response:
    if not isinstance(site.door, Accounts):
        return RedirectResponse(_local(site.base, next), status_code=303)
    try:
        token = site.door.sign_in(request, name, password)
    except (WrongPassword, TooManyAttempts) as error:
        status = 429 if isinstance(error, TooManyAttempts) else 401
        return page(request, "sign_in.html", status=status, next=next, name=name, wrong=str(error))
    answer = RedirectResponse(_local(site.base, next), status_code=303)
    site.door.give_cookie(request, answer, token)
    return answer


@router.post("/sign-out")
@needs(Role.viewer)
def sign_out(request: Request, site: SiteDep) -> Response:
    answer = RedirectResponse(f"{site.base}/sign-in", status_code=303)
    if isinstance(site.door, Accounts):
        site.door.sign_out(request)
        site.door.take_cookie(answer)
    return answer


def _local(base: str, next: str) -> str:
    """Where to go on, on this site and nowhere else."""
    if next.startswith("/") and not next.startswith(("//", "/\\")):
        return next if next.startswith(base) else base + next
    return f"{base}/"
