"""`rush audit`: who did what, when and why."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any

from cyclopts import App, Parameter

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions, JsonFlag, whole_number
from rush.cli.engine import client_of
from rush.cli.output import Column, ago
from rush.domain.names import Guesses, quoted
from rush.domain.params import as_typed
from rush.domain.phrases import listed
from rush.domain.redaction import redacted
from rush.errors import ConfigurationError
from rush.store import audit as deeds

app = App(name="audit")

MOST = 1000
#: So many characters of what was asked for are printed; all of them with --json.
LONGEST = 200


@app.default
def audit(
    *,
    who: Annotated[str | None, Parameter(metavar="NAME")] = None,
    about: Annotated[str | None, Parameter(metavar="TARGET")] = None,
    action: Annotated[str | None, Parameter(metavar="ACTION")] = None,
    limit: Annotated[
        int, Parameter(name=("--limit", "-n"), metavar="N", converter=whole_number)
    ] = 20,
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Say who did what, when and why, and what came of it.

    The newest comes first: what was done by the dashboard, the HTTP API, the command line and
    programs; and what SQL has asked for, by the database's role.

    For example:
      rush audit
      rush audit --about etl/7
      rush audit --action cancel --json

    Parameters
    ----------
    who
        Only what this account, user or role has done.
    about
        Only what was done to this: etl/7, etl, "worker worker1".
    action
        Only this: run, retry, cancel, acknowledge, pause, resume, apply, drain, reload.
    limit
        List so many at most.
    """
    if not 1 <= limit <= MOST:
        raise ConfigurationError(f"flag --limit: must be from 1 to {MOST}, not {limit}")
    context = Context(options)
    with client_of(context) as client:
        rows, _ = client.read(deeds.deeds, who=who, target=about, action=action, limit=limit)
        now = client.standing().now
    if not rows and action is not None and action not in deeds.ACTIONS:
        raise ConfigurationError(f"flag --action: {_unknown(action)}")
    rows = [replace(row, detail=redacted(row.detail)) for row in rows]
    if json:
        context.out.json([asdict(row) | {"said": row.said} for row in rows])
        return
    context.out.table(
        (
            Column("When", spare=1),
            "Who",
            Column("Via", spare=2),
            "What",
            "About",
            Column("With", wraps=True, spare=3),
            Column("Why", wraps=True),
            Column("Outcome", wraps=True),
        ),
        [
            (
                ago(row.at, now),
                row.who,
                row.via,
                row.action,
                row.target,
                _told(row.detail),
                row.why,
                row.said,
            )
            for row in rows
        ],
        empty="nobody has done anything like that yet",
    )


def _unknown(action: str) -> str:
    meant = Guesses(deeds.ACTIONS).ending(action)
    return f"nothing is called {quoted(action)}; there are {listed(deeds.ACTIONS, limit=20)}{meant}"


def _told(detail: dict[str, Any] | None) -> str:
    """A job, parameters: what else was said of a deed, as far as there is room."""
    text = as_typed(detail) if detail else ""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
