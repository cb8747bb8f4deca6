"""The HTTP API, /api/v1: a module a noun."""

from rush.web.api import drawings, events, runs

ROUTERS = (runs.router, drawings.router, events.router)
