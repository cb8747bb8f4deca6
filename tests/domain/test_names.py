from __future__ import annotations

import re
from pathlib import Path

import pytest

from rush import config, logs
from rush.domain.names import NAME_PATTERN, Guesses, check_name, closest, fault_of_name, quoted
from rush.errors import ConfigurationError

ONLY = "must hold only letters (a to z), digits and . _ -, not"
BEGIN = "must begin with a letter or a digit, not"


@pytest.mark.parametrize(
    "name", ["a", "7", "etl", "Extract_data", "a.b-c_d", "a..b", "x" * 63, "CON"]
)
def test_good_names(name):
    """A name of letters, digits and . _ - is taken as it is."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "must not be empty"),
        ("x" * 64, "must have at most 63 characters, not 64"),
        ("my job", f"{ONLY} a space"),
        ("a/b", f'{ONLY} "/"'),
        ("../../x", f'{ONLY} "/"'),
        ("/etc/passwd", f'{ONLY} "/"'),
        (".", f'{BEGIN} "."'),
        ("..", f'{BEGIN} "."'),
        ("-rf", f'{BEGIN} "-"'),
        ("_x", f'{BEGIN} "_"'),
        ("etl\n", f"{ONLY} a line break"),
        ("a\tb", f"{ONLY} a tab"),
        ("a\x00b", rf'{ONLY} "\x00"'),
        ("a\x1b[31m", rf'{ONLY} "\x1b"'),
        ("a\u202eb", rf'{ONLY} "\u202e" (RIGHT-TO-LEFT OVERRIDE)'),
        ("a\u200bb", rf'{ONLY} "\u200b" (ZERO WIDTH SPACE)'),
        ("caf\u00e9", f'{ONLY} "é" (LATIN SMALL LETTER E WITH ACUTE)'),
        ("a\ud800", rf'{ONLY} "\ud800"'),
        ("🚀", f'{ONLY} "🚀" (ROCKET)'),
        ("٣", f'{ONLY} "٣" (ARABIC-INDIC DIGIT THREE)'),
        ('"', rf'{ONLY} "\""'),
        pytest.param("x" * 1_000_000, "must have at most 63 characters, not 1000000", id="1 MB"),
    ],
)
def test_bad_names(name, fault):
    """What cannot be a name is refused in words, and no control character comes back raw."""
    assert fault_of_name(name) == fault
    assert fault.isprintable()


def test_refusal_says_what_was_named():
    """The error names the thing, and shows the name escaped and cut."""
    with pytest.raises(ConfigurationError) as caught:
        check_name("\x1b]0;" + "x" * 100, "worker name")

    shown = r'"\x1b]0;' + "x" * 56 + '…"'
    assert str(caught.value) == rf'worker name {shown}: {ONLY} "\x1b"'


def test_one_pattern_everywhere():
    """The domain, the settings, the log files and every CHECK of the tables agree on names."""
    assert config.NAME == NAME_PATTERN
    assert logs.WORKER_NAME.pattern == NAME_PATTERN
    migrations = Path(config.__file__).parent / "store" / "migrations"
    checks = re.findall(r"~ '(\^\[A-Za-z0-9\].*?)'", (migrations / "0001_core.sql").read_text())
    assert set(checks) == {f"^{NAME_PATTERN}$"}


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("timeout", "timeout_minutes"),
        ("retry_limits", "retry_limit"),
        ("Queue", "queue"),
        ("queu", "queue"),
        ("xyz", None),
        ("", None),
    ],
)
def test_closest(word, meant):
    """The most similar candidate is meant, whatever the case; one that is not similar is not."""
    assert closest(word, ["queue", "timeout_minutes", "retry_gap_minutes", "retry_limit"]) == meant


def test_guesses_are_limited():
    """Only the first few unknown words are guessed at; a word that was, keeps its guess."""
    guesses = Guesses(["extract", "load"], limit=1)

    assert guesses.ending("extrct") == "; did you mean `extract`?"
    assert guesses.ending("laod") == ""
    assert guesses.ending("extrct") == "; did you mean `extract`?"


def test_quoted():
    """A text is shown on one line, with nothing in it that a terminal would act upon."""
    assert quoted('a"b\\c\n\x07é') == r'"a\"b\\c\n\x07é"'
    assert quoted("x" * 61) == '"' + "x" * 60 + '…"'
