"""The HTTP API, /api/v1: a module a noun."""

from rush.web.api import events, runs

ROUTERS = (runs.router, events.router)
