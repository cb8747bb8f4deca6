"""
What the forms of the pages send.

Each does something and leads back to where it was asked for, where a sentence tells what has
come of it, good or bad.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse

from rush.client import Client
from rush.domain.params import parse_assignment, read_value
from rush.domain.states import RunState
from rush.errors import ConfigurationError, RushError
from rush.store.run_search import RunFilter
from rush.web import actions
from rush.web.actions import Doer
from rush.web.guard import Role, VisitorDep, needs
from rush.web.redaction import HIDDEN
from rush.web.rendering import said_on
from rush.web.site import ClientDep, SiteDep

router = APIRouter()

Why = Annotated[str, Form(max_length=500)]
Back = Annotated[str, Form(max_length=2000)]
Text = Annotated[str, Form()]

#: Before the name of a parameter in the form of a run.
PARAMETER = "p:"


# Runs ---------------------------------------------------------------------------------------


@router.post("/pipelines/{name}/run")
@needs(Role.operator)
async def run(request: Request, site: SiteDep, visitor: VisitorDep, name: str) -> RedirectResponse:
    """Asynchronous only as far as the form goes, whose fields nobody knows beforehand."""
    from starlette.concurrency import run_in_threadpool

    form = {key: value for key, value in (await request.form()).items() if isinstance(value, str)}

    def submit() -> RedirectResponse:
        with site.database.client() as client:
            doer = Doer(client=client, visitor=visitor, why=form.get("why", "")[:500])
            back = f"/pipelines/{name}?tab=run"
            try:
                begun = actions.submit(
                    doer,
                    name,
                    params=_params(client, name, form),
                    job=form.get("job") or None,
                    idempotency_key=form.get("key") or None,
                )
                run_id = begun.id
            except RushError as error:
                return _back(request, back, str(error), bad=True)
            if run_id is None:
                said = "It is asked for, and waits for a master: start a worker by `rush worker`"
                return _back(request, back, said)
            return _back(request, f"/runs/{run_id}", f"{begun.name} has begun")

    return await run_in_threadpool(submit)


@router.post("/runs/{run_id}/retry")
@needs(Role.operator)
def retry(
    *,
    request: Request,
    client: ClientDep,
    visitor: VisitorDep,
    run_id: int,
    job: Text = "",
    whole: Text = "",
    why: Why = "",
    back: Back = "",
) -> RedirectResponse:
    doer = Doer(client=client, visitor=visitor, why=why)
    return _done(
        request,
        back or f"/runs/{run_id}",
        lambda: actions.retry(doer, run_id, job=job or None, from_beginning=bool(whole)),
    )


@router.post("/runs/{run_id}/cancel")
@needs(Role.operator)
def cancel(
    *,
    request: Request,
    client: ClientDep,
    visitor: VisitorDep,
    run_id: int,
    why: Why = "",
    back: Back = "",
) -> RedirectResponse:
    doer = Doer(client=client, visitor=visitor, why=why)
    return _done(request, back or f"/runs/{run_id}", lambda: actions.cancel(doer, run_id))


@router.post("/runs/many")
@needs(Role.operator)
def many(
    *,
    request: Request,
    client: ClientDep,
    visitor: VisitorDep,
    action: Text,
    run: Annotated[list[int] | None, Form()] = None,
    all: Text = "",
    pipeline: Text = "",
    state: Annotated[list[RunState] | None, Form()] = None,
    since: Annotated[float | None, Form(gt=0)] = None,
    q: Text = "",
    why: Why = "",
    back: Back = "/runs",
) -> RedirectResponse:
    """Retry or cancel the runs that were chosen, or all that match the filter."""
    doer = Doer(client=client, visitor=visitor, why=why)
    doing = {"retry": actions.retry_found, "cancel": actions.cancel_found}.get(action)

    def do() -> str:
        if doing is None:
            raise ConfigurationError(f"no such action: {action}")
        if not all and not run:
            raise ConfigurationError("choose some runs first")
        wanted = RunFilter(
            pipeline=pipeline or None, states=tuple(state or ()), since=since, text=q or None
        )
        return doing(doer, wanted if all else run or [])

    return _done(request, back, do)


# Pipelines and workers ----------------------------------------------------------------------


@router.post("/pipelines/{name}/pause")
@needs(Role.operator)
def pause(
    *,
    request: Request,
    client: ClientDep,
    visitor: VisitorDep,
    name: str,
    why: Why = "",
    back: Back = "/pipelines",
) -> RedirectResponse:
    doer = Doer(client=client, visitor=visitor, why=why)
    return _done(request, back, lambda: actions.pause(doer, name))


@router.post("/pipelines/{name}/resume")
@needs(Role.operator)
def resume(
    *,
    request: Request,
    client: ClientDep,
    visitor: VisitorDep,
    name: str,
    why: Why = "",
    back: Back = "/pipelines",
) -> RedirectResponse:
    doer = Doer(client=client, visitor=visitor, why=why)
    return _done(request, back, lambda: actions.resume(doer, name))


@router.post("/everything/{action}")
@needs(Role.admin)
def everything(
    *,
    request: Request,
    client: ClientDep,
    visitor: VisitorDep,
    action: str,
    why: Why = "",
    back: Back = "/",
) -> RedirectResponse:
    """Pause or resume everything."""
    doer = Doer(client=client, visitor=visitor, why=why)
    doing = actions.pause if action == "pause" else actions.resume
    return _done(request, back, lambda: doing(doer, None))


@router.post("/workers/{name}/drain")
@needs(Role.operator)
def drain(
    *,
    request: Request,
    client: ClientDep,
    visitor: VisitorDep,
    name: str,
    why: Why = "",
    back: Back = "/workers",
) -> RedirectResponse:
    doer = Doer(client=client, visitor=visitor, why=why)
    return _done(request, back, lambda: actions.drain(doer, name))


@router.post("/workers/{name}/reload")
@needs(Role.operator)
def reload(
    *,
    request: Request,
    client: ClientDep,
    visitor: VisitorDep,
    name: str,
    why: Why = "",
    back: Back = "/workers",
) -> RedirectResponse:
    doer = Doer(client=client, visitor=visitor, why=why)
    return _done(request, back, lambda: actions.reload(doer, name))


# What they have in common -------------------------------------------------------------------


def _done(request: Request, back: str, do: Callable[[], str]) -> RedirectResponse:
    try:
        return _back(request, back, do())
    except RushError as error:
        return _back(request, back, str(error), bad=True)


def _back(request: Request, back: str, said: str, *, bad: bool = False) -> RedirectResponse:
    # Only ever to a page of ours: two slashes would lead elsewhere.
    local = back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/"
    answer = RedirectResponse(request.app.state.site.base + local, status_code=303)
    said_on(request, answer, said, bad=bad)
    return answer


def _params(client: Client, pipeline: str, form: Mapping[str, str]) -> dict[str, Any] | None:
    """
    The parameters that a form asks for: those that are not as the definition has them.

    Raises ConfigurationError for a line of the further ones that is no key=value.
    """
    declared = client.pipeline(pipeline).definition.get("params")
    defaults: dict[str, Any] = declared if isinstance(declared, dict) else {}
    params: dict[str, Any] = {}
    for field, text in form.items():
        name = field.removeprefix(PARAMETER)
        if name == field or text == HIDDEN:
            continue
        value = text if isinstance(defaults.get(name), str) else read_value(text)
        if name not in defaults or value != defaults[name]:
            params[name] = value
    for line in form.get("more", "").splitlines():
        if line.strip():
            name, value = parse_assignment(line.strip())
            params[name] = value
    return params or None
