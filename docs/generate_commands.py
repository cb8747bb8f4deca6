"""
Write docs/commands.md from the help texts of the command line: `python docs/generate_commands.py`.

A test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cyclopts import App
from cyclopts.help import HelpEntry, HelpPanel, InlineText
from rich.console import Console, ConsoleOptions

from rush.cli.app import COMMANDS, build

PAGE = Path(__file__).with_name("commands.md")
COMMON = "Common options"
#: What a program does not say about itself in a help text.
HEAD = """\
# Commands

This page is made from the help texts by `python docs/generate_commands.py`. `rush --help` and
`rush COMMAND --help` print the same.

RUN is a run's id (`12`), or its name: the pipeline and the number within it (`etl/7`). The answer
goes to stdout, all that is said beside it to stderr. With `--json` the answer is JSON: times are
ISO 8601, durations are seconds.

| exit code | meaning |
|---|---|
| 0 | fine |
| 1 | a run or a check failed, or the master rejected the request |
| 2 | usage or configuration: a flag, a setting, a definition, a schema that does not fit |
| 3 | not found: no such pipeline, run, job, worker or file |
| 4 | the database is out of reach, or refused |
| 5 | gave up waiting; what was waited for goes on |
| 130 | interrupted |
"""


class Page:
    """The help page of one command, as cyclopts hands it to its formatter."""

    def __init__(self, app: App, chain: list[str]) -> None:
        self.name = " ".join(["rush", *chain])
        self.usage = self.description = ""
        self.panels: dict[str, list[HelpEntry]] = {}
        app.help_formatter = self
        app.help_print(chain)

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        self.panels[str(panel.title)] = list(panel.entries)

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        self.usage = str(usage).strip()

    def render_description(
        self, console: Console, options: ConsoleOptions, description: Any
    ) -> None:
        self.description = text_of(description)


def generate() -> str:
    """The whole page."""
    parts = [HEAD, *options_of_all()]
    for name, _, _ in COMMANDS:
        for page in pages_of(name):
            parts += section(page)
    return "\n".join(parts)


def pages_of(name: str) -> Iterator[Page]:
    """A command's own page, and those of its subcommands."""
    page = Page(build(called=name), [name])
    yield page
    for entry in page.panels.get("Commands", ()):
        yield Page(build(called=name), [name, *entry.names])


def options_of_all() -> Iterator[str]:
    page = Page(build(called="runs"), ["runs"])
    yield f"## {COMMON}\n"
    yield (
        "Every command has these; `init`, `demo` and `validate`, which need neither project nor "
        "database,\nhave the first four.\n"
    )
    yield table(page.panels[COMMON])


def section(page: Page) -> Iterator[str]:
    level = "##" if page.name.count(" ") == 1 else "###"
    yield f"{level} `{page.name}`\n"
    text, _, examples = page.description.partition("\n\nFor example:\n")
    yield f"{text}\n"
    yield f"    {page.usage}\n"
    entries = [
        entry
        for title, panel in page.panels.items()
        if title not in (COMMON, "Commands")
        for entry in panel
    ]
    if entries:
        yield table(entries)
    if examples:
        yield "```sh\n" + re.sub(r"^  ", "", examples, flags=re.MULTILINE) + "\n```\n"


def table(entries: Iterable[HelpEntry]) -> str:
    rows = [f"| {label(entry)} | {meaning(entry)} |" for entry in entries]
    return "\n".join(["| | |", "|---|---|", *rows, ""])


def label(entry: HelpEntry) -> str:
    if entry.positional_label:
        return f"`{entry.positional_label}`"
    names = ", ".join((*entry.positive_names, *entry.positive_shorts))
    return f"`{names} {entry.metavar}`" if entry.metavar else f"`{names}`"


def meaning(entry: HelpEntry) -> str:
    words = [text_of(entry.description)]
    if entry.choices:
        words.append(f"One of {', '.join(entry.choices)}.")
    if entry.default not in {None, "False", "()"}:
        words.append(f"Default: `{entry.default}`.")
    return " ".join(words)


def text_of(description: Any) -> str:
    if isinstance(description, InlineText):
        description = description.primary_renderable
    return str(description or "").strip()


if __name__ == "__main__":
    PAGE.write_text(generate(), encoding="utf-8")
