from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rush.cli import output
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


TITLES = (
    Column("Name"),
    Column("Seen", spare=1),
    Column("Host", spare=2),
    Column("Busy", wraps=True),
)
ROW = ("worker-number-one", "12 s ago", "a-host-with-a-name", "etl/7 " * 8)


@pytest.mark.parametrize(
    ("columns", "left_out"), [(110, []), (72, []), (71, ["Host"]), (50, ["Seen", "Host"])]
)
def test_a_narrow_terminal(monkeypatch, answer, aside, columns, left_out):
    """Where room is short, first the columns go that matter least, and names and words stay whole."""
    monkeypatch.setattr(output, "PIPE_WIDTH", columns)
    Output(stdout=answer, stderr=aside).table(TITLES, [ROW])

    assert max(map(len, answer.text.splitlines())) <= columns
    assert "worker-number-one" in answer.text
    assert answer.text.count("etl/7") == 8
    assert "…" not in answer.text
    for title in ("Seen", "Host"):
        assert (title in answer.text) == (title not in left_out)
    told = f"left out, for want of room: {', '.join(left_out)}\n" if left_out else ""
    assert aside.text == told


def test_a_terminal_that_is_too_narrow_for_names(monkeypatch, answer, aside):
    """Where names do not fit even by themselves they go over several lines, and nothing of them is lost."""
    monkeypatch.setattr(output, "PIPE_WIDTH", 30)
    Output(stdout=answer, stderr=aside).table(("Name",), [("x" * 63,)])

    assert answer.text.count("x") == 63
    assert max(map(len, answer.text.splitlines())) <= 30


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
        out.warning("w")
        out.detail("detail")
        out.error("error")

    assert aside.text.split() == [
        *("error:", "error"),
        *("note", "warning:", "w", "error:", "error"),
        *("note", "warning:", "w", "detail", "error:", "error"),
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
