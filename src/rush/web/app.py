"""The dashboard and the API, put together."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from rush import __version__
from rush.web import api, pages
from rush.web.accounts import Accounts
from rush.web.api import description, health
from rush.web.database import CONNECTIONS, STATEMENT_TIMEOUT, Database
from rush.web.grid import Depths
from rush.web.guard import OpenDoor, Role, guard, role_needed
from rush.web.headers import LOOPBACK_NAMES, SafeHeaders
from rush.web.live import Live
from rush.web.metrics import Metrics
from rush.web.problems import answer_errors
from rush.web.rendering import STATIC, environment
from rush.web.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a dashboard is told."""

    database_url: str
    schema: str = "rush"
    #: What stands before every path, behind a proxy that keeps it.
    base: str = ""
    #: Whether who comes must sign in; else everybody who comes is the admin.
    sign_in: bool = False
    #: Without sign-in: answer to other names than those of this machine as well.
    any_host: bool = False
    connections: int = CONNECTIONS
    statement_timeout: float = STATEMENT_TIMEOUT
    #: What comes in by this port is answered by what keeps an eye on it alone, to whoever asks.
    metrics_port: int | None = None
    #: Whether others than this machine can reach that port.
    metrics_for_others: bool = False
    #: The project's folder, if files are to be shown that results name.
    files: Path | None = None


class Static(StaticFiles):
    """Files that a browser keeps, and asks after each time: modules name each other without a version."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        answer = super().file_response(*args, **kwargs)
        answer.headers.setdefault("Cache-Control", "no-cache")
        return answer


def routers() -> Iterator[tuple[str, APIRouter]]:
    """Every router, with what stands before its paths. Each handler says what role it takes."""
    for router in api.ROUTERS:
        yield "/api/v1", router
    for router in (*pages.ROUTERS, description.router, health.router):
        yield "", router


def routes() -> Iterator[tuple[str, APIRoute]]:
    """Every route, by its whole path."""
    for prefix, router in routers():
        for route in router.routes:
            assert isinstance(route, APIRoute)
            role_needed(route.endpoint)
            yield prefix + route.path, route


def create_app(options: Options) -> FastAPI:
    """The dashboard over a database whose schema fits."""
    list(routes())
    database = Database(
        options.database_url,
        options.schema,
        connections=options.connections,
        statement_timeout=options.statement_timeout,
    )
    site = Site(
        database=database,
        live=Live(options.database_url, options.schema),
        door=Accounts(database, options.base) if options.sign_in else OpenDoor(),
        templates=environment(options.base),
        metrics=Metrics(),
        depths=Depths(),
        base=options.base,
        files=options.files,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        site.live.start()
        try:
            yield
        finally:
            site.live.stop()
            database.close()

    app = FastAPI(
        title="Rush",
        version=__version__,
        summary="Multi-step data pipelines on nothing but PostgreSQL and Python.",
        lifespan=lifespan,
        dependencies=[Depends(guard)],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.site = site
    answer_errors(app)
    for prefix, router in routers():
        # What programs may call is described: the API, and what keeps an eye on it.
        described = bool(prefix) or router is health.router
        app.include_router(router, prefix=options.base + prefix, include_in_schema=described)
    app.mount(f"{options.base}/static", Static(directory=STATIC), name="static")
    app.add_middleware(GZipMiddleware, minimum_size=1000)
    app.add_middleware(
        SafeHeaders, hosts=None if options.sign_in or options.any_host else LOOPBACK_NAMES
    )
    if options.metrics_port is not None:
        hosts = None if options.metrics_for_others else LOOPBACK_NAMES
        app.add_middleware(
            OtherPort, port=options.metrics_port, app_there=watched(site, hosts=hosts)
        )
    return app


def watched(site: Site, *, hosts: Collection[str] | None) -> FastAPI:
    """What keeps an eye on a dashboard, and nothing else of it. Nobody signs in."""
    app = FastAPI(dependencies=[Depends(guard)], openapi_url=None, docs_url=None, redoc_url=None)
    app.state.site = replace(site, door=OpenDoor(name="metrics", role=Role.viewer), base="")
    answer_errors(app)
    app.include_router(health.router)
    app.add_middleware(SafeHeaders, hosts=hosts)
    return app


class OtherPort:
    """Lets another app answer what comes in by a port."""

    def __init__(self, app: ASGIApp, *, port: int, app_there: ASGIApp) -> None:
        self._app = app
        self._port = port
        self._app_there = app_there

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_there = scope["type"] == "http" and scope["server"][1] == self._port
        await (self._app_there if is_there else self._app)(scope, receive, send)
