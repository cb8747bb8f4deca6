from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rush.domain.durations import format_duration, parse_duration
from rush.errors import ConfigurationError

QUICK = settings(deadline=None, database=None, max_examples=200)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1 h 30 m", 5400),
        ("2d", 172800),
        ("1d2h3m4s5ms", 93784.005),
        ("250ms", 0.25),
        ("1.5h", 5400),
        (" 12 s ", 12),
        ("90", 90),
        ("0.5", 0.5),
        ("0s", 0),
        (90, 90),
        (0.25, 0.25),
        (0, 0),
    ],
)
def test_parse(written, seconds):
    """Numbers with units, or a number of seconds."""
    assert parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            " ",
            "soon",
            "5x",
            "-5s",
            "5m5m",
            "5s5m",
            "5 minutes",
            "m",
            ".5s",
            "5,5s",
            "1e3s",
            "٣s",
        ),
        *("inf", "nan", "9" * 400, "5s\n5s", True, -1, float("inf"), float("nan"), 10**400),
    ],
)
def test_refused(written):
    """What is no duration, is negative or has no end is refused, with what would be one."""
    with pytest.raises(ConfigurationError, match="must be a duration like 90s, 5m, 1h30m or 2d"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (0.4, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (12, "12 s"),
        (59.4, "59 s"),
        (59.6, "1 m 00 s"),
        (125, "2 m 05 s"),
        (3599.4, "59 m 59 s"),
        (3599.6, "1 h 00 m"),
        (11220, "3 h 07 m"),
        (86399, "1 d 00 h"),
        (187200, "2 d 04 h"),
        (8640000, "100 d 00 h"),
        (-125, "-2 m 05 s"),
    ],
)
def test_format(seconds, shown):
    """Two units at most, and never 60 of the smaller one."""
    assert format_duration(seconds) == shown


@QUICK
@given(st.floats(min_value=0, max_value=1e9))
def test_shown_durations_are_read_again(seconds):
    """What is shown is a duration as people write it, off by no more than the unit shown."""
    again = parse_duration(format_duration(seconds))

    unit = 0.1 if seconds < 10 else 1 if seconds < 3600 else 60 if seconds < 86400 else 3600
    assert abs(again - seconds) <= unit
