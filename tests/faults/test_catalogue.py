"""The catalogue of faults in docs/reliability.md, and the tests that it names."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAPER = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")

_ROW = re.compile(r"^\| ([A-HO]\d+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`(test_\w+)`")
_ENTRY = re.compile(r"\b([A-HO]\d+)\b")

ROWS = {name: (expected, tried) for name, _, expected, tried in _ROW.findall(PAPER)}


def functions(folder: Path) -> Iterator[ast.FunctionDef]:
    """All tests of a folder, but those of this file."""
    for path in set(folder.rglob("test_*.py")) - {Path(__file__)}:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield node


def test_every_entry_is_there_once():
    """The groups are numbered without a gap, and no entry is there twice."""
    counted = Counter(name for name, *_ in _ROW.findall(PAPER))
    lengths = {"A": 14, "B": 20, "C": 11, "D": 6, "E": 7, "F": 17, "H": 12, "O": 8}
    expected = [f"{group}{n}" for group, length in lengths.items() for n in range(1, length + 1)]
    assert list(counted) == expected
    assert set(counted.values()) == {1}


def test_every_test_that_is_named_exists():
    """No row promises a test that is gone or has another name by now."""
    known = {each.name for each in functions(TESTS)}
    for name, (_, tried) in ROWS.items():
        assert set(_TEST.findall(tried)) <= known, name


def test_what_has_no_test_says_why():
    """A row without a test, a sweep or a campaign tells what keeps it from being tried."""
    for name, (expected, tried) in ROWS.items():
        if tried == "-":
            assert re.search("Not brought about: |there (is|are) no", expected), name


def test_tests_of_faults_are_in_the_catalogue():
    """Each test of this folder names its entries first, and stands in their rows."""
    for test in functions(Path(__file__).parent):
        entries = _ENTRY.findall((ast.get_docstring(test) or "").partition(":")[0])
        assert entries, f"{test.name} names no entry of the catalogue"
        for entry in entries:
            assert test.name in _TEST.findall(ROWS[entry][1]), (test.name, entry)
