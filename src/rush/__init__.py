"""Rush: multi-step data pipelines on nothing but PostgreSQL and Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rush.errors import (
    ConfigurationError,
    DatabaseError,
    DefinitionError,
    GaveUpWaiting,
    NotFoundError,
    RefusedError,
    RushError,
)
from rush.jobs.base import Job

if TYPE_CHECKING:
    from rush.client import Client, Run
    from rush.http_client import HttpClient

__version__ = "0.1.0"

__all__ = [
    "Job",
    "Client",
    "Run",
    "HttpClient",
    "RushError",
    "ConfigurationError",
    "DefinitionError",
    "NotFoundError",
    "RefusedError",
    "DatabaseError",
    "GaveUpWaiting",
]


def __getattr__(name: str) -> Any:
    """The clients are imported when they are asked for, so that `rush --version` and runners stay quick."""
    if name in ("Client", "Run"):
        from rush import client

        return getattr(client, name)
    if name == "HttpClient":
        from rush.http_client import HttpClient

        return HttpClient
    raise AttributeError(f"module 'rush' has no attribute {name!r}")
