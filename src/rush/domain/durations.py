"""Durations as people write and read them. Inside, a duration is seconds, as a float."""

from __future__ import annotations

import re
import sys

from rush.domain.names import quoted
from rush.errors import ConfigurationError

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

_NUMBER = r"\d+(?:\.\d+)?"
#: Each unit at most once, the larger before the smaller.
_WITH_UNITS = re.compile(
    r"\s*".join(rf"(?:({_NUMBER})\s*{unit}(?![a-z]))?" for unit in UNITS), re.ASCII
)


def parse_duration(value: str | float) -> float:
    """
    The seconds in `90s`, `5m`, `1h30m`, `2d` or a number of seconds.

    Raises ConfigurationError for anything else, and for what is negative or endless.
    """
    seconds = _seconds_in(value) if isinstance(value, str) else value
    if seconds is None or isinstance(seconds, bool) or not 0 <= seconds <= sys.float_info.max:
        shown = quoted(value) if isinstance(value, str) else value
        raise ConfigurationError(
            f"must be a duration like 90s, 5m, 1h30m or 2d, or a number of seconds, not {shown}"
        )
    return float(seconds)


def format_duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `2 m 05 s`, `3 h 07 m`, `2 d 04 h`: two units at most."""
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    minutes, second = divmod(round(seconds), 60)
    if not minutes:
        return f"{second} s"
    if minutes < 60:
        return f"{minutes} m {second:02} s"
    hours, minute = divmod(round(seconds / 60), 60)
    if hours < 24:
        return f"{hours} h {minute:02} m"
    days, hour = divmod(round(seconds / 3600), 24)
    return f"{days} d {hour:02} h"


def _seconds_in(text: str) -> float | None:
    """None where the text is no duration."""
    text = text.strip()
    if re.fullmatch(_NUMBER, text, re.ASCII):
        return float(text)
    match = _WITH_UNITS.fullmatch(text)
    if not text or not match:
        return None
    amounts = zip(match.groups(), UNITS.values(), strict=True)
    return sum(float(amount) * unit for amount, unit in amounts if amount)
