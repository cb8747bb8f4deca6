"""The tally counts what was refused, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.proxy import Message
from tests.chaos.tally import OVERTAKEN, Tally


def answer(query: str, kind: str, body: bytes, *, items: int = 0, first: bool = False) -> Message:
    return Message(
        session="rush worker1 reports", toward="client", nth=1, kind=kind, query=query,
        commits=True, items=items, first=first, body=body,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        (answer("heartbeat", "C", b"UPDATE 0\0"), 1),
        (answer("heartbeat", "C", b"UPDATE 1\0"), 0),
        (answer("fence", "C", b"SELECT 0\0"), 1),
        (answer("complete", "C", b"SELECT 0\0"), 0),
        (answer("append_log", "C", b"INSERT 0 1\0", items=3), 2),
        (answer("append_log", "C", b"INSERT 0 1\0", items=3, first=True), 0),
        (answer("give_back", "D", b"\0\1\0\0\0\1" + b"2", items=2), 0),
        (answer("give_back", "D", b"\0\1\0\0\0\1" + b"0", items=2), 2),
        (answer("give_back", "C", b"SELECT 1\0", items=2), 0),
    ],
)
def test_what_a_fenced_statement_did_not_touch_was_refused(message: Message, refused: int) -> None:
    """One that matched no row, or fewer than it was given; but not where it may have been done before."""
    tally = Tally()
    tally._see(message)
    assert tally.refused.total() == refused


def test_outcomes_that_came_too_late_are_counted_in_the_logs(tmp_path: Path) -> None:
    """Those of logs that were moved away too."""
    (tmp_path / "worker1.log").write_text(f"WARN {OVERTAKEN}\nINFO fine\n")
    (tmp_path / "worker1.log.moved7").write_text(f"WARN {OVERTAKEN}\n")
    tally = Tally()
    tally.read_logs(tmp_path)
    assert tally.refused.total() == 2
