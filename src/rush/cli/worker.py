"""`rush worker`: run jobs on this machine."""

from __future__ import annotations

import secrets
import socket
from typing import Annotated

from cyclopts import App, Parameter

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions, whole_number
from rush.config import LoadedSettings
from rush.domain.names import check_name
from rush.errors import ConfigurationError
from rush.logs import set_up_logging
from rush.master.master import Master
from rush.store.database import connect
from rush.store.session import Session
from rush.store.wire import PATIENCE, Wire
from rush.worker.worker import Worker

app = App(name="worker")

DEFAULT_NAME = "thread1"


@app.default
def worker(
    name: str | None = None,
    /,
    *,
    slots: Annotated[int | None, Parameter(name=("--slots", "-n"), converter=whole_number)] = None,
    queue: Annotated[list[str] | None, Parameter(name="--queue", negative=())] = None,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Run jobs on this machine, and be the master when it is this one's turn.

    Start as many as you like, on as many machines as you like, each with a name of its
    own. One of them is master; when it goes, another takes over. Ctrl-C or SIGTERM ends
    it in good order: what runs may finish, what has not begun goes to others. A second
    one ends it now. SIGHUP replaces its runners, so that changed code is loaded.

    For example:
      rush worker
      rush worker worker1 --slots 8
      rush worker big1 --queue big --queue default

    Parameters
    ----------
    name
        The worker's name, also that of its log file (default: thread1).
    slots
        How many jobs at once (default: as many as there are cores).
    queue
        Take jobs from this queue; may be given several times (default: the setting queues).
    """
    context = Context(options, slots=slots, queues=queue)
    refuse_nowhere(context)
    run_worker(name, context.loaded, context.database(create=True))


def refuse_nowhere(context: Context) -> None:
    """A worker in any folder that happens to be current would make a database there, and wait for ever."""
    is_project = any(
        (context.project / name).exists() for name in ("rush.toml", "jobs", "pipelines")
    )
    if context.is_embedded and not context.embedded.home.exists() and not is_project:
        raise ConfigurationError(
            f"{context.project} is no project, and no database is named: make a project by `rush init`, "
            "or set RUSH_DATABASE_URL"
        )


def run_worker(name: str | None, loaded: LoadedSettings, database_url: str) -> None:
    """Run a worker until it is told to stop. The unnamed default gets a suffix when its name is taken."""
    chosen = DEFAULT_NAME if name is None else check_name(name, "worker")
    try:
        _run(chosen, loaded, database_url)
    except ConfigurationError:
        if name is not None:
            raise
        _run(
            f"{DEFAULT_NAME}-{socket.gethostname()[:30]}-{secrets.token_hex(2)}",
            loaded,
            database_url,
        )


def _run(name: str, loaded: LoadedSettings, database_url: str) -> None:
    set_up_logging(name, folder=loaded.log_folder, level=loaded.settings.log_level)
    settings = loaded.settings

    def open_session(purpose: str) -> Session:
        connection = connect(database_url, application_name=f"rush {name} {purpose}")
        return Session(connection, settings.schema)

    def open_wire(purpose: str) -> Wire:
        connection = connect(database_url, application_name=f"rush {name} {purpose}")
        wire = Wire(connection, settings.schema)
        wire.bound(PATIENCE)
        return wire

    master = Master(settings, lambda: open_wire("master"))
    worker = Worker(name, loaded, database_url, connect=open_session, wire=open_wire, master=master)
    worker.run()
