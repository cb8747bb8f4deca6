"""A short campaign: enough to see that faults bite, and that everything holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.campaign import Plan, campaign
from tests.support.server import Server

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.mark.timeout(300)
def test_nothing_is_lost_and_nothing_is_twice(tmp_path: Path) -> None:
    """Workers, wires and the server break for a minute; every request is kept, every effect is there once."""
    server = Server(tmp_path / "server", None)
    try:
        with campaign(tmp_path / "project", server, Plan(seed=1, seconds=45)) as made:
            report = made.run()
    finally:
        server.remove()
    assert report.violations == []
    assert sum(report.faults.values()) >= 20
    assert sum(report.unknown_commits.values()) >= 5
    assert report.runs["Complete"] >= 50
