"""
Trying a planted bug: a copy of `src` with one change, and the test that must fail there.

The working tree is never touched. The copy comes first on PYTHONPATH, so that workers which a
test starts run it too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]

#: Prepares a statement: a change after which that fails has broken it, and proves nothing.
PREPARES = "tests/store/test_queries.py::test_every_query_fits_the_schema[{}]"

#: Failures that say that the change is no program, whatever it was meant to break.
NONSENSE = (
    "AttributeError",
    "ImportError",
    "ModuleNotFoundError",
    "NameError",
    "SyntaxError",
    "TypeError",
    "psycopg.errors.Ambiguous",
    "psycopg.errors.Indeterminate",
    "psycopg.errors.Syntax",
    "psycopg.errors.Undefined",
)

#: Each test starts a server of its own.
EMBEDDED = "embedded"

Verdict = Literal["caught", "survived", "broken", "does not apply"]


class NotRun(Exception):
    """The tests could not be run: nothing can be said about them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A planted bug."""

    name: str
    #: What is broken, and what it would cost.
    cost: str
    #: Below src/rush.
    file: str
    #: The line with which the statement or function begins that is meant; empty: the whole file.
    inside: str = ""
    #: What stands there exactly once. White space stands for any white space.
    old: str
    new: str
    #: The test that must fail.
    test: str

    def applied(self, text: str) -> str:
        """The text with the bug in it. Raises LookupError where it is not clear what is meant."""
        start, end = _extent(text, self.inside)
        pattern = r"\s+".join(re.escape(word) for word in self.old.split())
        found = list(re.finditer(pattern, text[start:end]))
        if len(found) != 1:
            where = f" inside of {self.inside!r}" if self.inside else ""
            raise LookupError(f"{self.file} has {self.old!r} {len(found)} times{where}, not once")
        return text[: start + found[0].start()] + self.new + text[start + found[0].end() :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What came of trying a mutant."""

    mutant: Mutant
    verdict: Verdict
    #: The failure's first line, or why there is none.
    told: str
    seconds: float


def attempt(mutant: Mutant, server: str = EMBEDDED) -> Ending:
    """Plant the bug in a copy, and run its test there."""
    began = time.monotonic()
    try:
        with copy() as src:
            path = src / "rush" / mutant.file
            path.write_text(mutant.applied(path.read_text()))
            verdict, told = _judge(src, path, mutant, server)
    except LookupError as error:
        verdict, told = "does not apply", str(error)
    except NotRun as error:
        verdict, told = "broken", str(error)
    return Ending(mutant=mutant, verdict=verdict, told=told, seconds=time.monotonic() - began)


@contextmanager
def copy() -> Iterator[Path]:
    """A copy of `src`, without what Python has compiled of it."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        src = Path(folder, "src")
        shutil.copytree(ROOT / "src", src, ignore=shutil.ignore_patterns("__pycache__"))
        yield src


def failures(src: Path, tests: Sequence[str], server: str = EMBEDDED) -> dict[str, str]:
    """
    Run tests on a copy. Returns what has failed, and the first line that was said of it.
    Raises NotRun.
    """
    report = src.parent / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [
            *command,
            "--timeout=60",
            "--tb=line",
            f"--server={server}",
            f"--junitxml={report}",
            *tests,
        ],
        cwd=ROOT,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(src)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode not in (0, 1):
        raise NotRun(
            f"pytest has ended with {ran.returncode}:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"
        )
    cases = list(ElementTree.parse(report).iter("testcase"))
    if len(cases) < len(tests) or any(case.find("skipped") is not None for case in cases):
        raise NotRun(f"not all of the tests ran:\n{ran.stdout[-2000:]}")
    return {
        case.get("name", ""): wrong.get("message", "").split("\n")[0]
        for case in cases
        for wrong in [*case.findall("failure"), *case.findall("error")]
    }


def _judge(src: Path, path: Path, mutant: Mutant, server: str) -> tuple[Verdict, str]:
    if path.suffix == ".py" and (problem := _unreadable(path)):
        return "broken", problem
    statement = re.match("-- name: (\\w+)", mutant.inside)
    prepares = [PREPARES.format(statement[1])] if statement else []
    failed = failures(src, [*prepares, mutant.test], server)
    name = mutant.test.partition("::")[2]
    nonsense = {k: v for k, v in failed.items() if k != name or v.startswith(NONSENSE)}
    if nonsense:
        return "broken", "; ".join(f"{test}: {told}" for test, told in nonsense.items())
    if name not in failed:
        return "survived", f"{mutant.test} has passed"
    return "caught", failed[name]


def _unreadable(path: Path) -> str:
    """What is wrong with a module that cannot be compiled, or names what is not there."""
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select=E9,F821", "-q", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    return checked.stdout.strip()


def _extent(text: str, inside: str) -> tuple[int, int]:
    """From where to where a statement or a function goes."""
    if not inside:
        return 0, len(text)
    if text.count(inside) != 1:
        raise LookupError(f"{inside!r} stands there {text.count(inside)} times, not once")
    start = text.index(inside)
    following = re.search(r"^ *(?:def |class |@|-- name: )", text[start + len(inside) :], re.M)
    return start, len(text) if following is None else start + len(inside) + following.start()
