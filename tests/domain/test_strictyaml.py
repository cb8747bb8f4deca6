from __future__ import annotations

import json
from time import process_time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rush.domain import strictyaml
from rush.domain.located import Builder, problems_from
from rush.domain.strictyaml import MAX_ALIASED
from rush.errors import DefinitionError, Problem

QUICK = settings(deadline=None, database=None, max_examples=50)

LIMIT = 1_000_000


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True, scope="module")
def loader(request):
    """Both of PyYAML's parsers: the one in C is not there on every machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strictyaml, "_Loader", getattr(yaml, request.param))
        yield


def scan(text: str) -> Builder:
    return strictyaml.scan(text, LIMIT)


def problems_of(text: str) -> list[Problem]:
    """What is wrong with a text, whether it could be read on or not."""
    try:
        source = scan(text)
    except DefinitionError as error:
        return list(error.problems)
    return problems_from(source.faults, source.value, source.marks)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: [x, -2.5, 'y z']", {"a": 1, "b": ["x", -2.5, "y z"]}),
        ("- true\n- False\n- null\n- ~\n-", [True, False, None, None, None]),
        ("a: '1'\nb: \"yes\"\nc: |\n  2013-01-01\n", {"a": "1", "b": "yes", "c": "2013-01-01\n"}),
        ("a: 1e3", {"a": 1000.0}),
        ("a: 1h30m", {"a": "1h30m"}),
        ("a: =", {"a": "="}),
        ('{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}),
        ("base: &b {x: 1}\ncopy: *b", {"base": {"x": 1}, "copy": {"x": 1}}),
        (
            "gap: &g 5\nother: *g\nagain: &g 6\nlast: *g",
            {"gap": 5, "other": 5, "again": 6, "last": 6},
        ),
        ("&k key: 1\nof: *k", {"key": 1, "of": "key"}),
        ("# only\n--- # a\nx: é😀 # b\n...\n", {"x": "é😀"}),
    ],
)
def test_values(text, value):
    """YAML that says what JSON can say is read as such."""
    source = scan(text)

    assert source.faults == []
    assert source.value == value


@pytest.mark.parametrize("word", ["yes", "No", "on", "OFF"])
def test_words_that_some_take_for_truths(word):
    """What is a truth to some readers of YAML and text to others is neither here."""
    assert [str(each) for each in problems_of(f"a: {word}")] == [
        f"a: must be true or false, or in quotes to be text, not {word}"
    ]


@pytest.mark.parametrize(
    "number", ["010", "0x1F", "1_000", "1:30", "+1", ".5", "1.", ".inf", ".nan"]
)
def test_numbers_that_json_does_not_write(number):
    """What is a number to some readers of YAML only must be written so that all agree."""
    assert [str(each) for each in problems_of(f"a: {number}")] == [
        f"a: must be a number as JSON writes it, or in quotes to be text, not {number}"
    ]


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        (
            "a:\n  - 2013-01-01",
            2,
            5,
            "a[0]: must be in quotes to be text, since JSON has no dates: 2013-01-01",
        ),
        (
            "a: &a {x: 1}\nb:\n  <<: *a",
            3,
            3,
            'b["<<"]: the key must be in quotes to be text',
        ),
        ("a: <<", 1, 4, "a: must be in quotes to be text, since nothing is merged here: <<"),
        ("a: !!str 5", 1, 4, "a: must have no tag, like !!str or !name"),
        (
            "a: !!python/object/apply:os.system [ls]",
            1,
            4,
            "a: must have no tag, like !!str or !name",
        ),
        ("!x {a: 1}", 1, 1, "must have no tag, like !!str or !name"),
        ("1: x", 1, 1, '["1"]: the key must be in quotes to be text'),
        ("yes: x", 1, 1, "yes: the key must be in quotes to be text"),
        ("a: 1\nb: 2\na: 3", 3, 1, "a: is here twice"),
        ("a: 1e999", 1, 4, "a: must be a number below 1.8e308, not 1e999"),
        ("- " + "1" * 1001, 1, 3, "[0]: must be a number of at most 1000 digits"),
        (r'a: "\0"', 1, 4, r"a: must not hold the character \u0000"),
        ("? [a]\n: 1", 1, 3, "must have text as its keys, not lists or objects"),
        ("? {a: 1}\n: 1", 1, 3, "must have text as its keys, not lists or objects"),
        ("a: &a x\n*a : 1", 2, 1, "must have text as its keys, not an alias"),
        ("a: *nobody", 1, 4, "a: nothing whole has the anchor &nobody before this"),
        ("a: &a [1, *a]", 1, 11, "a[1]: nothing whole has the anchor &a before this"),
        ("a: 1\n---\nb: 2", 2, 1, "must be a single document, and another one begins here"),
        ("", 1, 1, "is empty"),
        ("# nothing\n", 1, 1, "is empty"),
        ("a: x\n\x1b[31m", 2, 1, r'must not hold the character "\x1b"'),
        ("a: \x00", 1, 4, r'must not hold the character "\x00"'),
        ("a: \ud800", 1, 4, r'must not hold the character "\ud800"'),
        pytest.param(
            "[\n" * 100_000, 65, 1, "[0]" * 64 + ": is nested deeper than 64", id="100,000 lists"
        ),
        pytest.param(
            "- " * 1000, 1, 129, "[0]" * 64 + ": is nested deeper than 64", id="1000 lists"
        ),
        pytest.param(
            "x" * (LIMIT + 1), None, None, "must not be larger than 0.953674 MiB", id="1 MB"
        ),
    ],
)
def test_refused(text, line, column, problem):
    """What JSON cannot say, or readers disagree on, is refused with its place, line and column."""
    (found,) = problems_of(text)

    assert (str(found), found.line, found.column) == (problem, line, column)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: b: c", 1),
        ("é: {a: 1]", 1),
        ("a: 1\n\tb: 2", 2),
        ("a: 'open", 1),
        ("a: %x", 1),
        ("- a\nb: c", 2),
    ],
)
def test_what_is_not_yaml(text, line):
    """A mistake of syntax is one problem that says so, with its line."""
    (found,) = problems_of(text)

    assert found.message.startswith("this is not YAML: ")
    assert found.line == line


def test_bombs():
    """Ten lines of aliases that mean a billion values are refused without making them."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    begun = process_time()
    (found,) = problems_of("\n".join(lines))

    assert found.message == f"aliases stand for more than {MAX_ALIASED} values"
    assert process_time() - begun < 0.1


@QUICK
@given(st.text(alphabet="ab01:-[]{},&*!?|>'\"#%@ \n\t~=<.\\ué") | st.text(max_size=50))
def test_any_text_is_read_or_refused(text):
    """Any text whatever is a value that JSON can write, or has problems."""
    if not problems_of(text):
        value = scan(text).value
        assert json.loads(json.dumps(value, allow_nan=False)) == value


@QUICK
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(-1e6, 1e6) | st.text("ab 1:-#'é\n"),
        lambda parts: st.lists(parts) | st.dictionaries(st.text("ab 1:-#'é\n"), parts),
        max_leaves=10,
    )
)
def test_reads_json(value):
    """JSON is YAML too, and means the same."""
    text = json.dumps(value, ensure_ascii=False)

    assert scan(text).value == value


@pytest.mark.parametrize(
    ("text", "place", "line"),
    [
        ("jobs:\n  - name: a\n    class_name: x\n   bad: 3\n  - name: b\n", "jobs[0]", 4),
        ("jobs:\n  - name: a\n  - name: b\n   bad: 3\n", "jobs[1]", 4),
        ("jobs: [{name: a} {name: b}]\n", "jobs[0]", 1),
        ("jobs: [{name: a}, @x]\n", "jobs[1]", 1),
        ("jobs: [{name: a}, , ]\n", "jobs[1]", 1),
    ],
)
def test_a_list_that_does_not_go_on(text, place, line):
    """What is wrong after a value of a list is told of that value, not of one that is still to come."""
    (problem,) = problems_of(text)

    assert (problem.place, problem.line) == (place, line)
    assert problem.message.startswith("this is not YAML: ")
