"""`rush ui`: the dashboard and the HTTP API."""

from __future__ import annotations

import ipaddress
import re
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions
from rush.domain.names import quoted
from rush.errors import ConfigurationError

if TYPE_CHECKING:
    from uvicorn import Server

app = App(name="ui")

HOST = "127.0.0.1"
PORT = 8787
LAST_PORT = 65535
#: So many ports are tried, where none is named.
TRIES = 20


@app.default
def ui(
    *,
    host: str = HOST,
    port: int | None = None,
    base_path: Annotated[str | None, Parameter(metavar="PATH")] = None,
    insecure_no_auth: Annotated[bool, Parameter(negative=())] = False,
    metrics_port: int | None = None,
    metrics_host: str | None = None,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> None:
    """Serve the dashboard and the HTTP API.

    It goes on until Ctrl-C. While there are no accounts it serves this machine alone, and
    whoever comes may do everything. As soon as there is one (`rush users add`) everybody must
    sign in.

    For example:
      rush ui
      rush ui --port 9000
      rush ui --host 0.0.0.0
      rush ui --metrics-port 9187

    Parameters
    ----------
    host
        The address to listen on.
    port
        The port to listen on (default: 8787, or the next one that is free).
    base_path
        What stands before every path, behind a proxy that keeps it: /rush.
    insecure_no_auth
        Let everybody who can reach it do everything, without an account.
    metrics_port
        Answer /metrics, /healthz and /readyz on this port too, to whoever asks.
    metrics_host
        The address of that port (default: 127.0.0.1).
    """
    context = Context(options, metrics_port=metrics_port, metrics_host=metrics_host)
    url = context.database(create=True)
    base = checked_base(base_path)
    server = dashboard(context, url, host, base=base, insecure=insecure_no_auth, watched=True)
    listening = [listen(host, port)]
    context.out.say(f"http://{address(listening[0])}{base}/")
    settings = context.settings
    if settings.metrics_port is not None:
        listening.append(listen(settings.metrics_host, settings.metrics_port))
        context.out.note(f"metrics: http://{address(listening[1])}/metrics")
    context.out.note("Ctrl-C ends it")
    run_until_told(server, *listening)


def checked_base(path: str | None) -> str:
    """What stands before every path, or nothing. Raises ConfigurationError for what is no path."""
    base = (path or "").rstrip("/")
    if base and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", base):
        raise ConfigurationError(f"a base path is like /rush, not {quoted(base)}")
    return base


def dashboard(
    context: Context,
    url: str,
    host: str,
    *,
    base: str = "",
    insecure: bool = False,
    watched: bool = False,
) -> Server:
    """
    The server of a dashboard, when it is known who may come. It is `watched` by the port that
    the settings have for that.

    Raises ConfigurationError where the packages that it needs are not there, or everybody
    could come and nobody must sign in.
    """
    # Only who serves pages pays for what serves them.
    try:
        from rush.web.app import Options
        from rush.web.server import server
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the dashboard needs {error.name}: pip install 'rush-pipelines[web]'"
        ) from None
    web = Options(
        database_url=url,
        schema=context.settings.schema,
        base=base,
        sign_in=must_sign_in(context, url, host, insecure=insecure),
        any_host=insecure,
        files=context.project,
        metrics_port=context.settings.metrics_port if watched else None,
        metrics_for_others=not is_loopback(context.settings.metrics_host),
    )
    return server(web)


def run_until_told(server: Server, *listening: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM, which is how this ends and no failure."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # The server repeats what it was told when it has ended in good order.
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        server.run(sockets=list(listening))


def must_sign_in(context: Context, url: str, host: str, *, insecure: bool) -> bool:
    """
    Whether who comes must sign in: where there are accounts, and nobody wants it otherwise.

    Raises ConfigurationError where everybody could come and nobody must.
    """
    from rush.client import Client
    from rush.store.accounts import any_account

    if insecure:
        context.out.warning("whoever reaches this dashboard may do everything, without an account")
        return False
    with Client(url, context.settings.schema, name="rush ui") as client:
        if client.read(any_account):
            return True
    if not is_loopback(host):
        raise ConfigurationError(
            f"on {host} others can reach the dashboard, and there is no account yet: make one by "
            "`rush users add NAME --role admin`, or say --insecure-no-auth"
        )
    return False


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens. Raises ConfigurationError where that is not possible."""
    if port is not None and not 0 <= port <= LAST_PORT:
        raise ConfigurationError(f"flag --port: must be from 0 to {LAST_PORT}, not {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tries = range(PORT, PORT + TRIES) if port is None else [port]
    reason = ""
    for each in tries:
        # With the protocol named, asyncio lets what is written go at once (TCP_NODELAY). Else an answer's
        # body waits until its head is acknowledged: 40 ms for each.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
