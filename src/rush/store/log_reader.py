"""A run's log, read piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rush.domain.log_lines import LogLine, read_lines
from rush.domain.rows import LogPartRow
from rush.store import run_reads
from rush.store.session import Session


class LogReader:
    """
    Gives each line once, and remembers how far each attempt's log was read.

    With a `job` or a number of an `attempt`, only the lines of those.
    """

    def __init__(self, job: str | None = None, attempt: int | None = None) -> None:
        self._job = job
        self._attempt = attempt
        #: By token: the last part that was read, and the latest time in it.
        self._after: dict[int, int] = {}
        self._latest: dict[int, datetime] = {}

    def more(self, session: Session, run_id: int) -> list[LogLine] | None:
        """
        Some lines that have come since the last time, in the order of time; None: there are
        no more for now.
        """
        parts = run_reads.log(
            session, run_id, job=self._job, attempt=self._attempt, after=self._after
        )
        if not parts:
            return None
        timed = [line for part in parts if self._is_new(part) for line in self._timed(part)]
        timed.sort(key=lambda line: line[0])
        return [line for _, line in timed]

    def _is_new(self, part: LogPartRow) -> bool:
        """A part is there twice when its worker did not hear that it was kept."""
        if part.part <= self._after.get(part.token, -1):
            return False
        self._after[part.token] = part.part
        return True

    def _timed(self, part: LogPartRow) -> Iterator[tuple[datetime, LogLine]]:
        """Each line with its place in time, which within an attempt never goes back."""
        for said in read_lines(part.lines, otherwise=part.at):
            latest = max(said.at, self._latest.get(part.token, said.at))
            self._latest[part.token] = latest
            yield (
                latest,
                LogLine(
                    at=said.at,
                    job=part.job,
                    round=part.round,
                    attempt=part.attempt,
                    level=said.level,
                    text=said.text,
                ),
            )
