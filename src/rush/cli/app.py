"""
The command line, put together: which commands there are, and what becomes of errors.

A command is a module of this package with an `app` in it; adding one is a line in
COMMANDS. Modules are imported when their command is called. A command returns its
exit code, None for 0; what it cannot do it raises:

    0 fine · 1 a run or a check failed · 2 usage or configuration · 3 not found
    4 database out of reach · 5 gave up waiting · 130 interrupted
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from inspect import BoundArguments
from typing import Any

from cyclopts import App, CycloptsError, Group, UnusedCliTokensError

from rush import __version__
from rush.cli.context import CommonOptions
from rush.cli.definitions import lines_of
from rush.cli.helping import HelpPages
from rush.cli.output import Output
from rush.domain.names import quoted
from rush.errors import DefinitionError, RushError

START = Group("Start", sort_key=1)
RUN = Group("Run and watch", sort_key=2)
CONTROL = Group("Step in", sort_key=3)
CHECK = Group("Check and set up", sort_key=4)

#: A command is the `app` in the module of its name. What it is for is said here as well, so
#: that the list of commands imports none of them.
COMMANDS = (
    ("init", START, "Make a project that runs as made."),
    ("demo", START, "See a real pipeline run on real data, from an empty folder to a report."),
    ("worker", START, "Run jobs on this machine, and be the master when it is this one's turn."),
    ("dev", START, "Run everything at once: the database, a worker and the dashboard."),
    ("ui", START, "Serve the dashboard and the HTTP API."),
    ("run", RUN, "Start a run of a pipeline."),
    ("runs", RUN, "List runs, or show one."),
    ("logs", RUN, "Print what a run's jobs have logged and printed."),
    ("explain", RUN, "Say why a run's jobs are not running, and what they wait for."),
    ("pipelines", RUN, "List the pipelines, show one, apply definitions."),
    ("workers", RUN, "List the workers, drain one, reload their code."),
    ("audit", RUN, "Say who did what, when and why, and what came of it."),
    ("retry", CONTROL, "Run again what is Stuck, or from a job on."),
    ("acknowledge", CONTROL, "Say that somebody has looked at what is Stuck."),
    ("cancel", CONTROL, "End a run before it is through."),
    ("pause", CONTROL, "Hand out no more jobs of a pipeline, or none at all."),
    ("resume", CONTROL, "End what `rush pause` began."),
    ("validate", CHECK, "Check files with definitions of pipelines."),
    ("doctor", CHECK, "Look for what is wrong here, and say what to do."),
    ("users", CHECK, "Say who may use the dashboard and the HTTP API."),
    ("db", CHECK, "The database: its schema, its address, the embedded server."),
    ("config", CHECK, "The settings, and where each comes from."),
)

USAGE = 2


def build(called: str = "") -> App:
    """The whole command line, when the command `called` is going to be used."""
    app = App(
        name="rush",
        help="Multi-step data pipelines on nothing but PostgreSQL and Python.",
        version=f"rush {__version__}",
        help_format="plaintext",
        help_formatter=HelpPages(),
    )
    app["--help"].help = "Show such a page, of any command too."
    app["--version"].help = "Print the version."
    app["--help"].group = app["--version"].group = Group("Help", sort_key=9)
    for name, group, sentence in COMMANDS:
        # cyclopts would put the sentence in the place of a command's own, longer help.
        help = None if name == called else sentence
        app.command(f"rush.cli.{name}:app", name=name, help=help, group=group)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Raises nothing but KeyboardInterrupt."""
    out = Output()
    try:
        command, bound, _ = build(called=arguments[0] if arguments else "").parse_args(
            list(arguments),
            console=out.console,
            error_console=out.aside,
            print_error=False,
            exit_on_error=False,
        )
    except CycloptsError as error:
        return _misused(error, out)
    options = options_in(bound)
    return call(command, bound, options.output(), debug=options.debug)


def options_in(bound: BoundArguments) -> CommonOptions:
    for value in bound.arguments.values():
        if isinstance(value, CommonOptions):
            return value
    return CommonOptions()


def call(
    command: Callable[..., Any], bound: BoundArguments, out: Output, *, debug: bool = False
) -> int:
    """The exit code of a command, whatever becomes of it."""
    try:
        return command(*bound.args, **bound.kwargs) or 0
    except DefinitionError as error:
        out.error("\n".join(lines_of(error)))
        return error.exit_code
    except RushError as error:
        out.error(str(error))
        return error.exit_code
    except BrokenPipeError:
        return _left_by_its_reader()
    except Exception as error:
        return _failed(error, out, debug=debug or bool(os.environ.get("RUSH_DEBUG")))


def _misused(error: CycloptsError, out: Output) -> int:
    if isinstance(error, UnusedCliTokensError):
        left = " ".join(map(quoted, error.unused_tokens or ()))
        out.error(f"nothing is known here of {left}")
    else:
        out.error(" ".join(str(error).split()))
    chain = " ".join(error.command_chain or ())
    out.help(f"try `rush {chain} --help`" if chain else "try `rush --help`")
    return USAGE


def _left_by_its_reader() -> int:
    """`rush … | head` is over when head is; the interpreter must not complain of it on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _failed(error: Exception, out: Output, *, debug: bool) -> int:
    from psycopg import OperationalError

    if debug:
        out.aside.file.write(traceback.format_exc())
    what = str(error).strip().partition("\n")[0]
    if isinstance(error, OperationalError):
        out.error(f"the database is out of reach: {what}")
        return 4
    out.error(f"Rush failed, and this is its fault: {type(error).__name__}: {what}")
    if not debug:
        out.help("run it again with --debug for the traceback, and report it with that")
    return 1
