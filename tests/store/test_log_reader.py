"""A log whose first parts are kept while its attempt goes on, and whose last with its end."""

from __future__ import annotations

from rush.store.log_reader import LogReader
from rush.store.workers import Registration
from tests.support.kernel import CHAIN, Kernel, kernel, one_database, outcome, worker

__all__ = ["kernel", "one_database", "worker"]

EARLY, LATE, LAST = (
    f"2026-11-25T08:00:0{second}.000Z INFO {text}"
    for second, text in enumerate(["early", "late", "last"])
)


def texts(reader: LogReader, kernel: Kernel, run: int) -> list[str] | None:
    """What the reader has that is new."""
    lines = reader.more(kernel.session, run)
    return None if lines is None else [line.text for line in lines]


def test_an_attempt_that_ends_while_it_is_read(kernel: Kernel, worker: Registration):
    """Each part is given once; the last stands with the attempt, and comes behind the others."""
    kernel.define(CHAIN)
    run = kernel.start()
    (claim,) = kernel.running(worker)
    reader = LogReader()
    assert texts(reader, kernel, run) is None

    kernel.append_log(worker, claim, EARLY, part=0)
    assert texts(reader, kernel, run) == ["early"]
    assert texts(reader, kernel, run) is None

    kernel.append_log(worker, claim, LATE, part=1)
    kernel.report(worker, outcome(claim, log=LAST))
    assert texts(reader, kernel, run) == ["late", "last"]
    assert texts(reader, kernel, run) is None
    assert texts(LogReader(), kernel, run) == ["early", "late", "last"]
    assert texts(LogReader("a", 1), kernel, run) == ["early", "late", "last"]
    assert texts(LogReader("b"), kernel, run) is None


def test_failed_and_cancelled_attempts_have_their_last_lines(kernel: Kernel, worker: Registration):
    """However an attempt ends, what it has said until then is there."""
    kernel.define({"a": [], "b": []})
    run = kernel.start()
    failed, cancelled = kernel.running(worker, 2)
    kernel.cancel(run)

    kernel.report(worker, outcome(failed, "Failed", log=EARLY))
    kernel.report(worker, outcome(cancelled, "Cancelled", reason="cancelled", log=LATE))

    assert texts(LogReader(), kernel, run) == ["early", "late"]


def test_a_report_said_twice_leaves_its_lines_once(kernel: Kernel, worker: Registration):
    """The second is refused, with its log."""
    kernel.define(CHAIN)
    run = kernel.start()
    (claim,) = kernel.running(worker)

    kernel.report(worker, outcome(claim, log=LAST))
    kernel.report(worker, outcome(claim, log=LAST))

    assert texts(LogReader(), kernel, run) == ["last"]
