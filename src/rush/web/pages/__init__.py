"""The pages: a module each, with the template of the same name."""

from rush.web.pages import home, run, runs

ROUTERS = (home.router, runs.router, run.router)
