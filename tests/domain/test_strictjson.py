from __future__ import annotations

import enum
import json
import math
from datetime import date
from decimal import Decimal
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rush.domain.strictjson import MAX_TEXT, check, read
from rush.errors import DefinitionError, Problem

QUICK = settings(deadline=None, database=None, max_examples=80)

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda parts: st.lists(parts) | st.dictionaries(TEXTS, parts),
    max_leaves=10,
)


def problems_of(function, *given) -> list[Problem]:
    with pytest.raises(DefinitionError) as caught:
        function(*given)
    return list(caught.value.problems)


@QUICK
@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_reads_what_json_writes(value, indent, ascii_only):
    """Whatever Python writes as JSON is read as the same value, and is fit to be kept."""
    assert read(json.dumps(value, indent=indent, ensure_ascii=ascii_only)) == value
    check(value)


@QUICK
@given(st.text(alphabet='[]{},:"\\u0eE+-.1 tfnlrasuN\n\x00\ud800') | st.text())
def test_any_text_is_read_or_refused(text):
    """A text is read just as Python reads it, or refused with problems; nothing else is raised."""
    try:
        value = read(text)
    except DefinitionError as error:
        assert error.problems
    else:
        assert value == json.loads(text)


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("", 1, 1, "expected a value, but the text ends here"),
        (" \n ", 2, 2, "expected a value, but the text ends here"),
        ("{", 1, 2, "expected a key in quotes or }, but the text ends here"),
        ('{"a"', 1, 5, "a: expected a colon, but the text ends here"),
        ('{"a" 1}', 1, 6, 'a: expected a colon, but found "1"'),
        ('{"a":1 "b":2}', 1, 8, "expected a comma or }, but a text begins here"),
        ('{"a":1,}', 1, 8, 'expected a key in quotes, but found "}"'),
        ("{'a':1}", 1, 2, 'expected a key in quotes or }, but found "\'"'),
        ("{1:2}", 1, 2, 'expected a key in quotes or }, but found "1"'),
        ('{"a":}', 1, 6, 'a: expected a value, but found "}"'),
        ("[1,\n 2,\n]", 3, 1, '[2]: expected a value, but found "]"'),
        ("[1 2]", 1, 4, '[1]: expected a comma or ], but found "2"'),
        ("[1}", 1, 3, '[1]: expected a comma or ], but found "}"'),
        ("[", 1, 2, "[0]: expected a value or ], but the text ends here"),
        ("[1] 2", 1, 5, 'expected nothing more, but found "2"'),
        ("01", 1, 1, 'expected a value, but found "01"'),
        ("1.", 1, 1, 'expected a value, but found "1."'),
        ("+1", 1, 1, 'expected a value, but found "+"'),
        ("0x10", 1, 1, 'expected a value, but found "0x10"'),
        ("nul", 1, 1, 'expected a value, but found "nul"'),
        ("True", 1, 1, 'expected a value, but found "True"'),
        ('{"a":[1,{"b":tru}]}', 1, 14, 'a[1].b: expected a value, but found "tru"'),
        ("/* no */ 1", 1, 1, 'expected a value, but found "/"'),
        ("\x00", 1, 1, r'expected a value, but found "\x00"'),
        ("\ufeff1", 1, 1, r'expected a value, but found "\ufeff"'),
        ('["abc', 1, 2, "[0]: this text has no closing quote"),
        (
            '"a\nb"',
            1,
            3,
            r"a line break or other control character in a text must be escaped, like \n",
        ),
        (r'"\x"', 1, 2, "a backslash in a text must begin an escape of JSON"),
        (r'"\u12"', 1, 3, "a backslash in a text must begin an escape of JSON"),
        (r'{"\q": 1}', 1, 3, "a backslash in a text must begin an escape of JSON"),
        ("[" * 65, 1, 65, "[0]" * 64 + ": is nested deeper than 64"),
        pytest.param(
            "[" * 100_000, 1, 65, "[0]" * 64 + ": is nested deeper than 64", id="100,000 lists"
        ),
        pytest.param(
            '{"a":' * 100_000,
            1,
            321,
            "a" + ".a" * 63 + ": is nested deeper than 64",
            id="100,000 objects",
        ),
    ],
)
def test_what_is_not_json(text, line, column, problem):
    """What cannot be read on is refused with its place, line and column."""
    (found,) = problems_of(read, text)

    assert (found.line, found.column, str(found)) == (line, column, problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("NaN", "must be a number of JSON, not NaN"),
        ("-Infinity", "must be a number of JSON, not -Infinity"),
        ('{"a": Infinity}', "a: must be a number of JSON, not Infinity"),
        ("1e999", "must be a number below 1.8e308, not 1e999"),
        ("-1.0e400", "must be a number below 1.8e308, not -1.0e400"),
        pytest.param("1" * 1001, "must be a number of at most 1000 digits", id="1001 digits"),
        pytest.param(
            "9" * 1_000_000, "must be a number of at most 1000 digits", id="1,000,000 digits"
        ),
        pytest.param(
            "0." + "1" * 1001, "must be a number of at most 1000 digits", id="1001 places"
        ),
        (r'["\u0000"]', r"[0]: must not hold the character \u0000"),
        (r'"\ud800"', r"must not hold half of a surrogate pair, \ud800"),
        (r'"\udc00\ud800"', r"must not hold half of a surrogate pair, \udc00"),
        ('"\ud800"', r"must not hold half of a surrogate pair, \ud800"),
        (r'{"\ud800": 1}', r'["\ud800"]: the key must not hold half of a surrogate pair, \ud800'),
        ('{"a": 1, "a": 1}', "a: is here twice"),
        (r'{"a": 1, "\u0061": 1}', "a: is here twice"),
        ('{"x": [{"a b": {}, "a b": {}}]}', 'x[0]["a b"]: is here twice'),
    ],
)
def test_what_python_would_let_through(text, problem):
    """What Python's reader takes and PostgreSQL or the next reader does not is refused."""
    assert [str(each) for each in problems_of(read, text)] == [problem]


@pytest.mark.parametrize(
    "text",
    ["-0", "1E5", "1e-999", "1" * 1000, "-" + "1" * 1000, r'"\ud83d\ude00"', "[" * 64 + "]" * 64],
)
def test_what_is_within_the_limits(text):
    """The limits refuse nothing that lies within them."""
    assert read(text) == json.loads(text)


def test_reading_goes_on_after_bad_values():
    """All values that are wrong are found at once, in reading order, each with its mark."""
    problems = problems_of(read, '{"a": NaN,\n "b": ["\\u0000",\n 1e999],\n "a": 1}')

    assert [(each.place, each.line, each.column) for each in problems] == [
        ("a", 1, 7),
        ("b[0]", 2, 8),
        ("b[1]", 3, 2),
    ]


def test_large_texts_are_not_read():
    """More than 1 MiB of text is refused at once, and just as much is read."""
    assert read('"' + "x" * (MAX_TEXT - 2) + '"')

    begun = process_time()
    (problem,) = problems_of(read, "[" + "0," * MAX_TEXT)
    assert problem.message == "must not be larger than 1 MiB"
    assert process_time() - begun < 0.05


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (math.nan, "must be a number of JSON, not NaN"),
        ({"a": [math.inf]}, "a[0]: must be a number of JSON, not Infinity"),
        ({"a": "x\x00"}, r"a: must not hold the character \u0000"),
        (["\udfff"], r"[0]: must not hold half of a surrogate pair, \udfff"),
        ({"\x00": 1}, r'["\x00"]: the key must not hold the character \u0000'),
        pytest.param(10**1000, "must be a number of at most 1000 digits", id="1001 digits"),
        pytest.param(-(10**5000), "must be a number of at most 1000 digits", id="5001 digits"),
        ({"when": date(2013, 1, 1)}, "when: must be a value of JSON, not a Python date"),
        ({1, 2}, "must be a value of JSON, not a Python set"),
        (b"x", "must be a value of JSON, not a Python bytes"),
        (Decimal(1), "must be a value of JSON, not a Python Decimal"),
        (Colour.RED, "must be a value of JSON, not a Python Colour"),
        ({"a": {1: 2}}, "a: must have text as its keys, not a Python int"),
        pytest.param("x" * MAX_TEXT, "must not be larger than 1 MiB", id="1 MiB"),
        (["x" * 1000] * 1100, "must not be larger than 1 MiB"),
        pytest.param(
            {"x" * 1000 + str(n): 1 for n in range(1100)},
            "must not be larger than 1 MiB",
            id="keys of 1 MiB",
        ),
    ],
)
def test_python_values(value, problem):
    """A Python value that is not of strict JSON is refused in the same way."""
    assert [str(each) for each in problems_of(check, value)] == [problem]


def test_every_bad_part_of_a_value_is_found():
    """Checking a value does not end with its first fault."""
    problems = problems_of(check, {"b": math.nan, "a": [1, "\x00", (2, date.min)]})

    assert [each.place for each in problems] == ["b", "a[1]", "a[2][1]"]


def test_values_within_themselves():
    """A value that holds itself is too deep, and found to be so at once."""
    around: list[object] = []
    around += [around] * 10

    (problem,) = problems_of(check, around)

    assert problem.message == "is nested deeper than 64"
