"""The HTTP API, /api/v1: a module a noun."""

from rush.web.api import audit, drawings, events, home, pipelines, runs, workers

ROUTERS = (
    home.router,
    runs.router,
    runs.requests,
    pipelines.router,
    workers.router,
    drawings.router,
    audit.router,
    events.router,
)
