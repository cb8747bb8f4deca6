"""
Every error that Rush raises on purpose.

    RushError
     ├── ConfigurationError        flags, environment, rush.toml, names, parameters
     │    ├── DefinitionError      a pipeline's definition, with every problem found
     │    └── SchemaError          the database's schema is older or newer than this Rush
     ├── NotFoundError             no such pipeline, run, job, worker or file
     ├── RefusedError              the master rejected a request, with its reason
     ├── DatabaseError             the database cannot be reached, or refused a statement
     └── GaveUpWaiting             the time allowed for waiting is over; what was waited for goes on

The message says what is wrong, where, and what to do about it. `exit_code` is
what the command line ends with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


class RushError(Exception):
    """Something that Rush can explain. The message is written for the person who reads it."""

    exit_code = 1


class ConfigurationError(RushError):
    """A flag, a variable, a file or a value that cannot be right, whatever the state of the world."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in a text, and where."""

    #: The path to it, as a reader of the text would say it: `jobs[1].timeout_minutes`.
    place: str
    message: str
    #: Both from 1, where the text came from a file.
    line: int | None = None
    column: int | None = None

    def within(self, place: str) -> Problem:
        """The same, where the text is itself a part of something that is at a place."""
        dot = "." if place and self.place and not self.place.startswith("[") else ""
        return replace(self, place=f"{place}{dot}{self.place}")

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class DefinitionError(ConfigurationError):
    """A definition that cannot be run. `problems` has every one that was found, in reading order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class SchemaError(ConfigurationError):
    """The database's schema does not fit this version of Rush."""


class NotFoundError(RushError):
    """What was named does not exist."""

    exit_code = 3


class RefusedError(RushError):
    """The master rejected a request. The message is the reason that stands in `run_request.reason`."""


class DatabaseError(RushError):
    """The database is out of reach, or would not do what was asked."""

    exit_code = 4


class GaveUpWaiting(RushError):
    """The time allowed for waiting is over. What was waited for goes on without us."""

    exit_code = 5
