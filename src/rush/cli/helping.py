"""How `--help` looks: columns and space, no boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

#: The labels' column: wide enough for most, so that the sentences stand in one line below each other.
LABEL_WIDTH = 24


class HelpPages:
    """A formatter for cyclopts, which calls it for each panel of a page."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        # Imported here: every command has this formatter, and few are asked for help.
        from rich.table import Table
        from rich.text import Text

        if not panel.entries:
            return
        console.print(Text(str(panel.title), style="bold"))
        table = Table.grid(padding=(0, 2))
        table.add_column(min_width=LABEL_WIDTH, no_wrap=True)
        table.add_column()
        for entry in panel.entries:
            table.add_row(Text("  " + _label(entry)), _description(entry))
        console.print(table)
        console.print()

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        console.print(usage)

    def render_description(
        self, console: Console, options: ConsoleOptions, description: Any
    ) -> None:
        console.print(description)


def _label(entry: HelpEntry) -> str:
    """`--color CHOICE`, `--quiet, -q`, `FILE`: a positional argument without its flag."""
    if entry.positional_label:
        return entry.positional_label
    names = ", ".join(entry.positive_names + entry.positive_shorts)
    return f"{names} {entry.metavar}" if entry.metavar else names


def _description(entry: HelpEntry) -> Text:
    from rich.text import Text

    text = Text(_sentence(entry.description))
    if entry.choices:
        text.append(f" One of {', '.join(entry.choices)}.")
    if entry.default not in {None, "False", "()"}:
        text.append(f" [{entry.default}]", style="dim")
    return text


def _sentence(description: object) -> str:
    from cyclopts.help import InlineText

    if isinstance(description, InlineText):
        return str(description.primary_renderable)
    return str(description or "")
