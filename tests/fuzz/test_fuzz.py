"""A little of `make fuzz`, with another seed every day; and that it finds what is wrong."""

from __future__ import annotations

from datetime import date

import pytest

from rush.domain import strictjson
from rush.domain.definition import Definition
from rush.domain.located import Fault
from rush.errors import Problem
from tests.fuzz import judge as judging
from tests.fuzz.generate import Fuzzed, fuzzed
from tests.fuzz.judge import Broken, judge, judge_in_database
from tests.support.kernel import Kernel

SEED = date.today().toordinal()


def test_definitions_from_a_seed() -> None:
    """Whatever is given for a definition is read or refused with its place, and nothing else happens."""
    accepted = 0
    for number in range(4000):
        try:
            accepted += judge(fuzzed(SEED, number)) is not None
        except Exception as error:
            raise AssertionError(f"python -m tests.fuzz --seed {SEED} --only {number}") from error
    assert 400 < accepted < 3600


def test_definitions_from_a_seed_in_a_database(kernel: Kernel) -> None:
    """What a file may say the table may say, with the same jobs and edges; what is refused leaves none."""
    for number in range(150):
        try:
            judge_in_database(fuzzed(SEED, number), kernel)
        except Exception as error:
            raise AssertionError(f"python -m tests.fuzz --seed {SEED} --only {number}") from error


def test_a_case_can_be_looked_at_again() -> None:
    """A case depends on the seed and its number alone."""
    assert [fuzzed(1, n).value for n in range(20) if fuzzed(1, n).form != "python"] == [
        fuzzed(1, n).value for n in range(20) if fuzzed(1, n).form != "python"
    ]
    assert fuzzed(1, 5).value != fuzzed(2, 5).value


GOOD = Fuzzed(
    0, "json", '{"jobs": [{"name": "a", "class_name": "a.A", "params": {"x": [1, "y"]}}]}'
)
BAD = Fuzzed(0, "json", '{"jobs": [{"name": "a b", "class_name": "a.A"}]}')


def test_a_crash_is_found(monkeypatch) -> None:
    """An exception that is no DefinitionError is not taken for a refusal."""

    def crash(*_: object) -> list[Fault]:
        raise KeyError("crash")

    monkeypatch.setattr(strictjson, "faults_in", crash)
    with pytest.raises(KeyError):
        judge(GOOD)


@pytest.mark.parametrize(
    ("place", "message", "line"),
    [("", "is strange", 1), ("jobs", "", 1), ("jobs", "\x1b[31m", 1), ("jobs", "must", 99)],
)
def test_a_poor_refusal_is_found(place, message, line) -> None:
    """A problem without a place, without words, with a terminal's, or beyond the text is told."""
    case = Fuzzed(0, "python" if not place else "json", "{}")
    problem = Problem(place=place, message=message, line=line, column=1)
    with pytest.raises(Broken):
        judging.judge_problem(problem, case)


def test_another_reading_in_the_table_is_found(monkeypatch) -> None:
    """A definition that is not the same when it is read again from the table is told."""
    written = iter({"jobs": [{"name": name, "class_name": "a.A"}]} for name in "ab")
    monkeypatch.setattr(Definition, "as_written", lambda _: next(written))
    with pytest.raises(Broken, match="another definition in the table"):
        judge(GOOD)


def test_what_is_compiled_in_two_ways_is_found(kernel: Kernel) -> None:
    """A master that stores something else than was inserted is told."""
    judge_in_database(GOOD, kernel)
    judge_in_database(BAD, kernel)
    kernel.sql(
        """
        CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.priority := random() * 1000; RETURN NEW; END $$;
        CREATE TRIGGER meddle BEFORE INSERT ON rush.pipeline_job
            FOR EACH ROW EXECUTE FUNCTION meddle();
        """
    )
    with pytest.raises(Broken, match="compiled in two ways"):
        judge_in_database(GOOD, kernel)
