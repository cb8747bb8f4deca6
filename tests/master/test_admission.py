"""First jobs that are handed to the master's own worker as their runs are made."""

from __future__ import annotations

import pytest

from rush.master.tasks import Round
from rush.store import pipelines, workers
from rush.store.master_token import TermOver
from tests.support.kernel import DIAMOND, Kernel

ONE = {"a": []}


def handed(round: Round) -> list[int]:
    """The runs of which somebody was handed the first job, in the order in which he was."""
    return [each.claim.run_id for each in round.handed]


def waiting(kernel: Kernel) -> int:
    """How many Ready jobs nobody holds."""
    return kernel.one(
        "SELECT count(*) FROM rush.run_state WHERE state = 'Ready' AND worker IS NULL"
    )


def ask(kernel: Kernel, times: int, pipeline: str = "p") -> None:
    for _ in range(times):
        kernel.request(pipeline)


def test_a_run_is_made_with_its_first_job_handed_out(kernel: Kernel, worker):
    """
    The worker holds it as if it had been assigned, and completes it; the parameters are there.
    """
    kernel.define(ONE)
    kernel.sql("INSERT INTO rush.job_parameter (pipeline, name, value) VALUES ('p', 'x', '1')")
    kernel.request(params={"day": "today"})

    round = kernel.admit(worker, room=5)

    (each,) = round.handed
    assert (each.worker_id, each.generation) == (worker.id, worker.generation)
    assert [each.claim] == kernel.held(worker)
    assert each.claim.params == '{"day": "today"}'
    assert each.claim.job_params == {"x": "1"}
    assert kernel.complete(worker, each.claim).refused == []
    assert kernel.state(each.claim.run_id) == "Complete"


def test_it_is_handed_no_more_than_it_has_room_for(kernel: Kernel, worker):
    """
    The oldest come first, the rest is Ready for anybody.
    """
    kernel.define(ONE)
    ask(kernel, 5)

    round = kernel.admit(worker, room=3)

    assert handed(round) == sorted(handed(round))
    assert max(handed(round)) < kernel.one(
        "SELECT min(run_id) FROM rush.run_state WHERE worker IS NULL"
    )
    assert (len(round.handed), waiting(kernel)) == (3, 2)


def test_the_most_urgent_is_handed_out_first(kernel: Kernel, worker):
    """
    Among jobs that are made at once priority decides, then age.
    """
    kernel.define(ONE)
    kernel.define(ONE, "urgent", priority=5)
    ask(kernel, 2)
    ask(kernel, 2, "urgent")

    round = kernel.admit(worker, room=3)

    assert [each.claim.pipeline for each in round.handed] == ["urgent", "urgent", "p"]


def test_the_first_jobs_of_a_graph_are_handed_out_together(kernel: Kernel, worker):
    """
    A run may begin with several jobs, and all of them count.
    """
    kernel.define({"a": [], "b": [], "c": ["a", "b"]})
    kernel.define(DIAMOND, "diamond")
    ask(kernel, 1)
    ask(kernel, 1, "diamond")

    round = kernel.admit(worker, room=10)

    assert [each.claim.job for each in round.handed] == ["a", "b", "a"]
    kernel.check_counts()


def test_what_waits_already_comes_first(kernel: Kernel, worker):
    """
    While something is Ready, nothing that is made later overtakes it.
    """
    kernel.define(ONE)
    before = kernel.start()
    ask(kernel, 1)

    round = kernel.admit(worker, room=10)

    assert round.handed == []
    assert waiting(kernel) == 2
    assert kernel.claim(worker, 1)[0].run_id == before


def test_another_worker_with_a_free_slot_gets_its_share(kernel: Kernel, worker):
    """
    Who has a free slot begins at once what would have to wait here; once all are busy it waits here.
    """
    other = kernel.worker("worker2", slots=1)
    kernel.worker("elsewhere", queues=("elsewhere",))
    kernel.define(ONE)
    ask(kernel, 2)

    assert kernel.admit(worker, room=10).handed == []
    assert waiting(kernel) == 2

    kernel.claim(other, 2)
    ask(kernel, 1)
    assert len(kernel.admit(worker, room=10).handed) == 1


@pytest.mark.parametrize("why", ["drained", "dead", "paused", "pipeline paused", "queue"])
def test_it_gets_nothing_that_it_would_not_claim(kernel: Kernel, why: str):
    """
    What stops a worker from claiming stops this too: the runs are made, and nobody holds their jobs.
    """
    worker = kernel.worker(queues=("other",) if why == "queue" else ("default",))
    kernel.define(ONE)
    match why:
        case "drained":
            workers.drain(kernel.session, worker.name)
        case "dead":
            kernel.bury(worker)
        case "paused":
            pipelines.set_all_paused(kernel.session, True)
        case "pipeline paused":
            kernel.pause("p")
        case _:
            pass
    ask(kernel, 2)

    assert kernel.admit(worker, room=10).handed == []
    assert kernel.one("SELECT count(*) FROM rush.run_state WHERE worker IS NULL") == 2


def test_a_term_that_is_over_makes_no_run(kernel: Kernel, worker):
    """
    The fence travels with the statement, in one round trip: what an old term has sent comes to
    nothing.
    """
    kernel.define(ONE)
    ask(kernel, 1)
    kernel.sql("UPDATE rush.master_token SET term = term + 1")

    with pytest.raises(TermOver):
        kernel.admit(worker, room=10)

    assert kernel.one("SELECT count(*) FROM rush.run") == 0
    assert kernel.one("SELECT status FROM rush.run_request") == "Pending"
