"""The names of pipelines, jobs, workers and queues, and words that resemble each other."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher

from rush.errors import ConfigurationError

#: For the whole of a name. The CHECK constraints of the tables say the same.
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
MAX_NAME = 63

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")
_SPOKEN = {" ": "a space", "\n": "a line break", "\t": "a tab"}


def check_name(name: str, what: str = "name") -> str:
    """The name itself. Raises ConfigurationError for one that cannot be a `what`, or is no text."""
    check_text(name, what)
    if fault := fault_of_name(name):
        raise ConfigurationError(f"{what} {quoted(name)}: {fault}")
    return name


def check_text(value: object, what: str) -> None:
    """Raises ConfigurationError where something that must be a text is none."""
    if not isinstance(value, str):
        raise ConfigurationError(f"{what} must be text, not a Python {type(value).__name__}")


def fault_of_name(name: str) -> str | None:
    """What is wrong with a name, as a phrase that begins with "must"; None when nothing is."""
    if re.fullmatch(NAME_PATTERN, name):
        return None
    if not name:
        return "must not be empty"
    if wrong := _NOT_IN_NAMES.search(name):
        return f"must hold only letters (a to z), digits and . _ -, not {_spoken(wrong[0])}"
    if len(name) > MAX_NAME:
        return f"must have at most {MAX_NAME} characters, not {len(name)}"
    return f"must begin with a letter or a digit, not {quoted(name[0])}"


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` was probably meant to be; None where none is like it."""
    best, best_ratio = None, 0.6
    match = SequenceMatcher(autojunk=False)
    match.set_seq2(word.casefold())
    for candidate in candidates:
        match.set_seq1(candidate.casefold())
        # The quick ratios are upper bounds of the true one, which is dear.
        if match.real_quick_ratio() > best_ratio and match.quick_ratio() > best_ratio:
            ratio = match.ratio()
            if ratio > best_ratio:
                best, best_ratio = candidate, ratio
    return best


class Guesses:
    """What unknown words were meant to be, for the first few: it is dear among many candidates."""

    def __init__(self, candidates: Iterable[str], limit: int = 20) -> None:
        self._candidates = tuple(candidates)
        self._limit = limit
        self._endings: dict[str, str] = {}

    def ending(self, word: str) -> str:
        """The end of a message about an unknown word: empty, or a question."""
        if word not in self._endings and len(self._endings) < self._limit:
            meant = closest(word, self._candidates)
            # A candidate may be as wrong as the word: it is shown as data is.
            self._endings[word] = f"; did you mean `{quoted(meant)[1:-1]}`?" if meant else ""
        return self._endings.get(word, "")


def quoted(text: str, limit: int = 60) -> str:
    """A text in quotes, fit to be shown: cut at `limit`, what does not print escaped."""
    cut = text if len(text) <= limit else f"{text[:limit]}…"
    return '"' + "".join(map(_shown, cut)) + '"'


def _shown(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else ascii(character)[1:-1]


def _spoken(character: str) -> str:
    """A character that is in the way. Many look like others, or like nothing: their name says more."""
    if character in _SPOKEN:
        return _SPOKEN[character]
    name = "" if character.isascii() else unicodedata.name(character, "")
    return f"{quoted(character)} ({name})" if name else quoted(character)
