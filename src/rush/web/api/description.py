"""/api/v1 itself: what calls there are, for people and as OpenAPI for programs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from rush.web.guard import Role, needs
from rush.web.rendering import page

router = APIRouter()


@router.get("/api/v1")
@needs(Role.viewer)
def calls(request: Request) -> Response:
    """A page of all calls; OpenAPI for who does not ask for a page."""
    description: dict[str, Any] = request.app.openapi()
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse(description)
    listed = [
        (tag, method.upper(), path, call)
        for path, methods in description["paths"].items()
        for method, call in methods.items()
        for tag in call.get("tags", [""])
    ]
    return page(request, "calls.html", twin="/openapi.json", calls=listed)


@router.get("/api/v1/openapi.json")
@needs(Role.viewer)
def openapi(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())
