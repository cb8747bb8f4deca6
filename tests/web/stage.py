"""
A stage for the parts of the pages: each alone on a page, fed with made-up runs.

    python -m tests.web.stage [PORT]

shows them all, at http://127.0.0.1:8765/. What it sends is as strict as what the dashboard
sends: nothing inline is run or applied.
"""

from __future__ import annotations

import html
import json
import mimetypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

from tests.web import shapes

STATIC = Path(__file__).parents[2] / "src/rush/web/static"
POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"


@dataclass(frozen=True)
class Scene:
    """A part with its attributes; `{case}` in them is the case that is shown."""

    attributes: dict[str, str]
    cases: list[str]


Query = dict[str, str]

SCENES: dict[str, Scene] = {
    "rush-timeline": Scene(
        {
            "src": "/data/timeline/{case}",
            "job-href": "/runs/{run}/jobs/{job}?attempt={attempt}",
            "topics": "run:7",
        },
        list(shapes.TIMELINES),
    ),
    "rush-log": Scene(
        {"src": "/data/log/{case}", "job-href": "/runs/7/jobs/{job}"}, list(shapes.LOGS)
    ),
    "rush-grid": Scene(
        {
            "structure": "/data/grid/{case}?part=structure",
            "states": "/data/grid/{case}",
            "run-href": "/runs/{run}",
            "job-href": "/runs/{run}/jobs/{job}",
            "topics": "pipeline:etl",
        },
        list(shapes.GRIDS),
    ),
    "rush-chart": Scene(
        {"src": "/data/chart/{case}", "caption": "Runs of the last 24 hours"}, list(shapes.CHARTS)
    ),
    "rush-graph": Scene(
        {"src": "/data/graph/{case}", "job-href": "/runs/{run}/jobs/{job}"}, list(shapes.GRAPHS)
    ),
}

ANSWERS: dict[str, Callable[[str, Query], shapes.Json]] = {
    "timeline": lambda case, _query: shapes.TIMELINES[case](),
    "log": shapes.log,
    "grid": shapes.grid,
    "chart": lambda case, _query: shapes.CHARTS[case](),
    "graph": lambda case, _query: shapes.GRAPHS[case](),
}


def page(title: str, body: str, theme: str) -> str:
    chosen = f' data-theme="{html.escape(theme)}"' if theme else ""
    return (
        f'<!doctype html><html lang="en"{chosen}><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
        '<link rel="stylesheet" href="/static/css/tokens.css"><link rel="stylesheet" href="/static/css/base.css">'
        '<link rel="stylesheet" href="/static/css/parts.css"><link rel="icon" href="/static/icons.svg">'
        '<script type="module" src="/static/js/parts.js"></script></head>'
        f'<body><main class="main"><h1 class="title">{html.escape(title)}</h1>{body}</main></body></html>'
    )


def scene(part: str, case: str, theme: str, more: Query) -> str:
    attributes = {**SCENES[part].attributes, **more}
    written = "".join(
        f' {name}="{html.escape(value.replace("{case}", case))}"'
        for name, value in attributes.items()
    )
    return page(f"{part}, {case}", f"<{part}{written}>Needs JavaScript.</{part}>", theme)


def contents() -> str:
    lines = [
        f'<li><a href="/part/{part}/{case}">{part}, {case}</a></li>'
        for part, each in SCENES.items()
        for case in each.cases
    ]
    return page(
        "Parts of the pages",
        f"<p><a href='/specimen'>Specimen</a></p><ul>{''.join(lines)}</ul>",
        "",
    )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {
            name: values[-1]
            for name, values in parse_qs(address.query, keep_blank_values=True).items()
        }
        parts = address.path.strip("/").split("/")
        try:
            match parts:
                case [""]:
                    self.send(contents())
                case ["static", *rest]:
                    self.send_file(STATIC.joinpath(*rest))
                case ["part", part, case]:
                    self.send(scene(part, case, query.pop("theme", ""), query))
                case ["data", shape, case]:
                    self.send(json.dumps(ANSWERS[shape](case, query)), "application/json")
                case ["specimen"]:
                    body = (Path(__file__).parent / "specimen.html").read_text(encoding="utf-8")
                    self.send(page("Specimen", body, query.get("theme", "")))
                case _:
                    raise KeyError(self.path)
        except (KeyError, FileNotFoundError):
            self.send(
                json.dumps({"title": "There is no such thing."}), "application/problem+json", 404
            )

    def send_file(self, path: Path) -> None:
        kind = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(path)[0]
        self.send(path.read_bytes(), kind or "application/octet-stream")

    def send(self, body: str | bytes, kind: str = "text/html", status: int = 200) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away in the middle is nothing to tell."""


@contextmanager
def stage(port: int = 0) -> Iterator[str]:
    """The stage's address, while it is open."""
    server = Server(("127.0.0.1", port), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with stage(int(sys.argv[1]) if len(sys.argv) > 1 else 8765) as address:
        print(address, flush=True)
        Thread(target=sys.stdin.read).start()
        try:
            while True:
                input()
        except (EOFError, KeyboardInterrupt):
            pass
