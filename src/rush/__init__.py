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

__version__ = "0.1.0"

__all__ = [
    "Job",
    "Client",
    "Run",
    "RushError",
    "ConfigurationError",
    "DefinitionError",
    "NotFoundError",
    "RefusedError",
    "DatabaseError",
    "GaveUpWaiting",
]


def __getattr__(name: str) -> Any:
    """The client is imported when it is asked for, so that `rush --version` and runners stay quick."""
    if name in ("Client", "Run"):
        from rush import client

        return getattr(client, name)
    raise AttributeError(f"module 'rush' has no attribute {name!r}")
