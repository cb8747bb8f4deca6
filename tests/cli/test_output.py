from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rush.cli.output import LOOKS, Column, Output, ago
from rush.errors import Problem

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Stream(io.TextIOWrapper):
    def __init__(self, encoding: str = "utf-8", *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def text(self) -> str:
        return self.buffer.getvalue().decode(self.encoding)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def answer() -> Stream:
    return Stream()


@pytest.fixture
def aside() -> Stream:
    return Stream()


def test_a_table(answer, aside):
    """A table has a hairline under its header, numbers at the right, and no boxes."""
    out = Output(stdout=answer, stderr=aside)
    out.table(
        ("Run", Column("Rows", right=True), "Error"),
        [("etl/7", 27004, None), ("etl/8", 3, "boom\n\x1b[31m")],
    )

    header, line, *rows = [line.rstrip() for line in answer.text.splitlines()]
    assert header == "Run       Rows   Error"
    assert set(line) == {"─"}
    assert rows == ["etl/7   27,004   \u2013", "etl/8        3   boom\\n\\x1b[31m"]
    assert aside.text == ""


def test_a_pipe_gets_whole_values(answer, aside):
    """What is not a terminal has no width, so nothing is cut or folded."""
    Output(stdout=answer, stderr=aside).table(("Error",), [("x" * 500,)])

    assert "x" * 500 in answer.text


def test_an_empty_table_says_what_would_fill_it(answer, aside):
    """Without rows there is no answer, and the hint stands beside it."""
    out = Output(stdout=answer, stderr=aside)
    out.table(("Run",), [], empty="nothing ran yet: rush run PIPELINE")

    assert (answer.text, aside.text) == ("", "nothing ran yet: rush run PIPELINE\n")


@pytest.mark.parametrize("word", LOOKS)
def test_states_have_a_shape_and_a_colour(word):
    """Every state is told by shape, word and colour, and no two shapes or words are the same."""
    answer = Stream(terminal=True)
    out = Output(stdout=answer, color="always")
    out.say(out.state(word))

    assert f"{LOOKS[word].shape} {word}" in answer.text
    assert answer.text.startswith("\x1b[")
    assert len({look.shape for look in LOOKS.values()}) == len(LOOKS)
    assert len({look.ascii_shape for look in LOOKS.values()}) == len(LOOKS)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_states_where_the_encoding_has_no_shapes(encoding, aside):
    """A terminal without Unicode gets ASCII shapes instead of an error."""
    answer = Stream(encoding)
    out = Output(stdout=answer, stderr=aside)
    out.table(("State", "Since"), [(out.state("Stuck"), None), (out.state("Complete"), "now")])

    assert "! Stuck" in answer.text
    assert "+ Complete" in answer.text


@pytest.mark.parametrize(
    ("terminal", "color", "environ", "coloured"),
    [
        (True, "auto", {}, True),
        (True, "auto", {"NO_COLOR": "1"}, False),
        (True, "never", {"FORCE_COLOR": "1"}, False),
        (False, "auto", {}, False),
        (False, "auto", {"FORCE_COLOR": "1"}, True),
        (False, "always", {"NO_COLOR": "1"}, True),
    ],
)
def test_when_there_is_colour(monkeypatch, terminal, color, environ, coloured):
    """The flag decides, then NO_COLOR and FORCE_COLOR, then whether it is a terminal."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    answer = Stream(terminal=terminal)
    out = Output(stdout=answer, color=color)
    out.say(out.state("Running"))

    assert ("\x1b[38" in answer.text) is coloured


def test_json(answer, aside):
    """JSON is plain ASCII with ISO times, seconds and paths as texts."""
    value = {
        "at": NOW,
        "took": timedelta(minutes=2),
        "file": Path("a/b"),
        "problem": Problem(place="jobs", message="é\x9b"),
    }
    Output(stdout=answer, stderr=aside, color="always").json(value)

    assert answer.text.isascii()
    assert json.loads(answer.text) == {
        "at": "2026-11-25T12:00:00+00:00",
        "took": 120.0,
        "file": "a/b",
        "problem": {"place": "jobs", "message": "é\x9b", "line": None, "column": None},
    }


def test_quiet_and_verbose(aside, answer):
    """-q leaves the answer and errors; -v adds details; all of it beside the answer."""
    for options in ({"quiet": True}, {}, {"verbose": True}):
        out = Output(stdout=answer, stderr=aside, **options)
        out.note("note")
        out.detail("detail")
        out.error("error")

    assert aside.text.split() == [
        *("error:", "error"),
        *("note", "error:", "error"),
        *("note", "detail", "error:", "error"),
    ]
    assert answer.text == ""


def test_data_is_never_markup(answer, aside):
    """Square brackets and colons in data are shown as they are."""
    out = Output(stdout=answer, stderr=aside, color="always")
    out.say("[red]x[/red] :smile:")
    out.error("[/]")

    assert answer.text == "[red]x[/red] :smile:\n"
    assert "[/]" in aside.text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "now"),
        (0.9, "now"),
        (12, "12 s ago"),
        (60, "1 m ago"),
        (3599, "59 m ago"),
        (7200, "2 h ago"),
        (86400 * 40, "40 d ago"),
        (-30, "in 30 s"),
        (-3600, "in 1 h"),
    ],
)
def test_relative_times(seconds, words):
    """A moment is told by its distance, in the largest unit that fits."""
    assert ago(NOW - timedelta(seconds=seconds), NOW) == words
