"""Answers with thousands of rows in them, written in one go: FastAPI would go through them three times."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from pydantic import BaseModel, TypeAdapter


def written(model: BaseModel, *, exclude_none: bool = False) -> Response:
    """A model as JSON."""
    return Response(model.model_dump_json(exclude_none=exclude_none), media_type="application/json")


def rows_written(adapter: TypeAdapter[Any], rows: list[Any]) -> Response:
    """Rows as JSON."""
    return Response(adapter.dump_json(rows), media_type="application/json")
