from __future__ import annotations

import pytest

from rush.domain.params import merge, parse_assignment, read_value
from rush.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500", 500),
        ("-1.5", -1.5),
        ("true", True),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ('{"a": {"b": []}}', {"a": {"b": []}}),
        ('"500"', "500"),
        ("", ""),
        ("soon", "soon"),
        ("007", "007"),
        ("True", "True"),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("1" * 1001, "1" * 1001),
        ("[" * 65, "[" * 65),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        ("2013-01-01", "2013-01-01"),
        ("s3://bucket/key=1", "s3://bucket/key=1"),
    ],
)
def test_values(text, value):
    """What is strict JSON is read as such, and all else is the text itself."""
    read = read_value(text)

    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "assignment"),
    [
        ("rows=500", ("rows", 500)),
        ("where=a=b", ("where", "a=b")),
        ("empty=", ("empty", "")),
        ("two words=x", ("two words", "x")),
    ],
)
def test_assignments(text, assignment):
    """The key ends at the first equals sign."""
    assert parse_assignment(text) == assignment


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows", 'a parameter is given as key=value, not "rows"'),
        ("=5", 'a parameter is given as key=value, not "=5"'),
        ("", 'a parameter is given as key=value, not ""'),
        ("k" * 201 + "=1", "the key of a parameter must have at most 200 characters, not 201"),
        ("a=x\x00y", r"params.a: must not hold the character \u0000"),
        ("a=\ud800", r"params.a: must not hold half of a surrogate pair, \ud800"),
        ("a\x00=1", r"the key of a parameter must not hold the character \u0000"),
    ],
)
def test_refused_assignments(text, message):
    """What has no key, or cannot be kept by PostgreSQL, is refused before it gets there."""
    with pytest.raises(ConfigurationError) as caught:
        parse_assignment(text)

    assert str(caught.value) == message


def test_later_parameters_win():
    """The request's win over job_parameter's, and those over the definition's, key by key."""
    definition = {"a": 1, "b": 1, "c": {"x": 1}}

    merged = merge(definition, {"b": 2, "d": 2}, {"b": 3, "c": {"y": 3}})

    assert merged == {"a": 1, "b": 3, "c": {"y": 3}, "d": 2}
    assert definition == {"a": 1, "b": 1, "c": {"x": 1}}
