from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rush.domain.definition import Definition, parse_definition
from rush.domain.graph import CompiledGraph, compile_graph
from rush.errors import NotFoundError

QUICK = settings(deadline=None, database=None, max_examples=80)


def definition(**depends_on: list[str] | None) -> Definition:
    return parse_definition(
        {
            "jobs": [
                {"name": name, "class_name": "x.Y", "depends_on": names}
                for name, names in depends_on.items()
            ]
        }
    )


def graph(**depends_on: list[str] | None) -> CompiledGraph:
    return compile_graph(definition(**depends_on))


def of_each(compiled: CompiledGraph, field: str) -> dict[str, object]:
    return {job.name: getattr(job, field) for job in compiled.jobs}


def test_list_is_a_chain():
    """Without depends_on each job follows the one before it, and the last ends the run."""
    chain = graph(extract=None, transform=None, load=None)

    assert of_each(chain, "predecessors") == {"extract": (), "transform": (0,), "load": (1,)}
    assert of_each(chain, "successors") == {"extract": (1,), "transform": (2,), "load": ()}
    assert of_each(chain, "hand_off_to") == {"extract": 1, "transform": 2, "load": None}
    assert of_each(chain, "ends_run") == {"extract": False, "transform": False, "load": True}
    assert of_each(chain, "level") == {"extract": 0, "transform": 1, "load": 2}
    assert chain.edges == ((0, 1), (1, 2))


def test_chain_in_any_order():
    """A chain is one however it is written down."""
    chain = graph(last=["middle"], middle=["first"], first=[])

    assert of_each(chain, "hand_off_to") == {"last": None, "middle": 0, "first": 1}
    assert of_each(chain, "ends_run") == {"last": True, "middle": False, "first": False}
    assert chain.order == (2, 1, 0)


def test_single_job():
    """A pipeline of one job is a chain."""
    (job,) = graph(only=None).jobs

    assert job.ends_run
    assert job.hand_off_to is None


def test_diamond():
    """Where the graph branches or joins, a worker decides nothing by itself."""
    diamond = graph(top=[], left=["top"], right=["top"], bottom=["left", "right"])

    assert set(of_each(diamond, "hand_off_to").values()) == {None}
    assert set(of_each(diamond, "ends_run").values()) == {False}
    assert of_each(diamond, "level") == {"top": 0, "left": 1, "right": 1, "bottom": 2}
    assert diamond.roots == (0,)


def test_two_chains():
    """Two chains side by side hand off, but neither ends the run."""
    chains = graph(a=[], b=None, c=[], d=None)

    assert of_each(chains, "hand_off_to") == {"a": 1, "b": None, "c": 3, "d": None}
    assert not any(of_each(chains, "ends_run").values())
    assert chains.roots == (0, 2)


def test_level_is_the_longest_way():
    """A job that is reached by a short and a long way is as deep as the long one."""
    assert of_each(graph(a=[], b=["a"], c=["b"], d=["a", "c"]), "level")["d"] == 3


def test_descendants():
    """All that would run again are those that come after, directly or not."""
    compiled = graph(a=[], b=["a"], c=["a"], d=["b", "c"], e=[])

    assert compiled.descendants(["a"]) == {1, 2, 3}
    assert compiled.descendants(["b"]) == {3}
    assert compiled.descendants(["a", "b", "e"]) == {1, 2, 3}
    assert compiled.descendants(["d"]) == compiled.descendants([]) == set()


@pytest.mark.parametrize(
    "ask", [CompiledGraph.position, lambda compiled, name: compiled.descendants([name])]
)
def test_unknown_job(ask):
    """A job that is not there is not found, with what was probably meant."""
    with pytest.raises(NotFoundError) as caught:
        ask(graph(extract=None), "extrct")

    assert str(caught.value) == 'no job is named "extrct"; did you mean `extract`?'


def test_large_graphs():
    """Ten thousand jobs, one long chain or one wide fan, compile in less than a second."""
    leaves = {f"leaf{n}": ["top"] for n in range(9998)}
    fan = definition(top=[], **leaves, bottom=list(leaves))
    chain = definition(**{f"job{n}": None for n in range(10_000)})

    begun = process_time()
    assert len(compile_graph(fan).edges) == 2 * 9998
    assert compile_graph(chain).jobs[-1].level == 9999
    assert process_time() - begun < 1


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Graphs without cycles, their jobs listed in any order."""
    size = draw(st.integers(1, 9))
    names = draw(st.permutations([f"j{n}" for n in range(size)]))
    edges = {
        name: draw(st.sets(st.sampled_from(names[:n]), max_size=2)) if n else set()
        for n, name in enumerate(names)
    }
    listed = draw(st.permutations(names))
    return definition(**{name: sorted(edges[name]) for name in listed})


@QUICK
@given(definitions())
def test_compiled_graph_is_the_definition(given_definition):
    """Edges, order, levels and what workers may do by themselves are as the naive reading has it."""
    compiled = compile_graph(given_definition)
    before = {job.name: set(job.depends_on or ()) for job in given_definition.jobs}
    after = {name: {each for each in before if name in before[each]} for name in before}
    names = [job.name for job in compiled.jobs]
    named = {job.name: job for job in compiled.jobs}

    assert names == list(before)
    assert [job.position for job in compiled.jobs] == list(range(len(names)))
    for name, job in named.items():
        assert {names[each] for each in job.predecessors} == before[name]
        assert {names[each] for each in job.successors} == after[name]
        assert job.level == max((named[each].level + 1 for each in before[name]), default=0)
        assert job.hand_off_to == next(
            (
                names.index(each)
                for each in after[name]
                if len(after[name]) == len(before[each]) == 1
            ),
            None,
        )
        assert job.ends_run == (not after[name] and chain_length(name, before, after) == len(names))
        assert {names[each] for each in compiled.descendants([name])} == descendants(name, after)
    assert sorted(compiled.order) == list(range(len(names)))
    turn = {position: number for number, position in enumerate(compiled.order)}
    assert all(turn[first] < turn[second] for first, second in compiled.edges)
    assert [names[each] for each in compiled.roots] == [each for each in names if not before[each]]


def chain_length(name: str, before: dict[str, set[str]], after: dict[str, set[str]]) -> int:
    """How many jobs stand in a plain chain that ends with this one, itself included."""
    if not before[name]:
        return 1
    first, *others = before[name]
    if others or len(after[first]) > 1:
        return 0
    length = chain_length(first, before, after)
    return length + 1 if length else 0


def descendants(name: str, after: dict[str, set[str]]) -> set[str]:
    return after[name].union(*(descendants(each, after) for each in after[name]))
