"""The pages: a module each, with the template of the same name."""

from rush.web.pages import actions, audit, home, pipeline, pipelines, run, runs, sign_in, workers

ROUTERS = (
    home.router,
    pipelines.router,
    pipeline.router,
    runs.router,
    run.router,
    workers.router,
    audit.router,
    sign_in.router,
    actions.router,
)
