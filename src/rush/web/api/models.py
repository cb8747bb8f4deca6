"""What the API gives and takes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from rush.domain.states import RunState


class Model(BaseModel):
    """Filled from a row of the same fields."""

    model_config = ConfigDict(from_attributes=True)


class Run(Model):
    """One run."""

    id: int
    name: str
    pipeline: str
    jobinstance: int
    version: int | None
    state: RunState
    cancelling: bool
    round: int
    params: dict[str, Any] | None
    created_at: datetime
    started_at: datetime
    finished_at: datetime | None
    seconds: float


class Runs(Model):
    """A page of runs, the newest first."""

    runs: list[Run]
    #: What `cursor` is for the next page; none: this was the last.
    next: str | None
