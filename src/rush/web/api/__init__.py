"""The HTTP API, /api/v1: a module a noun."""

from rush.web.api import audit, drawings, events, pipelines, runs, workers

ROUTERS = (
    runs.router,
    runs.requests,
    pipelines.router,
    workers.router,
    drawings.router,
    audit.router,
    events.router,
)
