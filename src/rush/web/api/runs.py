"""/runs: list, show, submit, cancel, retry, and what became of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from rush.client import Client
from rush.domain.reasons import why
from rush.domain.redaction import redacted
from rush.domain.rows import RunRow
from rush.domain.states import RequestState, RunState
from rush.errors import NotFoundError
from rush.store import attention, job_reads, run_reads
from rush.store.run_search import RunFilter, find_runs
from rush.store.session import Session
from rush.web import actions
from rush.web.api.models import (
    NO_REASON,
    Asked,
    Attempt,
    Done,
    Event,
    Explanation,
    Job,
    JobDetail,
    Many,
    Reason,
    Resolution,
    Result,
    Retry,
    Run,
    Runs,
    Submit,
    Why,
)
from rush.web.guard import ActingDep, Role, needs
from rush.web.panel import panel_of
from rush.web.site import ClientDep, SiteDep

router = APIRouter(prefix="/runs", tags=["runs"])
requests = APIRouter(prefix="/requests", tags=["runs"])

#: What is said by who says nothing.
STUCK = Retry()

Limit = Annotated[int, Query(ge=1, le=1000)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]


@router.get("")
@needs(Role.viewer)
def list_runs(
    *,
    client: ClientDep,
    pipeline: str | None = None,
    state: Annotated[list[RunState] | None, Query()] = None,
    q: Annotated[str | None, Query(max_length=200)] = None,
    since: Annotated[float | None, Query(gt=0)] = None,
    unresolved: bool = False,
    cursor: int | None = None,
    limit: Limit = 50,
) -> Runs:
    """
    Runs, the newest first.

    `state` may be given several times. `q` is a part of the name, of the parameters, or of
    the error that a job is Stuck with; `since` is in seconds before now. `unresolved` are those
    with something Stuck that nobody has looked at.
    """
    wanted = RunFilter(
        pipeline=pipeline,
        states=tuple(state or ()),
        since=since,
        text=q,
        unresolved=unresolved,
    )
    rows = client.read(find_runs, wanted, limit=limit + 1, before=cursor)
    shown = rows[:limit]
    return Runs(
        runs=[_run(row) for row in shown],
        next=str(shown[-1].id) if len(rows) > limit else None,
    )


@router.post("", status_code=201)
@needs(Role.operator)
def submit(
    *,
    client: ActingDep,
    asked: Submit,
    answer: Response,
    idempotency_key: Key = None,
) -> Asked:
    """
    Ask for a run. The same Idempotency-Key with the same request gives what was asked for first.

    201 when the master has taken it, 202 while it is still Pending, 409 with the reason when
    it is rejected.
    """
    run = actions.submit(
        client,
        asked.pipeline,
        params=asked.params,
        job=asked.job,
        jobinstance=asked.jobinstance,
        idempotency_key=idempotency_key,
        why=asked.why,
    )
    assert run.request_id is not None
    row = client.read(run_reads.request, run.request_id)
    if row is None:
        raise NotFoundError(f"there is no request {run.request_id}")
    if row.status is RequestState.Pending:
        answer.status_code = 202
    return _asked(row)


@router.post("/many/retry", status_code=202)
@needs(Role.operator)
def retry_many(client: ActingDep, asked: Many) -> Done:
    """Ask for what is Stuck of many runs to run again: of some, or of all that match."""
    return Done(said=actions.retry_found(client, _found(asked), why=asked.why))


@router.post("/many/cancel", status_code=202)
@needs(Role.operator)
def cancel_many(client: ActingDep, asked: Many) -> Done:
    """Ask for the end of many runs: of some, or of all that match."""
    return Done(said=actions.cancel_found(client, _found(asked), why=asked.why))


@router.post("/many/acknowledge")
@needs(Role.operator)
def acknowledge_many(client: ActingDep, asked: Many) -> Done:
    """Say that somebody has looked at what is Stuck of many runs: of some, or of all that match."""
    return Done(said=actions.acknowledge_found(client, _found(asked), why=asked.why))


@router.get("/{run_id}")
@needs(Role.viewer)
def show(client: ClientDep, run_id: int) -> Run:
    """One run."""
    return _run(_row(client, run_id))


@router.get("/{run_id}/jobs")
@needs(Role.viewer)
def jobs(client: ClientDep, run_id: int) -> list[Job]:
    """The jobs of a run as they stand, each after those that it waits for."""
    _row(client, run_id)
    return [Job.model_validate(row) for row in client.read(run_reads.jobs, run_id)]


@router.get("/{run_id}/jobs/{job}")
@needs(Role.viewer)
def job(client: ClientDep, site: SiteDep, run_id: int, job: str) -> JobDetail:
    """All that there is to say of one job: why it stands so, its attempts, parameters and result."""

    def look(session: Session) -> JobDetail:
        situation = run_reads.situation(session, run_id)
        if situation is None:
            raise NotFoundError(f"there is no run {run_id}")
        return JobDetail.model_validate(panel_of(session, situation, job, None, site.files))

    return client.read_at_once(look)


@router.get("/{run_id}/attempts")
@needs(Role.viewer)
def attempts(client: ClientDep, run_id: int, job: str | None = None) -> list[Attempt]:
    """What has been tried, in the order of time, with what is being tried now."""
    _row(client, run_id)
    return [Attempt.model_validate(row) for row in client.read(run_reads.attempts, run_id, job=job)]


@router.get("/{run_id}/results")
@needs(Role.viewer)
def results(client: ClientDep, run_id: int) -> list[Result]:
    """What the jobs of a run have returned."""
    _row(client, run_id)
    rows = client.read(job_reads.results, run_id)
    return [Result(job=row.job, value=redacted(row.value)) for row in rows]


@router.get("/{run_id}/events")
@needs(Role.viewer)
def events(client: ClientDep, run_id: int) -> list[Event]:
    """What has happened to a run, the newest first."""
    _row(client, run_id)
    return [Event.model_validate(row) for row in client.read(job_reads.events, run_id)]


@router.get("/{run_id}/results/{job}")
@needs(Role.viewer)
def result(client: ClientDep, run_id: int, job: str) -> Any:
    """What a job has returned."""
    return redacted(client.run(run_id).result(job))


@router.get("/{run_id}/explain")
@needs(Role.viewer)
def explain(client: ClientDep, run_id: int, job: str | None = None) -> Explanation:
    """Why a run's jobs are not running, and what they wait for."""
    situation = client.read_at_once(run_reads.situation, run_id)
    if situation is None:
        raise NotFoundError(f"there is no run {run_id}")
    reasons = why(situation, job)
    if job is not None and not reasons:
        raise NotFoundError(f"{situation.run.name} has no job {job}")
    return Explanation(
        run=situation.run.name,
        state=situation.run.state,
        reasons=[Reason.model_validate(reason) for reason in reasons],
    )


@router.get("/{run_id}/resolution")
@needs(Role.viewer)
def resolution(client: ClientDep, run_id: int) -> Resolution | None:
    """Whether a run needs attention; if not, who has said so, or which run has resolved it."""
    _row(client, run_id)
    row = client.read(attention.resolution, run_id)
    return None if row is None else Resolution.model_validate(row)


@router.post("/{run_id}/acknowledge")
@needs(Role.operator)
def acknowledge(client: ActingDep, run_id: int, asked: Why = NO_REASON) -> Done:
    """Say that somebody has looked at what is Stuck of a run: it needs attention no more."""
    return Done(said=actions.acknowledge(client, run_id, why=asked.why))


@router.post("/{run_id}/cancel", status_code=202)
@needs(Role.operator)
def cancel(client: ActingDep, run_id: int, asked: Why = NO_REASON) -> Done:
    """Ask for a run's end. What runs is told to stop, and is killed if it does not."""
    return Done(said=actions.cancel(client, run_id, why=asked.why))


@router.post("/{run_id}/retry", status_code=202)
@needs(Role.operator)
def retry(client: ActingDep, run_id: int, asked: Retry = STUCK) -> Done:
    """Ask for what is Stuck to run again, or a job and all after it, or the whole run."""
    said = actions.retry(
        client,
        run_id,
        job=asked.job,
        from_beginning=asked.from_beginning,
        params=asked.params,
        why=asked.why,
    )
    return Done(said=said)


@requests.get("/{request_id}")
@needs(Role.viewer)
def request(client: ClientDep, request_id: int) -> Asked:
    """A run request, and what became of it."""
    row = client.read(run_reads.request, request_id)
    if row is None:
        raise NotFoundError(f"there is no request {request_id}")
    return _asked(row)


def _found(asked: Many) -> RunFilter | list[int]:
    like = asked.matching
    if like is None:
        return asked.runs or []
    return RunFilter(
        pipeline=like.pipeline,
        states=tuple(like.states),
        since=like.since,
        text=like.q,
        unresolved=like.unresolved,
    )


def _row(client: Client, run_id: int) -> RunRow:
    row = client.read(run_reads.run, run_id)
    if row is None:
        raise NotFoundError(f"there is no run {run_id}")
    return row


def _run(row: RunRow) -> Run:
    run = Run.model_validate(row)
    return run.model_copy(update={"params": redacted(run.params)})


def _asked(row: Any) -> Asked:
    asked = Asked.model_validate(row)
    return asked.model_copy(update={"params": redacted(asked.params)})
