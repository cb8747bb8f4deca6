"""
Task: call the alert hook when a run has become Stuck.

The hook is a command, which gets the alert as JSON on its standard input and as ALERT_*
variables, or a webhook, which gets it as a POST. Calls are made in a thread of their
own, so that a slow hook holds up nothing; one that fails is made again, later and later.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rush.master.tasks import Round
from rush.store import history

log = logging.getLogger("rush.master")

#: How long a hook may take, in seconds.
PATIENCE = 10.0
#: An alert whose hook has failed this often is given up.
TRIES = 10


@dataclass(slots=True)
class Alerts:
    """The hook, and the calls that have succeeded since the last round."""

    command: Sequence[str] | None
    webhook: str | None
    ring: Callable[[], None]
    _called: list[int] = field(default_factory=list[int])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def call_due(self, round: Round) -> None:
        with self._lock:
            called, self._called = self._called, []
        with round.transaction() as session:
            for alert_id in called:
                history.alert_called(session, alert_id)
            due = history.due_alerts(session)
            for alert in due:
                if alert.tries >= TRIES or not (self.command or self.webhook):
                    history.alert_called(session, alert.id)
        if due and (self.command or self.webhook):
            threading.Thread(target=self._call_all, args=(due,), name="alerts", daemon=True).start()

    @property
    def waiting(self) -> bool:
        """Whether calls have succeeded that the table does not know of."""
        return bool(self._called)

    def _call_all(self, alerts: Sequence[Any]) -> None:
        for alert in alerts:
            try:
                self._call(alert)
            except (OSError, subprocess.SubprocessError, ValueError) as error:
                log.error("the alert hook failed for run %s: %s", alert.run_id, error)
                continue
            with self._lock:
                self._called.append(alert.id)
        self.ring()

    def _call(self, alert: Any) -> None:
        told = {
            "run_id": alert.run_id,
            "pipeline": alert.pipeline,
            "jobinstance": alert.jobinstance,
            "state": alert.state,
            "message": alert.message,
            "at": alert.created_at.isoformat(),
        }
        if self.command:
            variables = {f"ALERT_{name.upper()}": str(value) for name, value in told.items()}
            subprocess.run(  # the operator's own setting, started without a shell
                list(self.command),
                input=json.dumps(told).encode(),
                env={**os.environ, **variables},
                timeout=PATIENCE,
                check=True,
            )
        if self.webhook:
            request = urllib.request.Request(  # noqa: S310 (the settings allow http and https only)
                self.webhook,
                data=json.dumps(told).encode(),
                headers={"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=PATIENCE):  # noqa: S310
                pass
