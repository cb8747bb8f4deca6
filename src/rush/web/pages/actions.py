"""
What the forms of the pages send.

Each does something and leads back to where it was asked for, where a sentence tells what has
come of it, good or bad.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse

from rush.client import Client
from rush.domain.deeds import Doer
from rush.domain.params import parse_assignment, read_value
from rush.domain.redaction import HIDDEN, has_hidden, redacted
from rush.domain.states import RunState
from rush.errors import ConfigurationError, RefusedError, RushError
from rush.store import job_reads
from rush.store.run_search import RunFilter
from rush.web import actions
from rush.web.guard import ActingDep, Role, VisitorDep, needs
from rush.web.rendering import said_on
from rush.web.site import SiteDep

router = APIRouter()

#: Before the name of a parameter in the form of a run.
PARAMETER = "p:"

Text = Annotated[str, Form()]
Names = Annotated[list[str] | None, Form(max_length=1000)]


@dataclass(frozen=True, slots=True)
class Sent:
    """What all forms have: who sends it, why, and where they go on."""

    request: Request
    client: ActingDep
    why: Annotated[str, Form(max_length=500)] = ""
    back: Annotated[str, Form(max_length=2000)] = ""

    def then(
        self, page: str, do: Callable[..., str], /, *args: Any, **kwargs: Any
    ) -> RedirectResponse:
        """Do it, and go on with what it says where the form was, or on a page."""
        try:
            said, bad = do(self.client, *args, why=self.why, **kwargs), False
        except RushError as error:
            said, bad = str(error), True
        return _back(self.request, self.back or page, said, bad=bad)


SentDep = Annotated[Sent, Depends()]


# Runs ---------------------------------------------------------------------------------------


@router.post("/pipelines/{name}/run")
@needs(Role.operator)
async def run(request: Request, site: SiteDep, visitor: VisitorDep, name: str) -> RedirectResponse:
    """Asynchronous only as far as the form goes, whose fields nobody knows beforehand."""
    from starlette.concurrency import run_in_threadpool

    form = {key: value for key, value in (await request.form()).items() if isinstance(value, str)}
    doer = Doer(who=visitor.name, via=visitor.via)

    def submit() -> RedirectResponse:
        with site.database.client() as client, client.doing(doer):
            back = f"/pipelines/{name}?tab=run"
            try:
                begun = actions.submit(
                    client,
                    name,
                    params=_params(client, name, form),
                    job=form.get("job") or None,
                    idempotency_key=form.get("key") or None,
                    why=form.get("why", "")[:500],
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
    sent: SentDep,
    run_id: int,
    job: Text = "",
    whole: Text = "",
    params: Text = "",
    round: Annotated[int | None, Form()] = None,
) -> RedirectResponse:
    """
    Run again what is Stuck, from a job on, or all of it; with the parameters that were changed.

    Refused if the run has been run again since the form was shown: who sent it has not seen what
    came of that, and its parameters might undo what somebody else has mended.
    """

    def do(client: Client, *, why: str) -> str:
        row = client.run(run_id).read()
        if round is not None and row is not None and row.round != round:
            raise RefusedError(
                f"{row.name} has been run again since this form was opened, and is {row.state} now: "
                "nothing was done"
            )
        return actions.retry(
            client,
            run_id,
            job=job or None,
            from_beginning=bool(whole),
            params=_changed(client, run_id, job or None, params),
            why=why,
        )

    return sent.then(f"/runs/{run_id}", do)


@router.post("/runs/{run_id}/cancel")
@needs(Role.operator)
def cancel(sent: SentDep, run_id: int) -> RedirectResponse:
    return sent.then(f"/runs/{run_id}", actions.cancel, run_id)


@router.post("/runs/{run_id}/acknowledge")
@needs(Role.operator)
def acknowledge(sent: SentDep, run_id: int) -> RedirectResponse:
    return sent.then(f"/runs/{run_id}", actions.acknowledge, run_id)


MANY: Mapping[str, Callable[..., str]] = {
    "retry": actions.retry_found,
    "cancel": actions.cancel_found,
    "acknowledge": actions.acknowledge_found,
}


@router.post("/runs/many")
@needs(Role.operator)
def many(
    *,
    sent: SentDep,
    action: Text,
    run: Annotated[list[int] | None, Form()] = None,
    job: Annotated[list[str] | None, Form()] = None,
    all: Text = "",
    pipeline: Text = "",
    state: Annotated[list[RunState] | None, Form()] = None,
    since: Annotated[float | None, Form(gt=0)] = None,
    q: Text = "",
    unresolved: Text = "",
) -> RedirectResponse:
    """Do something to the runs that were chosen, or to all that match the filter."""

    def do(client: Client, *, why: str) -> str:
        if action not in MANY:
            raise ConfigurationError(f"no such action: {action}")
        if not all and not run:
            raise ConfigurationError("choose some runs first")
        if action == "retry" and job and run:
            return actions.retry_from(client, run, job, why=why)
        wanted = RunFilter(
            pipeline=pipeline or None,
            states=tuple(state or ()),
            since=since,
            text=q or None,
            unresolved=bool(unresolved),
        )
        return MANY[action](client, wanted if all else run or [], why=why)

    return sent.then("/runs", do)


# Pipelines and workers ----------------------------------------------------------------------


@router.post("/pipelines/{name}/pause")
@needs(Role.operator)
def pause(sent: SentDep, name: str) -> RedirectResponse:
    return sent.then("/pipelines", actions.pause, name)


@router.post("/pipelines/{name}/resume")
@needs(Role.operator)
def resume(sent: SentDep, name: str) -> RedirectResponse:
    return sent.then("/pipelines", actions.resume, name)


MANY_PIPELINES: Mapping[str, Callable[..., str]] = {
    "pause": actions.pause_many,
    "resume": actions.resume_many,
}
MANY_WORKERS: Mapping[str, Callable[..., str]] = {
    "drain": actions.drain_many,
    "reload": actions.reload_many,
}


@router.post("/pipelines/many")
@needs(Role.operator)
def many_pipelines(sent: SentDep, action: Text, name: Names = None) -> RedirectResponse:
    """Do something to the pipelines that were chosen."""
    return sent.then("/pipelines", _to_names, MANY_PIPELINES, action, name or [])


@router.post("/workers/many")
@needs(Role.operator)
def many_workers(sent: SentDep, action: Text, name: Names = None) -> RedirectResponse:
    """Do something to the workers that were chosen."""
    return sent.then("/workers", _to_names, MANY_WORKERS, action, name or [])


@router.post("/everything/pause")
@needs(Role.admin)
def pause_everything(sent: SentDep) -> RedirectResponse:
    return sent.then("/", actions.pause, None)


@router.post("/everything/resume")
@needs(Role.admin)
def resume_everything(sent: SentDep) -> RedirectResponse:
    return sent.then("/", actions.resume, None)


@router.post("/workers/{name}/drain")
@needs(Role.operator)
def drain(sent: SentDep, name: str) -> RedirectResponse:
    return sent.then("/workers", actions.drain, name)


@router.post("/workers/{name}/reload")
@needs(Role.operator)
def reload(sent: SentDep, name: str) -> RedirectResponse:
    return sent.then("/workers", actions.reload, name)


# What they have in common -------------------------------------------------------------------


def _to_names(
    client: Client,
    known: Mapping[str, Callable[..., str]],
    action: str,
    names: list[str],
    *,
    why: str,
) -> str:
    if action not in known:
        raise ConfigurationError(f"no such action: {action}")
    if not names:
        raise ConfigurationError("choose some first")
    return known[action](client, names, why=why)


def _back(request: Request, back: str, said: str, *, bad: bool = False) -> RedirectResponse:
    # Only ever to a page of ours: two slashes would lead elsewhere.
    local = back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/"
    answer = RedirectResponse(request.app.state.site.base + local, status_code=303)
    said_on(request, answer, said, bad=bad)
    return answer


def _changed(client: Client, run_id: int, job: str | None, text: str) -> dict[str, Any] | None:
    """
    The parameters, one key=value a line, that are not as they were shown: all that a job is
    given, or those of the run. Raises ConfigurationError for a line that is none, and for one of
    which a part was hidden.
    """
    if job is None:
        row = client.run(run_id).read()
        given = row.params or {} if row else {}
    else:
        given = client.read(job_reads.params, run_id, job)
    shown: dict[str, Any] = redacted(given)
    changed = {
        name: value
        for name, value in map(parse_assignment, filter(None, map(str.strip, text.splitlines())))
        if name not in shown or shown[name] != value
    }
    for name, value in changed.items():
        if has_hidden(value):
            raise ConfigurationError(f"the parameter {name} has a hidden part: put it in again")
    return changed or None


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
