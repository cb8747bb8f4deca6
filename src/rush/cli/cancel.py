"""`rush cancel`: end a run."""

from __future__ import annotations

from cyclopts import App

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions
from rush.cli.engine import RunReference, WhyFlag, client_of, hear_verdict

app = App(name="cancel")


@app.default
def cancel(
    run: RunReference,
    /,
    *,
    why: WhyFlag = "",
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """End a run before it is through.

    What waits is dropped; what runs is told to stop, and is killed if it does not.

    For example:
      rush cancel etl/7
      rush cancel etl/7 --why "wrong day"
    """
    context = Context(options)
    with client_of(context) as client:
        found = client.run(run)
        with client.deed("cancel", found.name, why=why):
            found.cancel()
            decided = hear_verdict(client, found, context.out)
        if decided:
            context.out.say(f"{found.name} is being cancelled")
        else:
            context.out.say(f"asked for {found.name} to be cancelled")
