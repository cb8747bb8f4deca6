"""Templates, and how values look in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from rush import __version__
from rush.domain.durations import format_duration
from rush.domain.params import as_typed
from rush.domain.phrases import listed
from rush.domain.states import JobState, RunState
from rush.web.guard import Role, visitor_of

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"

#: A short message to be shown on the next page, once.
SAID = "rush_said"
LONGEST_SAID = 1000

#: What is in the head of every page.
PLACES = (
    ("/", "Home"),
    ("/pipelines", "Pipelines"),
    ("/runs", "Runs"),
    ("/workers", "Workers"),
    ("/audit", "Audit"),
)

#: Longer values are cut in lists.
LONGEST_VALUE = 60


def environment(base: str) -> Environment:
    """The templates of a dashboard whose paths begin with `base`."""
    templates = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    everywhere: dict[str, Any] = {
        "base": base,
        "static": partial(_static, base),
        "Role": Role,
        "PLACES": PLACES,
        "RUN_STATES": list(RunState),
        "JOB_STATES": list(JobState),
        "version": __version__,
        "now": lambda: datetime.now(UTC),
    }
    templates.globals |= everywhere  # pyright: ignore[reportAttributeAccessIssue]
    templates.filters |= {
        "ago": ago,
        "clock": clock,
        "count": count,
        "duration": duration,
        "listed": _listed,
        "path": lambda text: quote(str(text), safe=""),
        "plain": plain,
        "pretty": pretty,
        "query": query,
        "share": share,
        "typed": as_typed,
    }
    return templates


def _static(base: str, path: str) -> str:
    return f"{base}/static/{path}?v={__version__}"


def page(
    request: Request, template: str, *, status: int = 200, twin: str = "", **values: Any
) -> Response:
    """
    A page from a template; what was said with the last answer is shown on it, once. Its `twin`
    is the call of the API, after /api/v1, that gives the same.
    """
    site = request.app.state.site
    said = None if is_refresh(request) else _said(request)
    text = site.templates.get_template(template).render(
        request=request,
        visitor=visitor_of(request),
        path=request.url.path.removeprefix(site.base) or "/",
        said=said,
        twin=twin,
        **values,
    )
    answer = HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store"})
    if said is not None:
        answer.delete_cookie(SAID, path=site.base or "/")
    return answer


def said_on(request: Request, answer: Response, said: str, *, bad: bool = False) -> None:
    """Let the next page say something, once."""
    answer.set_cookie(
        SAID,
        quote(json.dumps({"text": said[:LONGEST_SAID], "bad": bad})),
        max_age=60,
        path=request.app.state.site.base or "/",
        httponly=True,
        samesite="strict",
    )


def _said(request: Request) -> dict[str, Any] | None:
    try:
        said = json.loads(unquote(request.cookies[SAID]))
        return {"text": str(said["text"]), "bad": bool(said["bad"])}
    except (KeyError, TypeError, ValueError):
        return None


def is_refresh(request: Request) -> bool:
    """Whether the page is open already and asks what has changed."""
    return "hx-request" in request.headers


# Filters ------------------------------------------------------------------------------------


def _listed(names: Iterable[str]) -> str:
    """From what a filter before it gives, which may be no list."""
    return listed(list(names))


def duration(seconds: float | None) -> str:
    return "–" if seconds is None else format_duration(seconds)  # noqa: RUF001 (a dash for nothing)


def ago(when: datetime | None) -> Markup:
    """`2 m 05 s ago`, with the exact time on hover. The browser keeps it up to date."""
    return _time(when, "relative")


def clock(when: datetime | None) -> Markup:
    """The time of day, in the reader's zone as soon as a script has run."""
    return _time(when, "clock")


def _time(when: datetime | None, form: str) -> Markup:
    if when is None:
        return Markup("–")  # noqa: RUF001
    when = when.astimezone(UTC)
    return Markup('<rush-time at="{}" form="{}">{}</rush-time>').format(
        when.isoformat(), form, f"{when:%Y-%m-%d %H:%M:%S} UTC"
    )


def count(number: float | None) -> str:
    return "–" if number is None else f"{number:,}"  # noqa: RUF001


def share(part: float | None) -> str:
    """`99.5 %`."""
    if part is None:
        return "–"  # noqa: RUF001
    percent = part * 100
    # What is not all must not look like all.
    return "100 %" if percent == 100 else f"{min(percent, 99.9):.1f} %"


def plain(value: object, longest: int | None = LONGEST_VALUE) -> str:
    """A parameter's value as one would type it, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if longest is None or len(text) <= longest else text[:longest] + "…"


def pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def query(values: Mapping[str, Any], **changes: Any) -> str:
    """A query string: these values with changes; what is None or empty is left out."""
    merged = {**values, **changes}
    pairs = [(name, value) for name, value in merged.items() if value not in (None, "", False)]
    return "?" + urlencode(pairs) if pairs else "?"


__all__ = ["environment", "page", "is_refresh", "escape", "STATIC", "SAID"]
