from __future__ import annotations

import inspect
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import psycopg
import pytest

from rush import __version__
from rush.cli.app import COMMANDS, build, call
from rush.cli.output import Output
from rush.errors import (
    ConfigurationError,
    DatabaseError,
    DefinitionError,
    GaveUpWaiting,
    NotFoundError,
    Problem,
    RefusedError,
)

RUSH = Path(sys.executable).parent / "rush"


def ended_by(error: BaseException, capsys, **options) -> tuple[int, str]:
    def command() -> None:
        raise error

    code = call(command, inspect.signature(command).bind(), Output(), **options)
    return code, capsys.readouterr().err


def commands() -> Iterator[tuple[str, ...]]:
    """The path of every command that does something."""
    for name, *_ in COMMANDS:
        app = build(called=name)[name]
        if app.default_command:
            yield (name,)
        for part in app:
            if not part.startswith("-"):
                yield name, part


def test_the_version_is_told_at_once():
    """`rush --version` takes at most 150 ms more than a bare interpreter."""

    def best(*command: object) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            subprocess.run([str(part) for part in command], check=True, capture_output=True)
            times.append(time.perf_counter() - began)
        return min(times)

    assert best(RUSH, "--version") - best(sys.executable, "-c", "pass") < 0.150


def test_the_version_imports_nothing_heavy():
    """Saying the version loads neither the command line nor the driver nor the models."""
    code = (
        "from rush.cli.__main__ import main; main(['--version']); import sys; "
        "print({'cyclopts', 'rich', 'psycopg', 'pydantic', 'yaml'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert answer.stdout == f"rush {__version__}\nset()\n"


def test_the_list_of_commands_imports_none_of_them():
    """`rush --help` shows every command and loads no command's module."""
    code = (
        "from rush.cli.app import run; import sys; run(['--help']); "
        "print(sorted(name for name in sys.modules if name.startswith('rush.')))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    *page, modules = answer.stdout.splitlines()
    for name, _, sentence in COMMANDS:
        assert any(line.split() == [name, *sentence.split()] for line in page), name
        assert f"'rush.cli.{name}'" not in modules


def test_the_list_says_what_each_command_says_of_itself():
    """A command's sentence in the list is the first line of its own help."""
    for name, _, sentence in COMMANDS:
        app = import_module(f"rush.cli.{name}").app
        own = inspect.getdoc(app.default_command) if app.default_command else app.help
        assert own.split("\n")[0] == sentence, name


def test_every_command_has_help_with_examples(rush):
    """Each command's page says what it does, shows a call of it, and explains every parameter."""
    for path in commands():
        page = rush(*path, "--help").out
        assert "For example:\n  " in page, path
        assert f"rush {' '.join(path)}" in page.split("For example:")[1], path
        panels = re.split(r"\n(?:Arguments|Parameters|Common options)\n", page)[1:]
        for line in "".join(panels).splitlines():
            label, _, sentence = line.strip().partition("  ")
            assert sentence or not label, (path, label)


def test_help_has_no_boxes(rush):
    """The help pages are columns and space, with nothing drawn around them."""
    page = rush("--help").out

    assert page.startswith("rush COMMAND\n")
    assert not set(page) & set("╭╮╰╯│─┌┐└┘")


@pytest.mark.parametrize(
    ("arguments", "error", "help"),
    [
        (["confg"], 'Unknown command "confg". Did you mean "config"?', "try `rush --help`"),
        (["db", "strat"], 'Unknown command "strat". Did you mean "start"?', "try `rush db --help`"),
        (["config", "show", "--jsn"], "Unknown option: --jsn", "try `rush config show --help`"),
        (["config", "show", "--color", "blue"], "Invalid value", "try `rush config show --help`"),
        (["validate"], "requires an argument", "try `rush validate --help`"),
        (["init", "a", "b"], 'nothing is known here of "b"', "try `rush init --help`"),
        (
            ["pipelines", "pause", "etl"],
            'known here of "pause" "etl"',
            "try `rush pipelines --help`",
        ),
    ],
)
def test_usage_errors(rush, arguments, error, help):
    """What cannot be understood ends with 2, one line that says what, and where to read on."""
    ended = rush(*arguments)

    first, second = ended.err.splitlines()
    assert (ended.code, ended.out) == (2, "")
    assert first.startswith("error: ") and error in first
    assert second == f"help: {help}"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("no"), 2),
        (NotFoundError("no"), 3),
        (DatabaseError("no"), 4),
        (GaveUpWaiting("no"), 5),
        (RefusedError("no"), 1),
    ],
)
def test_exit_codes(capsys, error, code):
    """Every kind of error has its exit code, and is one line on stderr."""
    assert ended_by(error, capsys) == (code, "error: no\n")


def test_every_problem_has_a_line(capsys):
    """A definition's problems are listed one by one, with what is known of their place."""
    problems = [
        Problem(place="jobs[0].name", message="must not be empty", line=3, column=5),
        Problem(place="jobs", message="is missing"),
    ]

    assert ended_by(DefinitionError(problems), capsys) == (
        2,
        "error: 3:5: jobs[0].name: must not be empty\nerror: jobs: is missing\n",
    )


def test_errors_are_escaped(capsys):
    """Nothing that an error quotes can drive the terminal."""
    _, err = ended_by(NotFoundError("no pipeline \x1b[2J\u202e"), capsys)

    assert err == "error: no pipeline \\x1b[2J\\u202e\n"


def test_our_own_faults(capsys, monkeypatch):
    """An unexpected exception is an apology and 1; its traceback comes with --debug or RUSH_DEBUG."""
    monkeypatch.delenv("RUSH_DEBUG", raising=False)
    code, err = ended_by(ZeroDivisionError("by zero\nhere"), capsys)
    assert code == 1
    assert err.splitlines() == [
        "error: Rush failed, and this is its fault: ZeroDivisionError: by zero",
        "help: run it again with --debug for the traceback, and report it with that",
    ]

    assert (
        "Traceback (most recent call last)" in ended_by(ZeroDivisionError(), capsys, debug=True)[1]
    )
    monkeypatch.setenv("RUSH_DEBUG", "1")
    assert "Traceback (most recent call last)" in ended_by(ZeroDivisionError(), capsys)[1]


def test_a_database_that_goes_away_during_a_command(capsys):
    """A connection that breaks in the middle is exit code 4, however it comes to light."""
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect("host=127.0.0.1 port=1 connect_timeout=1")
    code, err = ended_by(caught.value, capsys)

    assert code == 4
    assert err.startswith("error: the database is out of reach: ")


def test_interrupted(monkeypatch):
    """Ctrl-C ends with 130 and without a traceback."""
    from rush.cli import __main__, app

    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "run", interrupted)
    with pytest.raises(SystemExit) as caught:
        __main__.main(["config", "show"])

    assert caught.value.code == 130


def test_a_reader_that_leaves(tmp_path):
    """A closed pipe ends the command quietly."""
    command = subprocess.Popen(
        [RUSH, "config", "show", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert command.stdout and command.stderr
    command.stdout.close()
    err = command.stderr.read()
    command.stderr.close()

    assert (command.wait(timeout=20), err) == (1, b"")


@pytest.mark.parametrize("choice", ["always", "never"])
def test_colour_by_flag(rush, choice):
    """--color decides, whatever the stream is."""
    ended = rush("config", "show", "--color", choice)

    assert ("\x1b[" in ended.out) == (choice == "always")


def test_a_worker_is_refused_where_there_is_neither_project_nor_database(rush, tmp_path):
    """In some folder without a database named, no server is made; it is said what to do."""
    ended = rush("worker", "w")

    assert ended.code == 2
    assert "is no project, and no database is named: make a project by `rush init`" in ended.err
    assert not (tmp_path / ".rush").exists()
