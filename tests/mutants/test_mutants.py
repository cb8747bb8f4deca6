"""The planted bugs still fit the source, and what tries them tells what it must."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.mutants.table import MUTANTS
from tests.mutants.trial import ROOT, Mutant, attempt

#: It needs no server.
QUICK = Mutant(
    name="tokens-read-by-halves",
    cost="A token is read by two.",
    file="worker/channel.py",
    inside="def take(",
    old="os.read(self.reading, _TOKEN.size)",
    new="os.read(self.reading, _TOKEN.size) and _TOKEN.pack(1)",
    test="tests/worker/test_channel.py::test_each_token_is_taken_by_one",
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_planted_bug_fits_the_source(mutant: Mutant):
    """
    What a bug changes stands in the source exactly once, and the test that must fail is there.
    """
    source = (ROOT / "src" / "rush" / mutant.file).read_text()
    assert mutant.applied(source) != source

    file, _, test = mutant.test.partition("::")
    assert f"def {test.partition('[')[0]}(" in (ROOT / file).read_text()


def test_every_planted_bug_has_a_name_of_its_own():
    """
    A name tells one bug.
    """
    names = [mutant.name for mutant in MUTANTS]
    assert sorted(set(names)) == sorted(names)


def test_a_bug_that_a_test_sees_is_caught():
    """
    The test fails on the copy, and the source is as it was.
    """
    (mutant,) = (each for each in MUTANTS if each.name == "leases-by-the-workers-clock")
    source = (ROOT / "src" / "rush" / mutant.file).read_text()

    ending = attempt(mutant)

    assert ending.verdict == "caught", ending.told
    assert "assert" in ending.told
    assert (ROOT / "src" / "rush" / mutant.file).read_text() == source


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"new": "os.read(self.reading, 8)"}, "survived"),
        ({"new": "os.read(self.reading, eight)"}, "broken"),
        ({"old": "os.read(self.reading, 9)"}, "does not apply"),
        ({"old": "self", "inside": ""}, "does not apply"),
    ],
)
def test_what_proves_nothing_is_told(changed: dict[str, str], verdict: str):
    """
    A change that breaks nothing, is no program, or is of a source that has moved on, is not caught.
    """
    assert attempt(replace(QUICK, **changed)).verdict == verdict
