"""`rush config`: the settings in force."""

from __future__ import annotations

from cyclopts import App

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions, JsonFlag
from rush.cli.output import Cell, Column
from rush.config import SETTINGS

app = App(name="config", help="The settings, and where each comes from.")


@app.command
def show(
    *,
    json: JsonFlag = False,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Print every setting, its value, and where the value comes from.

    Durations are in seconds, sizes in bytes. Passwords are hidden.

    For example:
      rush config show
      RUSH_SLOTS=2 rush config show --json
    """
    context = Context(options)
    loaded = context.loaded
    if json:
        context.out.json(
            {
                "project": loaded.project,
                "settings": {
                    name: {"value": loaded.shown(name), "from": loaded.origins[name]}
                    for name in SETTINGS
                },
            }
        )
        return
    context.out.table(
        ("Setting", Column("Value", wraps=True), Column("From", spare=1)),
        [(name, _cell(loaded.shown(name)), loaded.origins[name]) for name in SETTINGS],
    )


def _cell(value: object) -> Cell:
    match value:
        case list():
            return ", ".join(value)
        case float():
            return f"{value:g}"
        case int() | str() | None:
            return value
        case _:
            return str(value)
