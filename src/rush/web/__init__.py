"""
The dashboard and the HTTP API.

Pages are made on the server, from templates, and work without a script; what moves is a
handful of native modules. All that is drawn comes from the store's verbs, by way of Client.

    app        puts it together: `create_app`
    site       what every handler works with
    guard      who asks, and whether they may: the one place where that is decided
    database   a few connections, with a limit on the time of each statement
    live       hears of changes, and tells open pages (one event stream a tab)
    actions    what can be done, each with its row in `audit`
    home       how things stand
    queues     what waits in each, and who takes jobs of it
    panel      all that there is to say of one job
    problems   what becomes of errors: problem+json for programs, a page for people
    rendering  templates and their filters
    files      what jobs have written, as far as it may be shown
    pages/     a module a page, with the template of the same name
    api/       /api/v1, a module a noun
    static/    style, scripts, and what others wrote (static/vendor, with licences)

**To add a page**: a module in `pages/` with `router = APIRouter()` and a handler

    @router.get("/things")
    @needs(Role.viewer)
    def things(request: Request, client: ClientDep) -> Response:
        return page(request, "things.html", things=client.things())

a template that begins with `{% extends "layout.html" %}` and fills `main`, the router's
name in `pages/__init__.py`, and where it is a place of its own a link in `layout.html`.
A handler without `needs` does not start. What is in the page's URL is all the state there
is: when something has changed, the browser asks for the same URL again and takes over what
is different. What must be left alone then (a custom element that draws itself) has the
attribute `hx-morph-skip-children`.

**To add a call to the API**: the same in `api/`, with a model in `api/models.py`.
"""
