"""`rush ui`: the dashboard and the HTTP API."""

from __future__ import annotations

import socket
from typing import Annotated

from cyclopts import App, Parameter

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions
from rush.errors import ConfigurationError

app = App(name="ui")

HOST = "127.0.0.1"
PORT = 8787
#: So many ports are tried, where none is named.
TRIES = 20


@app.default
def ui(
    *,
    host: str = HOST,
    port: int | None = None,
    base_path: Annotated[str, Parameter(metavar="PATH")] = "",
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Serve the dashboard and the HTTP API until Ctrl-C.

    For example:
      rush ui
      rush ui --port 9000

    Parameters
    ----------
    host
        The address to listen on.
    port
        The port to listen on (default: 8787, or the next one that is free).
    base_path
        What stands before every path, behind a proxy that keeps it: /rush.
    """
    # Only who serves pages pays for what serves them.
    from rush.web.app import Options
    from rush.web.server import serve

    context = Context(options)
    url = context.database(create=True)
    listening = listen(host, port)
    context.out.say(f"http://{address(listening)}{base_path}/")
    context.out.note("Ctrl-C ends it")
    serve(
        Options(database_url=url, schema=context.settings.schema, base=base_path.rstrip("/")),
        listening,
    )


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens. Raises ConfigurationError where that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tries = range(PORT, PORT + TRIES) if port is None else [port]
    reason = ""
    for each in tries:
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, each))
            listening.listen(128)
        except OSError as error:
            listening.close()
            reason = error.strerror or str(error)
            continue
        return listening
    raise ConfigurationError(f"cannot listen on {host} port {tries[0]}: {reason}")


def address(listening: socket.socket) -> str:
    """`127.0.0.1:8787`."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
