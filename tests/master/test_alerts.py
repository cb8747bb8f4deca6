"""The alert hook: called for a Stuck run, again when it fails, and lost by nobody."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from rush.master.alerts import Alerts
from rush.master.tasks import Round
from tests.support.kernel import Kernel
from tests.support.waiting import wait_for


@contextmanager
def listening(status: int) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """A webhook on loopback that answers with a status, and what it was told."""
    told: list[dict[str, object]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *ignored: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def an_alert(kernel: Kernel) -> None:
    kernel.session.connection.execute(
        "INSERT INTO rush.run (pipeline, jobinstance, version_id, state, open, stuck, created_at, started_at, finished_at)"
        " VALUES ('p', 7, 1, 'Stuck', 1, 1, now(), now(), now())"
    )
    kernel.session.connection.execute(
        "INSERT INTO rush.alert (run_id, message) SELECT id, 'p/7 is Stuck at a' FROM rush.run"
    )


def alerts_left(kernel: Kernel) -> list[tuple[int, bool]]:
    return kernel.session.connection.execute(
        "SELECT tries, next_at > now() FROM rush.alert"
    ).fetchall()


def test_a_webhook_is_told_once(kernel: Kernel) -> None:
    """The webhook gets the alert as JSON; once that has succeeded the alert is gone."""
    an_alert(kernel)
    called = threading.Event()
    with listening(204) as (url, told):
        alerts = Alerts(None, url, called.set)
        alerts.call_due(Round(session=kernel.session, term=kernel.term))
        assert called.wait(10)
        alerts.call_due(Round(session=kernel.session, term=kernel.term))

    assert [(t["pipeline"], t["jobinstance"], t["state"], t["message"]) for t in told] == [
        ("p", 7, "Stuck", "p/7 is Stuck at a")
    ]
    assert alerts_left(kernel) == []


def test_a_hook_that_fails_is_called_again_later(kernel: Kernel) -> None:
    """An answer that is no success keeps the alert, put off."""
    an_alert(kernel)
    called = threading.Event()
    with listening(500) as (url, told):
        Alerts(None, url, called.set).call_due(Round(session=kernel.session, term=kernel.term))
        assert called.wait(10)

    assert len(told) == 1
    assert alerts_left(kernel) == [(1, True)]


def test_a_command_gets_it_as_variables_and_on_its_input(kernel: Kernel, tmp_path: Path) -> None:
    """The command is started without a shell of ours, with ALERT_* variables and JSON on its input."""
    an_alert(kernel)
    out = tmp_path / "told"
    command = ["sh", "-c", f'echo "$ALERT_PIPELINE/$ALERT_JOBINSTANCE" > {out}; cat >> {out}']
    called = threading.Event()

    Alerts(command, None, called.set).call_due(Round(session=kernel.session, term=kernel.term))
    assert called.wait(10)

    name, told = wait_for(lambda: out.read_text().split("\n", 1), what="the command to write")
    assert name == "p/7"
    assert json.loads(told)["message"] == "p/7 is Stuck at a"


def test_without_a_hook_alerts_do_not_pile_up(kernel: Kernel) -> None:
    """Where nobody wants to be told, an alert is done with."""
    an_alert(kernel)

    Alerts(None, None, lambda: None).call_due(Round(session=kernel.session, term=kernel.term))

    assert alerts_left(kernel) == []
