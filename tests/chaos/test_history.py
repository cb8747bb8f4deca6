"""The checker is checked: a history that breaks an invariant is found out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.history import INVARIANTS, violations
from tests.chaos.scene import job, lay
from tests.support.factories import Factories, MadeRun
from tests.support.project import Project, project


@pytest.fixture
def scene(tmp_path: Path, database: str) -> Iterator[Project]:
    with project(tmp_path / "project", database) as made:
        lay(made, {"p": [job("a", inside=True, retry_limit=1), job("b", "a")]})
        yield made


def a_run_of(scene: Project, state: str = "Complete") -> MadeRun:
    """A run in which nothing has gone wrong, written by hand: its jobs, their events, their effects."""
    factories = Factories(scene.connection)
    factories.compile("p")
    run = factories.run("p", state=state, open=0)
    for token, name in ((1001, "a"), (1002, "b")):
        scene.sql(
            "INSERT INTO rush.archive (run_id, job, attempt, pipeline, jobinstance, state, token,"
            " started_at, finished_at) VALUES (%s, %s, 1, 'p', 1, 'Complete', %s, now(), now())",
            run.id, name, token,
        )  # fmt: skip
        for what, before, after in (
            ("made", None, "Ready"),
            ("changed", "Ready", "Running"),
            ("gone", "Running", None),
        ):
            scene.sql(
                "INSERT INTO chaos.event (what, run_id, job, round, before, after, token)"
                " VALUES (%s, %s, %s, 1, %s, %s, %s)",
                what, run.id, name, before, after, None if what == "made" else token,
            )  # fmt: skip
        for inside in (False, True) if name == "a" else (False,):
            scene.sql(
                "INSERT INTO public.effect (run_id, job, round, attempt, token, inside, missing)"
                " VALUES (%s, %s, 1, 1, %s, %s, 0)",
                run.id, name, token, inside,
            )  # fmt: skip
    return run


def found(scene: Project) -> set[str]:
    return {violation.split(":")[0] for violation in violations(scene.connection)}


def test_a_good_history_is_found_good(scene: Project) -> None:
    """Nothing is said of a run in which nothing has gone wrong."""
    a_run_of(scene)
    assert found(scene) == set()


#: What is done to a good history, and which invariant it breaks.
BROKEN: dict[str, str] = {
    "INSERT INTO rush.run_request (pipeline) VALUES ('p')": "I1 every request is decided",
    "UPDATE rush.run SET state = 'Stuck'": "I1 every run ends, none is Stuck",
    "DELETE FROM rush.archive WHERE job = 'b'": "I1 in a Complete run every job is Complete",
    "INSERT INTO rush.archive SELECT * FROM rush.archive WHERE job = 'b'": "I2 no job is Complete twice in a round",
    "INSERT INTO public.effect (run_id, job, round, token, inside) SELECT run_id, job, round, token, true FROM public.effect WHERE inside": "I2 a transactional effect is there once where the job is Complete, and not at all elsewhere",
    "DELETE FROM public.effect WHERE inside": "I2 a transactional effect is there once where the job is Complete, and not at all elsewhere",
    "DELETE FROM public.effect WHERE job = 'b'": "I3 what is Complete has had its effect outside",
    "INSERT INTO public.effect (run_id, job, round, token, inside) SELECT run_id, job, round, token, false FROM public.effect WHERE job = 'b'": "I3 no token is begun twice",
    "INSERT INTO public.effect (run_id, job, round, token, inside) SELECT run_id, job, round, 7, false FROM public.effect WHERE job = 'b'": "I3 every effect outside is of a token that was handed out",
    "UPDATE chaos.event SET token = 2000 WHERE job = 'b' AND what = 'changed'": "I4 what completes carries the newest token",
    "UPDATE rush.archive SET token = 1001": "I4 no token ends twice",
    "UPDATE chaos.event SET token = 900 WHERE job = 'b' AND what = 'gone'": "I4 tokens rise",
    "UPDATE rush.archive SET attempt = 2 WHERE job = 'b'": "I5 attempts are counted 1, 2, 3 without a gap",
    "INSERT INTO rush.archive (run_id, job, attempt, pipeline, jobinstance, state, reason, started_at, finished_at) SELECT run_id, job, n, pipeline, jobinstance, 'Failed', 'lost', now(), now() FROM rush.archive, generate_series(2, 3) n WHERE job = 'a'": "I5 no more attempts than retries allow",
    "UPDATE chaos.event SET token = 2000 WHERE job = 'b' AND what = 'gone'": "I6 nothing is taken from a holder without being let go",
    "UPDATE public.effect SET missing = 1 WHERE job = 'b'": "I7 no job begins before those it waits for are committed",
    "INSERT INTO chaos.action (what, by, term, holder) VALUES ('bury', 'rush x master', 2, 'x'), ('bury', 'rush x master', 1, 'x')": "I8 terms never go down",
    "INSERT INTO chaos.action (what, by, term, holder) VALUES ('bury', 'rush y master', 2, 'x')": "I8 only the holder of the term acts as master",
    "INSERT INTO chaos.action (what, by, term, holder) VALUES ('bury', 'rush x master', 3, 'x')": "I8 a term has one holder",
    "UPDATE chaos.event SET after = 'Stuck' WHERE what = 'changed'": "I10 jobs go only from states to states that follow them",
    "INSERT INTO chaos.event (what, run_id, job, round, after) SELECT 'made', run_id, job, round, 'Ready' FROM chaos.event WHERE what = 'gone'": "I10 a job that is over in a round stays over",
    "UPDATE rush.archive SET state = 'Failed', reason = 'lost'": "I10 what has gone is Complete or Cancelled",
    "INSERT INTO chaos.event (what, run_id, round, before, after) SELECT 'run', id, 1, b, a FROM rush.run, (VALUES ('Running', 'Complete'), ('Complete', 'Running')) AS v(b, a)": "I10 a run that has ended goes on only in a new round",
    "DELETE FROM chaos.event WHERE what = 'gone'": "I11 the events give the table",
    "UPDATE rush.run SET state = 'Running', finished_at = NULL, open = 1": "I12 what is released is live, or finished and not yet consumed",
    "INSERT INTO rush.finished (run_id, job_id, job, item, round) SELECT 1, 1, 'a', 0, 1": "I12 nothing is left over",
    "UPDATE rush.archive SET started_at = finished_at - interval '1 day'": "I14 no attempt outlives its deadline and what it takes to notice",
    "INSERT INTO rush.archive (run_id, job, attempt, pipeline, jobinstance, state, reason, token, finished_at) SELECT run_id, job, 1, pipeline, jobinstance, 'Failed', 'lost', 900, now() + interval '1 hour' FROM rush.archive WHERE job = 'a'": "I14 no retry comes before its gap is over",
}  # fmt: skip


@pytest.mark.parametrize(
    ("harm", "invariant"), BROKEN.items(), ids=list(map(str, range(len(BROKEN))))
)
def test_a_broken_history_is_found_out(scene: Project, harm: str, invariant: str) -> None:
    """Each invariant is broken once, and said to be."""
    a_run_of(scene)
    scene.sql(harm)
    assert invariant in found(scene)


def test_every_invariant_can_be_broken() -> None:
    """No invariant is one that nothing could break."""
    # A request makes one run by the keys of the table; that it does is looked at nevertheless.
    assert set(BROKEN.values()) | {"I1 no run is made twice of one request"} == set(INVARIANTS)
