"""`rush explain`: why is it not running?"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich.text import Text

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions, JsonFlag
from rush.cli.engine import client_of
from rush.cli.output import Output
from rush.domain.names import fault_of_name, quoted
from rush.domain.reasons import Reason, why, why_request
from rush.domain.rows import RequestRow
from rush.errors import ConfigurationError, NotFoundError
from rush.logs import escape_controls

if TYPE_CHECKING:
    from rush.client import Client

app = App(name="explain", usage="rush explain [OPTIONS] RUN [JOB]")

_NUMBER = re.compile(r"\d{1,10}", re.ASCII)


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
        A run's id, or its name: etl/7. A pipeline's name stands for what was asked of it last.
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
    from rush.store import run_reads

    try:
        found = client.run(ref)
    except (NotFoundError, ConfigurationError):
        request = requested(client, ref)
        if request.run_id is None:
            return _of_request(client, request)
        found = client.run(request.run_id)
    run_id = found.id
    assert run_id is not None
    situation = client.read_at_once(run_reads.situation, run_id)
    if situation is None:
        raise NotFoundError(f"there is no run {ref}")
    reasons = why(situation, job)
    if job is not None and not reasons:
        names = ", ".join(each.name for each in situation.jobs[:10])
        raise NotFoundError(f"{situation.run.name} has no job {quoted(job)}; it has {names}")
    return situation.run.name, situation.run.state, reasons


def requested(client: Client, ref: str) -> RequestRow:
    """
    What was asked for last about `etl/7`, or about a pipeline.

    Raises NotFoundError where nothing was, ConfigurationError for what can be no name.
    """
    pipeline, _, number = ref.partition("/")
    if fault_of_name(pipeline) or (number and not _NUMBER.fullmatch(number)):
        raise ConfigurationError(
            f"name a run by its id or like etl/7, or a pipeline like etl, not {quoted(ref)}"
        )
    request = client.last_request(pipeline, int(number) if number else None)
    if request is not None:
        return request
    if number or pipeline.isdecimal():
        raise NotFoundError(f"there is no run {ref}")
    raise NotFoundError(
        f"nothing has been asked of {client.pipeline(pipeline).name} yet: "
        f"start a run by `rush run {pipeline}`"
    )


def _of_request(client: Client, request: RequestRow) -> tuple[str, str, list[Reason]]:
    standing = client.standing()
    name = request.pipeline + (f"/{request.jobinstance}" if request.jobinstance else "")
    return name, request.status, [why_request(request, standing)]


def tell(reason: Reason, name: str, out: Output) -> None:
    subject = name if reason.job is None else f"{name} {reason.job}"
    out.say(Text.assemble((escape_controls(subject), "bold"), f" {escape_controls(reason.why)}"))
    for help in filter(None, (reason.help, reason.note)):
        out.help(help)
