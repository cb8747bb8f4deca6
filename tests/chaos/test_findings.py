"""What campaigns have found, each brought about without chance."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.proxy import Fault, Message, Network
from tests.chaos.scene import job, lay
from tests.support.project import Project, project

pytestmark = [pytest.mark.process, pytest.mark.slow]

SETTINGS = {"worker_lease": 2.0, "master_expiry": 2.0, "poll_interval": 1.0, "kill_grace": 1.0}


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture
def rush(tmp_path: Path, database: str) -> Iterator[Project]:
    with project(tmp_path / "project", database, **SETTINGS) as made:
        yield made


@pytest.mark.xfail(
    strict=True,
    reason="Supervisor._compare takes a row for a new claim when its job has completed in a"
    " transaction of its own after the rows were read",
)
def test_what_has_completed_in_its_own_transaction_is_not_begun_again(
    rush: Project, network: Network
) -> None:
    """An answer that is older than a job's own commit does not make the worker begin it once more."""
    lay(rush, {"p": [job("a", inside=True, seconds=2)]})
    proxy = network.proxy(rush.database)

    late = threading.Event()

    def is_second(message: Message) -> bool:
        """The worker is told for the second time that it holds the job."""
        return (message.query, message.kind, message.nth) == ("held", "D", 2)

    proxy.rule = lambda message: Fault(kind="delay", seconds=2.5) if is_second(message) else None
    proxy.watch = lambda message: late.set() if is_second(message) else None
    rush.start("worker1", "--database-url", proxy.url, slots=1)
    run = rush.started("p")
    rush.ended(run)
    assert late.wait(10)
    # What it does now, it does after it has heard that.
    rush.ended(rush.started("p"))

    begun = rush.sql("SELECT token FROM public.effect WHERE NOT inside AND run_id = %s", run)
    assert len(begun) == 1


@pytest.mark.xfail(
    strict=True,
    reason="the sessions of Pulse, and those that a job's transaction opens, wait without a deadline",
)
def test_a_worker_in_a_black_hole_comes_back(rush: Project, network: Network) -> None:
    """
    A wire that takes everything and gives nothing, for ever (C3, C4): the worker gives up waiting
    on each of its sessions within a bound, connects anew, and works.
    """
    lay(rush, {"p": [job("a"), job("b", "a")]})
    proxy = network.proxy(rush.database)
    rush.start("worker1", "--database-url", proxy.url, slots=1)
    rush.ended(rush.started("p"))

    proxy.stall(3600)
    request = rush.request("p")
    _, _, run = rush.decided(request, timeout=40)
    assert run is not None
    rush.ended(run)
