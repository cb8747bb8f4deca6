"""Serving: uvicorn, on a socket that listens already."""

from __future__ import annotations

import gc

import uvicorn

from rush.web.app import Options, create_app

#: How long an open answer may take to come to its end when the server stops, in seconds.
LAST_ANSWERS = 2


def server(options: Options) -> uvicorn.Server:
    app = create_app(options)
    # What is there now stays: the collector need not go through it again and again, for 40 ms
    # each time, while somebody waits.
    gc.collect()
    gc.freeze()
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=LAST_ANSWERS,
        # Streams and pages need nothing of these.
        ws="none",
    )
    return uvicorn.Server(config)
