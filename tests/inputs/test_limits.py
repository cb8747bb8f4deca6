"""Every limit of docs/definitions.md: what is at the limit is taken, one more and a thousand times as much not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rush.cli.definitions import MAX_BYTES
from rush.client import Client
from rush.domain.definition import MAX_JOBS, MAX_PARAMS, MAX_TEXT, read_definition
from rush.domain.located import MAX_DEPTH, MAX_DIGITS
from rush.domain.names import MAX_NAME
from rush.domain.params import parse_assignment
from rush.domain.strictyaml import MAX_ALIASED
from rush.domain.structure import MAX_EDGES
from rush.errors import ConfigurationError, DefinitionError
from tests.inputs.scene import Scene
from tests.inputs.table import nested

JOB = {"name": "a", "class_name": "jobs.a.A"}


def job(**fields: Any) -> dict[str, Any]:
    return {"jobs": [JOB | fields]}


def of_jobs(number: int) -> dict[str, Any]:
    return {"jobs": [{"name": f"j{n}", "class_name": "a.A"} for n in range(number)]}


def of_edges(number: int) -> dict[str, Any]:
    """Jobs that start at once, and one after another those that wait for a thousand of them."""
    first = [f"a{n}" for n in range(1000)]
    jobs: list[dict[str, Any]] = [
        {"name": name, "class_name": "a.A", "depends_on": []} for name in first
    ]
    while number > 0:
        name = f"b{number}"
        jobs.append({"name": name, "class_name": "a.A", "depends_on": first[:number]})
        number -= 1000
    return {"jobs": jobs}


def of_size(number: int) -> dict[str, Any]:
    """So many characters as PostgreSQL writes it."""
    without = {"description": "", **job()}
    return without | {"description": "x" * (number - len(json.dumps(without)))}


def of_params(number: int) -> dict[str, Any]:
    """Parameters that are so many characters for all jobs together."""
    jobs = 1024
    return {"params": {"a": "x" * (number // jobs - len('{"a": ""}'))}} | of_jobs(jobs)


def deep(number: int) -> str:
    """The text of a definition that Python would not write."""
    lists = "[" * (number - 1) + "1" + "]" * (number - 1)
    return json.dumps(job(params={"a": "?"})).replace('"?"', lists)


#: What has a limit: the limit, how a definition has so much of it, and one more. A thousand times as
#: much of a large one is not made.
LIMITS: dict[str, tuple[int, Callable[[int], dict[str, Any]], int, int]] = {
    "size": (MAX_TEXT, of_size, 1, 10),
    "jobs": (MAX_JOBS, of_jobs, 1, 50),
    "predecessors": (MAX_EDGES, of_edges, 1, 10),
    "params for all jobs": (MAX_PARAMS, of_params, 1024, 10),
    "nesting": (MAX_DEPTH - 3, lambda n: job(params={"a": nested(n - 1)}), 1, 1000),
    "digits": (MAX_DIGITS, lambda n: job(params={"a": 10 ** (n - 1)}), 1, 1000),
    "job name": (MAX_NAME, lambda n: job(name="n" * n), 1, 1000),
    "queue name": (MAX_NAME, lambda n: job(queue="n" * n), 1, 1000),
    "timeout": (43_200, lambda n: job(timeout_minutes=n), 1, 1000),
    "retry gap": (43_200, lambda n: job(retry_gap_minutes=n), 1, 1000),
    "retry limit": (100, lambda n: job(retry_limit=n), 1, 1000),
    "priority": (1000, lambda n: job(priority=n), 1, 1000),
    "low priority": (1000, lambda n: job(priority=-n), 1, 1000),
    "pipeline's priority": (1000, lambda n: {"priority": n} | job(), 1, 1000),
}


#: Of these, what is at the limit takes seconds.
LARGE = ("jobs", "predecessors", "params for all jobs")


@pytest.mark.parametrize(
    "what",
    [pytest.param(what, marks=[pytest.mark.slow] if what in LARGE else []) for what in LIMITS],
)
def test_of_a_definition(what: str, scene: Scene) -> None:
    """At the limit it is taken and compiled; beyond it the client refuses it, and so does the table."""
    limit, made, more, times = LIMITS[what]
    with scene.forgotten() as kernel:
        client = Client(scene.connection)
        client.apply("limits", made(limit))
        kernel.compile()
        assert kernel.one("SELECT error FROM pipeline_version WHERE pipeline = 'limits'") is None
        with scene.unchanged():
            for much in (limit + more, limit * times):
                with pytest.raises(DefinitionError):
                    client.apply("more", made(much))


@pytest.mark.parametrize(
    "what", ["nesting", "job name", "timeout", "retry limit", "priority", "size"]
)
def test_of_a_definition_in_the_table(what: str, scene: Scene) -> None:
    """What the client does not see is refused by a constraint or by the master, at the same limit."""
    limit, made, more, times = LIMITS[what]
    for much in (limit + more, limit * times):
        with scene.forgotten() as kernel:
            text = deep(much) if what == "nesting" else json.dumps(made(much))
            try:
                kernel.sql("INSERT INTO pipeline VALUES ('limits', %s)", text)
            except Exception as error:
                assert "violates check constraint" in str(error) or "stack depth" in str(error)
                continue
            kernel.compile()
            assert kernel.one("SELECT error FROM pipeline_version WHERE pipeline = 'limits'")


def test_of_a_file() -> None:
    """What is read of a file is enough to say that it is too large."""
    assert MAX_BYTES // 4 >= MAX_TEXT
    assert len("😀".encode()) * MAX_TEXT < MAX_BYTES


def test_of_aliases() -> None:
    """Aliases of YAML stand for so many values, and no more."""

    def text(number: int) -> str:
        return (
            f"params: {{a: &a [{', '.join('x' * 999)}], b: [{', '.join(['*a'] * number)}]}}\n"
            + ("jobs: [{name: a, class_name: a.A}]")
        )

    read_definition(text(MAX_ALIASED // 1000), syntax="yaml")
    for number in (MAX_ALIASED // 1000 + 1, MAX_ALIASED):
        with pytest.raises(DefinitionError, match="aliases stand for more than 100000 values"):
            read_definition(text(number), syntax="yaml")


@pytest.mark.parametrize(
    ("limit", "asked"),
    [
        (1024 * 1024, lambda n: {"params": {"a": "x" * (n - len('{"a": ""}'))}}),
        (MAX_DEPTH, lambda n: {"params": {"a": nested(n - 1)}}),
        (MAX_DIGITS, lambda n: {"params": {"a": -(10 ** (n - 1))}}),
        (200, lambda n: {"idempotency_key": "k" * n}),
        (2**31 - 1, lambda n: {"jobinstance": n}),
        (MAX_NAME, lambda n: {"job": "j" * n}),
    ],
    ids=["size", "nesting", "digits", "key", "jobinstance", "job"],
)
def test_of_a_request(limit: int, asked: Callable[[int], dict[str, Any]], scene: Scene) -> None:
    """At the limit a request is made; beyond it the client refuses it."""
    with scene.forgotten():
        client = Client(scene.connection)
        client.submit("etl", **asked(limit))
        with scene.unchanged():
            for much in (limit + 1, limit * 1000 if limit < 10_000 else limit * 10):
                with pytest.raises(ConfigurationError):
                    client.submit("etl", **asked(much))


def test_of_a_parameters_key() -> None:
    """The key of a parameter has its limit on the command line, as in the table."""
    assert parse_assignment("k" * 200 + "=1")
    for number in (201, 200_000):
        with pytest.raises(ConfigurationError, match=f"at most 200 characters, not {number}"):
            parse_assignment("k" * number + "=1")


def test_of_a_parameters_value(scene: Scene) -> None:
    """A value in `job_parameter` has its limit in bytes."""
    statement = (
        "INSERT INTO job_parameter (pipeline, name, value) VALUES ('etl', 'a', repeat('x', %s))"
    )
    with scene.forgotten() as kernel:
        kernel.sql(statement, 262_144)
    for number in (262_145, 262_144_000):
        with scene.forgotten() as kernel, pytest.raises(Exception, match="value_is_not_huge"):
            kernel.sql(statement, number)
