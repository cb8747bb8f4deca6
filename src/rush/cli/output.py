"""
How the command line looks: the same shapes, words and colours everywhere.

The answer goes to stdout, as a table for people or as JSON for programs; all that
is said beside it goes to stderr. Data is escaped before it is shown, so that
nothing that a job wrote can drive the reader's terminal.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias

from rich.console import Console
from rich.text import Text

from rush.logs import escape_controls, wants_colour

if TYPE_CHECKING:
    from rich.table import Table

ColorChoice: TypeAlias = Literal["auto", "always", "never"]
#: None is shown as a dash, a whole number with commas, and anything else as its text.
Cell: TypeAlias = str | int | float | Path | Text | None

#: What a pipe is wide: nothing that a program reads is cut.
PIPE_WIDTH = 10_000
#: What is between two columns.
GAP = 3
#: What a column that wraps is left with, at the least.
WRAP_ROOM = 20


@dataclass(frozen=True, slots=True)
class Look:
    """How one state is shown: its shape, the shape where there is only ASCII, its colour."""

    shape: str
    ascii_shape: str
    colour: str


GREY, BLUE_GREY, BLUE, TEAL = "#80868b", "#6f8ba4", "#3b82f6", "#14a08c"
ORANGE, RED = "#d97706", "#dc2f3c"

LOOKS = {
    "Waiting": Look("◷", "~", GREY),
    "Ready": Look("○", "o", BLUE_GREY),
    "Running": Look("◐", ">", BLUE),
    "Complete": Look("✓", "+", TEAL),
    "Failed": Look("✗", "x", ORANGE),
    "Stuck": Look("⬣", "!", RED),
    "Cancelled": Look("⊘", "/", GREY),
    "Skipped": Look("◌", "-", GREY),
}


@dataclass(frozen=True, slots=True)
class Column:
    """
    A column of a table. Numbers stand at the right; only what may be long wraps, and where the
    terminal is narrow names too, rather than being cut.
    """

    title: str
    right: bool = False
    wraps: bool = False
    #: Where there is too little room, the column with the highest goes first; 0 stays.
    spare: int = 0


class Output:
    """The two streams of a command, and how to speak on them."""

    def __init__(
        self,
        *,
        color: ColorChoice = "auto",
        quiet: bool = False,
        verbose: bool = False,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self.console = _console(sys.stdout if stdout is None else stdout, color)
        self.aside = _console(sys.stderr if stderr is None else stderr, color)
        self.quiet = quiet
        self.verbose = verbose

    def say(self, text: str | Text = "") -> None:
        """A line of the answer."""
        self.console.print(_shown(text), soft_wrap=True)

    def raw(self, text: str) -> None:
        """An answer that is to be used as it stands: a script, a URL."""
        self.console.file.write(text)

    def json(self, value: object) -> None:
        """The answer for programs. Times are ISO 8601, durations seconds."""
        self.raw(json.dumps(value, indent=2, default=_as_json) + "\n")

    def table(
        self, columns: Sequence[Column | str], rows: Iterable[Sequence[Cell]], *, empty: str = ""
    ) -> None:
        """A table; where it has no rows, `empty` says beside the answer what would fill it."""
        filled = [list(row) for row in rows]
        if not filled:
            self.note(empty)
            return
        laid_out = self.laid_out(columns, filled)
        self.console.print(laid_out)
        shown = {str(column.header) for column in laid_out.columns}
        titles = [each if isinstance(each, str) else each.title for each in columns]
        if left_out := [title for title in titles if title not in shown]:
            self.note(f"left out, for want of room: {', '.join(left_out)}")

    def laid_out(self, columns: Sequence[Column | str], rows: Iterable[Sequence[Cell]]) -> Table:
        """A table that is not printed yet."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        full = [Column(each) if isinstance(each, str) else each for each in columns]
        cells = [[self._cell(cell) for cell in row] for row in rows]
        widths = [_width(column, at, cells) for at, column in enumerate(full)]
        kept = _fitting(full, widths, self.console.width)
        is_tight = _total(widths[at] for at in kept) > self.console.width
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, border_style="dim")
        for column in (full[at] for at in kept):
            wraps = column.wraps or (is_tight and not column.right)
            table.add_column(
                Text(column.title, style="dim"),
                justify="right" if column.right else "left",
                no_wrap=not wraps,
                overflow="fold" if wraps else "ellipsis",
            )
        for row in cells:
            table.add_row(*(row[at] for at in kept))
        return table

    def note(self, text: str | Text) -> None:
        """Said beside the answer, unless -q."""
        if not self.quiet:
            self.aside.print(_shown(text), soft_wrap=True)

    def detail(self, text: str) -> None:
        """Said beside the answer with -v."""
        if self.verbose:
            self.aside.print(Text(escape_controls(text), style="dim"), soft_wrap=True)

    def warning(self, text: str) -> None:
        """What may be a mistake, and does not keep the command from its work; not with -q."""
        if not self.quiet:
            self.aside.print(
                Text.assemble(("warning:", f"bold {ORANGE}"), " ", escape_controls(text)),
                soft_wrap=True,
            )

    def error(self, text: str) -> None:
        """What went wrong; of several lines each is an error of its own."""
        for line in text.split("\n"):
            self.aside.print(
                Text.assemble(("error:", f"bold {RED}"), " ", escape_controls(line)), soft_wrap=True
            )

    def help(self, text: str) -> None:
        """What to do about an error."""
        self.aside.print(
            Text.assemble(("help:", "bold"), " ", escape_controls(text)), soft_wrap=True
        )

    def state(self, word: str) -> Text:
        """A state's word with its shape and colour; any other word as it is."""
        look = LOOKS.get(word)
        if look is None:
            return Text(escape_controls(word))
        return Text(f"{self.shape(look)} {word}", style=look.colour)

    def shape(self, look: Look) -> str:
        return self.either(look.shape, look.ascii_shape)

    def either(self, text: str, ascii_text: str) -> str:
        """The text, or the other where stdout's encoding has no way to write it."""
        try:
            text.encode(self.console.encoding)
        except UnicodeEncodeError:
            return ascii_text
        return text

    def _cell(self, cell: Cell) -> Text:
        match cell:
            case None:
                return Text(self.either("\u2013", "-"), style="dim")
            case int():
                return Text(f"{cell:,}")
            case Text():
                return cell
            case _:
                return Text(escape_controls(str(cell)))


def ago(moment: datetime, now: datetime) -> str:
    """How long before or after `now`, in the largest unit: `12 s ago`, `in 3 h`."""
    seconds = (now - moment).total_seconds()
    words = _largest_unit(abs(seconds))
    if words == "0 s":
        return "now"
    return f"{words} ago" if seconds > 0 else f"in {words}"


def _largest_unit(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def _width(column: Column, at: int, cells: Sequence[Sequence[Text]]) -> int:
    """What a column takes, at the least, for nothing in it to be cut."""
    widest = max((row[at].cell_len for row in cells), default=0)
    return max(len(column.title), min(widest, WRAP_ROOM) if column.wraps else widest)


def _fitting(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """The positions of the columns that are shown: all, or those that can least be spared."""
    kept = list(range(len(columns)))
    for at in sorted(kept, key=lambda at: -columns[at].spare):
        if not columns[at].spare or _total(widths[each] for each in kept) <= room:
            break
        kept.remove(at)
    return kept


def _total(widths: Iterable[int]) -> int:
    return sum(width + GAP for width in widths) - GAP


def _console(stream: TextIO, color: ColorChoice) -> Console:
    coloured = wants_colour(stream, os.environ) if color == "auto" else color == "always"
    return Console(
        file=stream,
        force_terminal=coloured or stream.isatty(),
        no_color=not coloured,
        width=None if stream.isatty() else PIPE_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )


def _shown(text: str | Text) -> Text:
    return text if isinstance(text, Text) else Text(escape_controls(text))


def _as_json(value: object) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Path():
            return str(value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return asdict(value)
        case _:
            raise TypeError(f"{type(value).__name__} cannot be shown as JSON")
