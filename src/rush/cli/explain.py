"""`rush explain`: why is it not running?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions, JsonFlag
from rush.cli.engine import client_of
from rush.cli.output import Output
from rush.cli.reasons import Reason, Situation, why, why_request
from rush.client import Client
from rush.domain.names import quoted
from rush.errors import ConfigurationError, NotFoundError
from rush.logs import escape_controls
from rush.store import overview, run_reads
from rush.store.run_reads import RequestRow
from rush.store.session import Session

app = App(name="explain")


@app.default
def explain(
    run: Annotated[str, Parameter(name="RUN")],
    job: Annotated[str | None, Parameter(name="JOB")] = None,
    /,
    *,
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Say why a run's jobs are not running, and what they wait for.

    For example:
      rush explain etl/7
      rush explain etl/7 load
      rush explain etl

    Parameters
    ----------
    run
        A run's id, or its name: etl/7. A pipeline's name: what was asked for last.
    job
        Only this job, whatever it does.
    """
    context = Context(options)
    with client_of(context) as client:
        name, state, reasons = answers(client, run, job)
    if json:
        context.out.json(
            {"run": name, "state": state, "reasons": [asdict(reason) for reason in reasons]}
        )
        return
    for reason in reasons:
        tell(reason, name, context.out)
    if not reasons:
        context.out.say(f"{name} is {state}, and nothing of it waits")


def answers(client: Client, ref: str, job: str | None) -> tuple[str, str, list[Reason]]:
    """
    What is asked about, its state, and the reasons.

    Raises NotFoundError where there is no such run, request or job.
    """
    request = None
    try:
        found = client.run(ref)
    except (NotFoundError, ConfigurationError):
        request = requested(client, ref)
        if request is None:
            raise
        if request.run_id is None:
            return _of_request(client, request)
        found = client.run(request.run_id)
    run_id = found.id
    assert run_id is not None
    situation = client.read_at_once(lambda session: situation_of(session, run_id))
    if situation is None:
        raise NotFoundError(f"there is no run {ref}")
    reasons = why(situation, job)
    if job is not None and not reasons:
        raise NotFoundError(f"{situation.run.name} has no job {quoted(job)}")
    return situation.run.name, situation.run.state, reasons


def requested(client: Client, ref: str) -> RequestRow | None:
    """What was asked for last about `etl/7`, or about a pipeline."""
    pipeline, _, number = ref.partition("/")
    if number and not (number.isascii() and number.isdigit()):
        return None
    return client.read(run_reads.last_request, pipeline, int(number) if number else None)


def situation_of(session: Session, run_id: int) -> Situation | None:
    row = run_reads.run(session, run_id)
    if row is None:
        return None
    return Situation(
        run=row,
        jobs=tuple(run_reads.jobs(session, run_id)),
        standing=overview.standing(session),
        workers=tuple(overview.workers(session)),
        pending=tuple(run_reads.pending_requests_for(session, row.pipeline, row.jobinstance)),
    )


def _of_request(client: Client, request: RequestRow) -> tuple[str, str, list[Reason]]:
    standing = client.read(overview.standing)
    name = request.pipeline + (f"/{request.jobinstance}" if request.jobinstance else "")
    return name, request.status, [why_request(request, standing)]


def tell(reason: Reason, name: str, out: Output) -> None:
    subject = name if reason.job is None else f"{name} {reason.job}"
    out.say(Text.assemble((escape_controls(subject), "bold"), f" {escape_controls(reason.why)}"))
    if reason.help:
        out.help(reason.help)
