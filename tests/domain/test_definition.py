from __future__ import annotations

import json
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rush.domain.definition import (
    Definition,
    JobDefinition,
    parse_definition,
    read_definition,
    read_pipeline_file,
)
from rush.errors import DefinitionError, Problem

QUICK = settings(deadline=None, database=None, max_examples=60)

EXAMPLE = """{"jobs": [
  {"name": "extract_data",   "class_name": "jobs.dummy_job.DummyJob", "timeout_minutes": 30, "retry_gap_minutes": 5,  "retry_limit": 3},
  {"name": "transform_data", "class_name": "jobs.move_to_db.MoveToDb", "timeout_minutes": 60, "retry_gap_minutes": 10, "retry_limit": 2}]}"""

JOB = {"name": "a", "class_name": "jobs.a.A"}
PLAIN = "must hold only letters (a to z), digits and . _ -, not"
PATH = "must be a dotted path to a class, like jobs.load.Load"


def problems_of(function, *given, **named) -> list[Problem]:
    with pytest.raises(DefinitionError) as caught:
        function(*given, **named)
    return list(caught.value.problems)


def messages_of(data: object) -> list[str]:
    return [str(problem) for problem in problems_of(parse_definition, data)]


def placed(problems: list[Problem]) -> list[str]:
    return [f"{each.line}:{each.column}: {each}" for each in problems]


def test_the_example():
    """The example of the contract is read as it stands."""
    first, second = parse_definition(json.loads(EXAMPLE)).jobs

    assert (first.name, first.class_name) == ("extract_data", "jobs.dummy_job.DummyJob")
    assert (first.timeout_minutes, first.retry_gap_minutes, first.retry_limit) == (30, 5, 3)
    assert (second.timeout_minutes, second.retry_gap_minutes, second.retry_limit) == (60, 10, 2)


def test_defaults():
    """What is left out has its documented default."""
    definition = parse_definition({"jobs": [JOB]})

    assert definition == Definition(
        description="",
        priority=0,
        params={},
        jobs=(
            JobDefinition(
                name="a",
                class_name="jobs.a.A",
                description="",
                timeout_minutes=60,
                retry_gap_minutes=1,
                retry_limit=0,
                depends_on=None,
                params={},
                queue="default",
                priority=None,
                isolation="warm",
                on_lost_contact="continue",
            ),
        ),
    )


def test_everything_said():
    """Every field of a definition can be given, and is given back as it was written."""
    data = {
        "description": "All of it",
        "priority": -1000,
        "params": {"year": 2013, "deep": [{"a": None}]},
        "jobs": [
            {
                "name": "a",
                "class_name": "_jobs.a1.A_",
                "description": "The first",
                "timeout_minutes": 0.05,
                "retry_gap_minutes": 0,
                "retry_limit": 100,
                "depends_on": [],
                "params": {"my key": "é"},
                "queue": "big",
                "priority": 1000,
                "isolation": "process",
                "on_lost_contact": "kill",
            },
            {"name": "b", "class_name": "x.B", "depends_on": ["a"], "timeout_minutes": 43200},
            {"name": "c", "class_name": "x.C", "depends_on": None, "priority": None},
        ],
    }

    assert parse_definition(data).as_written() == data


def test_definitions_do_not_change():
    """A definition that was read is frozen."""
    definition = parse_definition({"jobs": [JOB]})

    with pytest.raises(ValidationError):
        definition.jobs[0].retry_limit = 5


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", None, "must be text, not null"),
        ("name", 5, "must be text, not 5"),
        ("name", "", "must not be empty"),
        ("name", "../x", f'{PLAIN} "/"'),
        ("name", "a\x1b", rf'{PLAIN} "\x1b"'),
        ("class_name", "os", PATH),
        ("class_name", "", PATH),
        ("class_name", "subprocess:Popen", PATH),
        ("class_name", ".jobs.A", PATH),
        ("class_name", "jobs..A", PATH),
        ("class_name", "jobs.A;", PATH),
        ("class_name", "jobs.A\n", PATH),
        ("class_name", "jobs.1A", PATH),
        ("class_name", "a.__class__.__mro__", "must not have two underscores in a row"),
        ("class_name", ["jobs.A"], "must be text, not a list"),
        ("description", None, "must be text, not null"),
        ("description", "\x00", r"must not hold the character \u0000"),
        ("timeout_minutes", 0, "must be more than 0, not 0"),
        ("timeout_minutes", -1, "must be more than 0, not -1"),
        ("timeout_minutes", 43200.5, "must be at most 43200, not 43200.5"),
        ("timeout_minutes", 1e18, "must be at most 43200, not 1e+18"),
        ("timeout_minutes", 1e300, "must be at most 43200, not a number that large"),
        ("timeout_minutes", float("nan"), "must be a number of JSON, not NaN"),
        ("timeout_minutes", float("inf"), "must be a number of JSON, not Infinity"),
        pytest.param(*("timeout_minutes", 10**400, "must be a number below 1.8e308"), id="10**400"),
        pytest.param(
            *("timeout_minutes", 10**5000, "must be a number of at most 1000 digits"), id="10**5000"
        ),
        ("timeout_minutes", "5", 'must be a number, not the text "5"'),
        ("timeout_minutes", "soon", 'must be a number, not the text "soon"'),
        ("timeout_minutes", None, "must be a number, not null"),
        ("timeout_minutes", True, "must be a number, not true"),
        ("timeout_minutes", {}, "must be a number, not an object"),
        ("retry_gap_minutes", -0.5, "must be 0 or more, not -0.5"),
        ("retry_gap_minutes", 43201, "must be at most 43200, not 43201"),
        ("retry_gap_minutes", "5m", 'must be a number, not the text "5m"'),
        ("retry_limit", -1, "must be 0 or more, not -1"),
        ("retry_limit", 101, "must be at most 100, not 101"),
        ("retry_limit", 2**31, "must be at most 100, not 2147483648"),
        ("retry_limit", 2.5, "must be a whole number, not 2.5"),
        ("retry_limit", 3.0, "must be a whole number, not 3.0"),
        ("retry_limit", "3", 'must be a whole number, not the text "3"'),
        ("retry_limit", False, "must be a whole number, not false"),
        ("depends_on", "a", 'must be a list, not the text "a"'),
        ("depends_on", {"a": 1}, "must be a list, not an object"),
        ("params", [], "must be an object, not a list"),
        ("params", None, "must be an object, not null"),
        ("queue", "", "must not be empty"),
        ("queue", "a b", f"{PLAIN} a space"),
        ("queue", None, "must be text, not null"),
        ("priority", 1001, "must be at most 1000, not 1001"),
        ("priority", -1001, "must be -1000 or more, not -1001"),
        ("priority", "high", 'must be a whole number, not the text "high"'),
        ("isolation", "warn", 'must be "warm" or "process", not the text "warn"'),
        ("isolation", None, 'must be "warm" or "process", not null'),
        ("on_lost_contact", "die", 'must be "continue" or "kill", not the text "die"'),
        ("retry_limits", 3, "unknown key; did you mean `retry_limit`?"),
        ("timeout", 3, "unknown key; did you mean `timeout_minutes`?"),
        ("xyz", 3, "unknown key"),
        ("k" * 60, 3, "unknown key"),
    ],
)
def test_bad_field(field, value, message):
    """A field that cannot be right is named with its place, in words that say what could be."""
    assert messages_of({"jobs": [JOB, JOB | {"name": "b", field: value}]}) == [
        f"jobs[1].{field}: {message}"
    ]


@pytest.mark.parametrize(
    ("data", "messages"),
    [
        (None, ["must be an object, not null"]),
        ([], ["must be an object, not a list"]),
        ("jobs", ['must be an object, not the text "jobs"']),
        ({}, ["jobs: is missing"]),
        ({"job": []}, ["jobs: is missing", "job: unknown key; did you mean `jobs`?"]),
        ({"jobs": []}, ["jobs: must hold 1 to 20000 jobs, not none"]),
        ({"jobs": {}}, ["jobs: must be a list, not an object"]),
        ({"jobs": None}, ["jobs: must be a list, not null"]),
        ({"jobs": "a"}, ['jobs: must be a list, not the text "a"']),
        ({"jobs": ["a", JOB]}, ['jobs[0]: must be an object, not the text "a"']),
        ({"jobs": [{}]}, ["jobs[0].name: is missing", "jobs[0].class_name: is missing"]),
        ({"jobs": [JOB], "priority": "x"}, ['priority: must be a whole number, not the text "x"']),
        ({"jobs": [JOB], "params": 5}, ["params: must be an object, not 5"]),
        (
            {"jobs": [JOB], "name": "x"},
            ["name: unknown key: a pipeline's name stands beside its definition"],
        ),
        ({"jobs": [JOB], 5: 1}, ["must have text as its keys, not a Python int"]),
        ({"jobs": [JOB], "k" * 61: 1}, [f'["{"k" * 60}…"]: unknown key']),
        (
            {"jobs": [JOB], "\ud800": 1},
            [r'["\ud800"]: the key must not hold half of a surrogate pair, \ud800'],
        ),
        (
            {"jobs": [JOB | {"params": {"a": ["\x00"]}}]},
            [r"jobs[0].params.a[0]: must not hold the character \u0000"],
        ),
    ],
)
def test_bad_whole(data, messages):
    """What is no definition at all is told what is missing."""
    assert messages_of(data) == messages


def jobs(**depends_on: list[str] | None) -> dict[str, object]:
    return {
        "jobs": [
            {"name": name, "class_name": "x.Y"} | ({} if names is None else {"depends_on": names})
            for name, names in depends_on.items()
        ]
    }


@pytest.mark.parametrize(
    ("data", "messages"),
    [
        (
            jobs(extract=None, load=["extrct"]),
            ['jobs[1].depends_on[0]: no job is named "extrct"; did you mean `extract`?'],
        ),
        (jobs(a=["x\x1by"]), [r'jobs[0].depends_on[0]: no job is named "x\x1by"']),
        (jobs(a=["a"]), ["jobs[0].depends_on[0]: a job cannot wait for itself"]),
        (jobs(a=[], b=["a", "a"]), ['jobs[1].depends_on[1]: "a" is here twice']),
        (
            {"jobs": [JOB, JOB, JOB]},
            [
                "jobs[1].name: is the name of jobs[0] already",
                "jobs[2].name: is the name of jobs[0] already",
            ],
        ),
        (jobs(a=["b"], b=["a"]), ["jobs[0].depends_on: goes round in a circle: a → b → a"]),
        (jobs(a=["b"], b=None), ["jobs[0].depends_on: goes round in a circle: a → b → a"]),
        (
            jobs(a=[], b=["d"], c=["b"], d=["c", "a"]),
            ["jobs[1].depends_on: goes round in a circle: b → c → d → b"],
        ),
        (
            jobs(a=["b"], b=["a"], c=["b", "d"], d=["c"]),
            [
                "jobs[0].depends_on: goes round in a circle: a → b → a",
                "jobs[2].depends_on: goes round in a circle: c → d → c",
            ],
        ),
        (
            jobs(first=["last"], **{f"j{n}": None for n in range(20)}, last=None),
            [
                "jobs[0].depends_on: goes round in a circle: first → j0 → j1 → j2 → j3 → j4 → j5"
                " → j6 → j7 → j8 → j9 → … 11 more → first"
            ],
        ),
        (
            {"jobs": [{"class_name": "x.Y", "depends_on": ["a"]}, JOB]},
            [
                "jobs[0].name: is missing",
                "jobs[0].depends_on: goes round in a circle: jobs[0] → a → jobs[0]",
            ],
        ),
        (jobs(a=[5]), ["jobs[0].depends_on[0]: must be text, not 5"]),
        (jobs(a=[None]), ["jobs[0].depends_on[0]: must be text, not null"]),
        (
            {"jobs": [JOB | {"depends_on": ["x y"]}, JOB | {"name": "x y", "depends_on": ["a"]}]},
            [
                'jobs[0].depends_on: goes round in a circle: a → "x y" → a',
                f"jobs[1].name: {PLAIN} a space",
            ],
        ),
        (
            jobs(**{f"j{n}": [f"j{m}" for m in range(n)] for n in range(450)}),
            ["jobs: must name at most 100000 predecessors in all, not 101025"],
        ),
    ],
)
def test_bad_order(data, messages):
    """Whatever is wrong with the order of the jobs is found, whatever else is wrong."""
    assert messages_of(data) == messages


def test_every_problem_at_once():
    """All problems of all kinds come together, in the order in which the definition is read."""
    data = {
        "priority": 5000,
        "jobs": [
            {"class_name": "os", "retry_limit": "many", "name": "a"},
            5,
            {"name": "a", "depends_on": ["b"], "timeout_minutes": float("nan"), "queu": "x"},
        ],
        "parms": {},
    }

    assert messages_of(data) == [
        "priority: must be at most 1000, not 5000",
        f"jobs[0].class_name: {PATH}",
        'jobs[0].retry_limit: must be a whole number, not the text "many"',
        "jobs[1]: must be an object, not 5",
        "jobs[2].class_name: is missing",
        "jobs[2].name: is the name of jobs[0] already",
        'jobs[2].depends_on[0]: no job is named "b"',
        "jobs[2].timeout_minutes: must be a number of JSON, not NaN",
        "jobs[2].queu: unknown key; did you mean `queue`?",
        "parms: unknown key; did you mean `params`?",
    ]


def test_json_files():
    """Problems in a file of JSON have the line and column of their key, or of the bad value."""
    text = """{"jobs": [
  {"name": "a", "class_name": "jobs.A", "timeout_minutes": -1},
  {"name": "b",
   "timeout_minutes": NaN, "depends_on": ["a",
      "c"], "name": "c"},
  7
], "job": 1}"""

    assert placed(problems_of(read_definition, text, syntax="json")) == [
        "2:41: jobs[0].timeout_minutes: must be more than 0, not -1",
        "3:3: jobs[1].class_name: is missing",
        "4:23: jobs[1].timeout_minutes: must be a number of JSON, not NaN",
        "5:7: jobs[1].depends_on[1]: a job cannot wait for itself",
        "5:13: jobs[1].name: is here twice",
        "6:3: jobs[2]: must be an object, not 7",
        "7:4: job: unknown key; did you mean `jobs`?",
    ]


def test_yaml_files():
    """Problems in a file of YAML have the line and column of their key, or of the bad value."""
    text = """\
priority: high
jobs:
  - name: a
    class_name: jobs.A
    timeout_minutes: soon
  - class_name: jobs.B
    params: {on: 1, since: 2013-01-01}
    depends_on:
      - a
      - z
"""

    assert placed(problems_of(read_definition, text, syntax="yaml")) == [
        '1:1: priority: must be a whole number, not the text "high"',
        '5:5: jobs[0].timeout_minutes: must be a number, not the text "soon"',
        "6:5: jobs[1].name: is missing",
        "7:14: jobs[1].params.on: the key must be in quotes to be text",
        "7:28: jobs[1].params.since: must be in quotes to be text, since JSON has no dates: 2013-01-01",
        '10:9: jobs[1].depends_on[1]: no job is named "z"',
    ]


@pytest.mark.parametrize(
    ("text", "syntax", "problem"),
    [
        ("", "json", "1:1: expected a value, but the text ends here"),
        ("", "yaml", "1:1: is empty"),
        ("[]", "json", "1:1: must be an object, not a list"),
        ("- a", "yaml", "1:1: must be an object, not a list"),
        ("jobs:\n", "yaml", "1:1: jobs: must be a list, not null"),
        ('{"jobs": [}', "json", '1:11: jobs[0]: expected a value or ], but found "}"'),
        (
            "jobs: []\n---\njobs: []",
            "yaml",
            "2:1: must be a single document, and another one begins here",
        ),
    ],
)
def test_bad_files(text, syntax, problem):
    """A file that holds no definition says so, with line and column."""
    assert placed(problems_of(read_definition, text, syntax=syntax)) == [problem]


def test_files_mean_what_tables_mean():
    """JSON in the table, JSON in a file and the same in YAML are the same definition."""
    definition = parse_definition(json.loads(EXAMPLE))

    assert read_definition(EXAMPLE, syntax="json") == definition
    assert read_definition(EXAMPLE, syntax="yaml") == definition
    assert read_definition("\ufeff" + EXAMPLE, syntax="json") == definition
    assert read_definition("\ufeff" + EXAMPLE, syntax="yaml") == definition


def test_names_of_files():
    """The name in the file wins over the file's own; the definition is without it."""
    text = "jobs: [{name: a, class_name: jobs.a.A}]\n"

    named = read_pipeline_file(f"name: etl\n{text}", syntax="yaml", default_name="my file")
    unnamed = read_pipeline_file(text, syntax="yaml", default_name="file")

    assert named == ("etl", parse_definition({"jobs": [JOB]}))
    assert type(named.definition) is Definition
    assert named.definition.as_written() == {"jobs": [JOB]}
    assert unnamed.name == "file"


@pytest.mark.parametrize(
    ("first_line", "problem"),
    [
        ("name: a/b", f'1:1: name: {PLAIN} "/"'),
        ("name: 5", "1:1: name: must be text, not 5"),
        ("name:", "1:1: name: must be text, not null"),
        (
            "priority: 1",
            f'1:1: name: is missing, and "my file" cannot take its place: it {PLAIN} a space',
        ),
    ],
)
def test_bad_names_of_files(first_line, problem):
    """A name that cannot be one is a problem like the others, the file's own included."""
    text = f"{first_line}\njobs: [{{name: a, class_name: os}}]\n"

    found = problems_of(read_pipeline_file, text, syntax="yaml", default_name="my file")

    assert placed(found) == [problem, f"2:18: jobs[0].class_name: {PATH}"]


def test_twenty_thousand_jobs():
    """A definition of the largest size is read in less than a second, right or wrong."""
    chain = {"jobs": [{"name": f"job_{n}", "class_name": "jobs.a.A"} for n in range(20_000)]}
    wrong = {"jobs": [job | {"depends_on": ["?"], "retries": -1} for job in chain["jobs"]]}
    circle = {"jobs": [chain["jobs"][0] | {"depends_on": ["job_9999"]}, *chain["jobs"][1:]]}

    too_many = {"jobs": [*chain["jobs"], JOB]}

    assert messages_of(too_many) == ["jobs: must hold 1 to 20000 jobs, not 20001"]
    assert seconds_for(parse_definition, chain) < 1
    assert seconds_for(problems_of, parse_definition, wrong) < 2
    assert seconds_for(problems_of, parse_definition, circle) < 1


def seconds_for(function, *given) -> float:
    begun = process_time()
    function(*given)
    return process_time() - begun


def test_large_files():
    """A file of more than 4 MiB is not read at all."""
    (problem,) = problems_of(read_definition, " " * (4 * 1024 * 1024 + 1), syntax="json")

    assert str(problem) == "must not be larger than 4 MiB"


KEYS = st.sampled_from([*JobDefinition.model_fields, *Definition.model_fields]) | st.text(
    max_size=5
)
NAMES = st.sampled_from(["a", "b", "c", "x.Y", "", "-", "\x00", "\ud800"])
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | NAMES | st.just(10**1000),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(KEYS, parts, max_size=6),
    max_leaves=25,
)
NEARLY_JOBS = st.fixed_dictionaries(
    {"name": NAMES, "class_name": NAMES},
    optional={"depends_on": st.lists(NAMES | ANY, max_size=3) | ANY}
    | dict.fromkeys(["params", "priority", "?"], ANY),
)
NEARLY = st.fixed_dictionaries(
    {"jobs": st.lists(NEARLY_JOBS | ANY, max_size=4)}, optional={"params": ANY}
)


@QUICK
@given(NEARLY | ANY)
def test_anything_is_a_definition_or_has_problems(data):
    """Whatever is given, nothing but a DefinitionError comes of it, and it is fit to be shown."""
    try:
        definition = parse_definition(data)
    except DefinitionError as error:
        assert error.problems
        assert all(each.message and str(each).isprintable() for each in error.problems)
    else:
        assert parse_definition(definition.as_written()) == definition
