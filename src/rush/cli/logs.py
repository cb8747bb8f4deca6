"""`rush logs`: what jobs have logged and printed."""

from __future__ import annotations

import json as json_
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict
from itertools import islice
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions, whole_number
from rush.cli.engine import INTERRUPTED, OutageTeller, RunReference, client_of
from rush.cli.output import ORANGE, RED
from rush.domain.log_lines import INDENT, LogLine
from rush.errors import ConfigurationError
from rush.logs import escape_controls

app = App(name="logs", usage="rush logs [OPTIONS] RUN [JOB]")

COLOURS = {"DEBUG": "dim", "WARNING": ORANGE, "ERROR": RED, "CRITICAL": RED}


@app.default
def logs(
    run: RunReference,
    job: Annotated[str | None, Parameter(name="JOB")] = None,
    /,
    *,
    follow: Annotated[bool, Parameter(name=("--follow", "-f"), negative=())] = False,
    attempt: Annotated[int | None, Parameter(metavar="N", converter=whole_number)] = None,
    tail: Annotated[
        int | None, Parameter(name=("--tail", "-n"), metavar="N", converter=whole_number)
    ] = None,
    json: Annotated[
        bool, Parameter(name="--json", negative=(), help="Print JSON, one object a line.")
    ] = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> int:
    """Print what a run's jobs have logged and printed.

    The lines of all attempts stand in the order of time (UTC, on the database's clock),
    each with its job and attempt.

    For example:
      rush logs etl/7
      rush logs etl/7 load --attempt 2
      rush logs etl/7 -f --tail 20

    Parameters
    ----------
    job
        Only this job's.
    follow
        Go on, as lines come, until the run has ended.
    attempt
        Only this attempt's.
    tail
        Only the last N lines; with --follow those, and what comes. A traceback is a part of its line.
    """
    if tail is not None and tail < 0:
        raise ConfigurationError(f"flag --tail: must be 0 or more, not {tail}")
    context = Context(options)
    out = context.out
    nothing = True
    with client_of(context) as client:
        try:
            found = client.run(run)
            lines = found.logs(job, attempt=attempt, follow=follow, on_outage=OutageTeller(out))
            if tail is not None and follow:
                lines = from_last(lines, tail, found.logs(job, attempt=attempt))
            elif tail is not None:
                lines = deque(lines, maxlen=tail)
            for line in lines:
                nothing = False
                if json:
                    out.raw(json_.dumps(asdict(line) | {"at": line.at.isoformat()}) + "\n")
                else:
                    out.say(shown(line))
        except KeyboardInterrupt:
            return INTERRUPTED
    if nothing:
        out.note(f"nothing has been logged; see how it stands: rush runs show {run}")
    return 0


def from_last(lines: Iterable[LogLine], tail: int, so_far: Iterable[LogLine]) -> Iterable[LogLine]:
    """Of lines that go on, the last of those that are there so far, and all after them."""
    return islice(lines, max(0, sum(1 for _ in so_far) - tail), None)


def shown(line: LogLine) -> Text:
    """`08:00:01.123 INFO    load#2  loaded 27004 rows`, further lines indented."""
    moment = f"{line.at:%Y-%m-%d %H:%M:%S}.{line.at.microsecond // 1000:03d}"
    colour = COLOURS.get(line.level, "")
    return Text.assemble(
        (f"{moment} ", "dim"),
        (f"{line.level:<7} ", colour),
        (f"{line.job}#{line.attempt} ", "bold"),
        escape_controls(line.text, f"\n{INDENT}"),
    )
