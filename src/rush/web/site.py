"""What every handler works with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from rush.client import Client
from rush.web.database import Database
from rush.web.grid import Depths
from rush.web.live import Live
from rush.web.metrics import Metrics

if TYPE_CHECKING:
    from jinja2 import Environment

    from rush.web.accounts import Accounts
    from rush.web.guard import OpenDoor


@dataclass(slots=True, kw_only=True)
class Site:
    """One dashboard."""

    database: Database
    live: Live
    #: Who is let in.
    door: OpenDoor | Accounts
    templates: Environment
    metrics: Metrics
    depths: Depths
    #: What stands before every path, behind a proxy: `/rush`, or nothing.
    base: str
    #: The folder below which files may be shown that results name; None: none are.
    files: Path | None = None


def site_of(request: Request) -> Site:
    return request.app.state.site


def _client_of(request: Request) -> Iterator[Client]:
    with site_of(request).database.client() as client:
        yield client


SiteDep = Annotated[Site, Depends(site_of)]
#: It is given back before the answer is sent: who reads slowly holds no connection.
ClientDep = Annotated[Client, Depends(_client_of, scope="function")]
