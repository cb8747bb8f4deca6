"""The lines of a job's log."""

from __future__ import annotations

from datetime import UTC, datetime

from rush.domain.log_lines import read_lines

KEPT = datetime(2026, 11, 25, 9, tzinfo=UTC)


def read(text: str) -> list[tuple[str, str, str]]:
    return [
        (f"{said.at:%H:%M:%S.%f}", said.level, said.text)
        for said in read_lines(text, otherwise=KEPT)
    ]


def test_a_record_is_a_line_with_the_indented_lines_after_it():
    """
    Time, level and text come apart; further lines lose the indent that marks them, and no more.
    """
    assert read(
        "2026-11-25T08:00:01.123Z INFO loaded 3 rows\n"
        "2026-11-25T08:00:02Z ERROR it failed\n"
        "    Traceback\n"
        "      File\n"
        "\n"
        "2026-11-25T08:00:03.000Z WARNING "
    ) == [
        ("08:00:01.123000", "INFO", "loaded 3 rows"),
        ("08:00:02.000000", "ERROR", "it failed\nTraceback\n  File\n"),
        ("08:00:03.000000", "WARNING", ""),
    ]


def test_what_does_not_say_when_is_told_when_it_was_kept():
    """
    A record without a time, and a text that is no record, are shown and not lost.
    """
    assert read("by hand\n- INFO no clock yet") == [
        ("09:00:00.000000", "INFO", "by hand"),
        ("09:00:00.000000", "INFO", "no clock yet"),
    ]


def test_a_further_line_does_not_pass_for_a_record():
    """
    What a job prints cannot forge a record: its further lines are indented.
    """
    ((_, _, text),) = read(
        "2026-11-25T08:00:01.123Z INFO a\n    2026-11-25T08:00:09.000Z ERROR forged"
    )

    assert text == "a\n2026-11-25T08:00:09.000Z ERROR forged"
