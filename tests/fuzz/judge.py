"""
What must hold of every definition, right or wrong:

- it is read, or refused by a DefinitionError; nothing else is ever raised;
- a refusal has problems, each with its place, in a text with line and column too, and in words that
  drive no terminal;
- what is read compiles, each job after its predecessors;
- what a file says is the same in the table: written as JSON and read again it is equal;
- in a database, an INSERT of it is taken exactly then, and the master compiles it to the same jobs
  and edges; what is refused leaves no job behind.
"""

from __future__ import annotations

import json
from typing import Any

import psycopg

from rush.domain.definition import (
    MAX_TEXT,
    Definition,
    parse_definition,
    read_definition,
    read_pipeline_file,
)
from rush.domain.graph import CompiledGraph, compile_graph
from rush.domain.strictjson import size_of
from rush.errors import DefinitionError, Problem
from rush.store import pipelines
from tests.fuzz.generate import Fuzzed
from tests.support.kernel import Kernel

#: What the database says of what it does not take: not valid, against a constraint, too large.
REFUSALS = ("22", "23", "54")


class Broken(AssertionError):
    """Something that must hold does not."""


def read(case: Fuzzed) -> Definition | None:
    """The definition in a case, by the way that it would come; None when it is refused."""
    try:
        match case.form:
            case "python":
                return parse_definition(case.value)
            case form if case.number % 2:
                return read_pipeline_file(case.value, syntax=form, default_name="p").definition
            case form:
                return read_definition(case.value, syntax=form)
    except DefinitionError as error:
        expect(error.problems, "a refusal without a problem")
        for problem in error.problems:
            judge_problem(problem, case)
        return None


def judge_problem(problem: Problem, case: Fuzzed) -> None:
    words = str(problem)
    expect(problem.message and words.isprintable(), f"words that cannot be shown: {words!r}")
    expect(len(words) < 2000, f"too many words: {words[:100]!r} …")
    of_the_whole = problem.message.startswith(("must", "is nested deeper"))
    if case.form == "python":
        expect(problem.place or of_the_whole, f"no place: {words}")
    elif not problem.message.startswith("must not be larger"):
        lines = case.value.count("\n") + case.value.count("\r") + case.value.count("\x85") + 2
        lines += case.value.count("\u2028") + case.value.count("\u2029")
        expect(problem.line is not None and problem.column is not None, f"no line: {words}")
        expect(1 <= (problem.line or 0) <= lines, f"line {problem.line} of {lines}: {words}")


def judge(case: Fuzzed) -> Definition | None:
    """Judge by the pure part alone. Returns what was read."""
    definition = read(case)
    if definition is not None:
        judge_graph(compile_graph(definition), definition)
        # In JSON a tuple is a list.
        plain = json.loads(json.dumps(definition.as_written()))
        expect(size_of(plain) <= MAX_TEXT, "larger than it may be")
        again = read_definition(json.dumps(plain), syntax="json").as_written()
        expect(again == plain, "another definition in the table than here")
    return definition


def judge_graph(graph: CompiledGraph, definition: Definition) -> None:
    expect(
        sorted(graph.order) == list(range(len(definition.jobs))), "not every job is in the order"
    )
    turn = {position: at for at, position in enumerate(graph.order)}
    for job in graph.jobs:
        expect(
            all(turn[each] < turn[job.position] for each in job.predecessors),
            "a job before its turn",
        )


def judge_in_database(case: Fuzzed, kernel: Kernel) -> None:
    """Judge by a database too, which is left as it was."""
    definition = judge(case)
    with kernel.session.connection.transaction(force_rollback=True):
        if definition is None:
            judge_raw(case, kernel)
        else:
            judge_taken(definition, kernel)


def judge_taken(definition: Definition, kernel: Kernel) -> None:
    """By the verb and by hand, the same is compiled from what was accepted."""
    plain = definition.as_written()
    pipelines.apply(kernel.session, "verb", plain)
    kernel.sql("INSERT INTO pipeline VALUES ('hand', %s)", json.dumps(plain))
    kernel.compile()
    by_verb, by_hand = compiled(kernel, "verb"), compiled(kernel, "hand")
    expect(by_verb[0] is None, f"refused by the master: {by_verb[0]}")
    expect(by_verb == by_hand, "compiled in two ways")
    graph = compile_graph(definition)
    expect([row[1] for row in by_verb[1]] == [job.name for job in graph.jobs], "other jobs")
    names = [job.name for job in graph.jobs]
    expect(
        sorted((edge[0], edge[1]) for edge in by_verb[2])
        == sorted({(names[a], names[b]) for a, b in graph.edges}),
        "other edges",
    )


def judge_raw(case: Fuzzed, kernel: Kernel) -> None:
    """What is refused in a file is refused in the table, unless jsonb makes it right by itself."""
    text = case.value
    if case.form != "json":
        try:
            text = json.dumps(case.value)
        except (TypeError, ValueError, RecursionError):
            return
    if "\x00" in text or not text.isprintable():
        text = text.encode("ascii", "ignore").decode().replace("\x00", "")
    try:
        with kernel.session.connection.transaction():
            kernel.sql("INSERT INTO pipeline VALUES ('raw', %s)", text)
    except psycopg.Error as error:
        expect((error.sqlstate or "")[:2] in REFUSALS, f"refused strangely: {error}")
        return
    kernel.compile()
    kept = kernel.one("SELECT definition::text FROM pipeline WHERE name = 'raw'")
    error, jobs, edges = compiled(kernel, "raw")
    try:
        definition = read_definition(kept, syntax="json")
    except DefinitionError as refusal:
        expect(error == str(refusal), f"another reason in the table: {error}")
        expect(not jobs and not edges, "jobs of a definition that is refused")
    else:
        expect(error is None, f"refused by the master alone: {error}")
        expect(len(jobs) == len(definition.jobs), "other jobs")


def compiled(kernel: Kernel, name: str) -> tuple[str | None, list[Any], list[Any]]:
    """What the master has made of a pipeline: its error, its jobs, its edges."""
    (version,) = kernel.sql(
        "SELECT id, error, compiled_at FROM pipeline_version WHERE pipeline = %s", name
    )
    expect(version.compiled_at is not None, "not compiled")
    jobs = kernel.sql(
        """
        SELECT position, name, class_name, timeout_seconds, retry_gap_seconds, retry_limit, queue, priority,
               isolation, on_lost_contact, params::text, predecessors, hand_off_to IS NOT NULL, ends_run
          FROM pipeline_job WHERE version_id = %s ORDER BY position
        """,
        version.id,
    )
    edges = kernel.sql(
        """
        SELECT a.name AS before, b.name AS after
          FROM pipeline_edge e JOIN pipeline_job a ON a.id = e.job_id JOIN pipeline_job b ON b.id = e.successor_id
         WHERE a.version_id = %s ORDER BY a.position, b.position
        """,
        version.id,
    )
    return version.error, [tuple(job) for job in jobs], [tuple(edge) for edge in edges]


def expect(truth: Any, what: str) -> None:
    if not truth:
        raise Broken(what)
