"""What campaigns have found, each brought about without chance."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rush.domain.records import Answer
from rush.store import held
from rush.store.session import Session
from rush.store.workers import Registration
from rush.worker.process import RunnerProcess
from rush.worker.reports import Reply, Request
from rush.worker.runner import Greeting
from rush.worker.supervisor import Limits, Supervisor
from rush.worker.template import Template
from tests.chaos.cast import children
from tests.chaos.proxy import CUT, Fault, Message, Network
from tests.chaos.scene import job, lay
from tests.support.factories import Factories, MadeWorker
from tests.support.project import Project, project
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

SETTINGS = {"worker_lease": 2.0, "master_expiry": 2.0, "poll_interval": 3.0, "kill_grace": 1.0}


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture
def rush(tmp_path: Path, database: str) -> Iterator[Project]:
    with project(tmp_path / "project", database, **SETTINGS) as made:
        yield made


def test_what_has_completed_in_its_own_transaction_is_not_begun_again(
    rush: Project,
) -> None:
    """An answer that is older than a job's own commit does not make the worker begin it once more."""
    lay(rush, {"p": [job("a", inside=True)]})
    factories = Factories(rush.connection)
    factories.compile("p")
    worker = factories.worker()
    run = factories.run("p")
    token = factories.job(run, "a", worker=worker)
    registration = Registration(
        id=worker.id, name=worker.name, generation=worker.generation, now=datetime.now(UTC)
    )
    session = Session(rush.connection, "rush")
    rows = held.held(session, registration)
    compiled = {each.id: each for each in held.compiled_jobs(session, [rows[0].job_id])}
    template = Template()
    supervisor = Supervisor(LIMITS, lambda: RunnerProcess(template, greeting(rush, worker)))
    try:
        supervisor.start()
        supervisor.take_in(Reply(request=Request(), answer=Answer(), held=rows, compiled=compiled))
        # It asks what it holds, and what it hears is true when the database says it ...
        request = supervisor.news()
        wait_for(
            lambda: supervisor.wait(0.05) or supervisor.holding == 0, what="the job's own commit"
        )
        assert rush.sql("SELECT token, state FROM rush.archive") == [(token, "Complete")]
        # ... and is not any more when it arrives.
        supervisor.take_in(Reply(request=request, answer=Answer(), held=rows, compiled=compiled))
        assert supervisor.holding == 0
    finally:
        supervisor.close()
        template.close()


LIMITS = Limits(
    slots=1,
    kill_grace=1.0,
    max_log_bytes=100_000,
    max_log_line=1000,
    runner_jobs=1000,
    runner_memory_mb=1000,
)


def greeting(rush: Project, worker: MadeWorker) -> Greeting:
    return Greeting(
        project=str(rush.folder),
        allowed_modules=None,
        database_url=rush.database,
        schema="rush",
        worker=worker.name,
        generation=worker.generation,
        code="abc",
        log_level="INFO",
        max_log_line=1000,
        max_log_bytes=100_000,
        max_result_bytes=10_000,
    )


def test_who_is_elected_leads_though_its_wire_is_cut_then(rush: Project, network: Network) -> None:
    """A worker that loses its wire just when it has been elected leads all the same, or somebody else does."""
    lay(rush, {"p": [job("a")]})
    proxy = network.proxy(rush.database)

    cut: list[Message] = []

    def cut_once(message: Message) -> Fault | None:
        listens = message.query == "LISTEN" and b":master" in message.body
        if not listens or message.toward != "server" or cut:
            return None
        cut.append(message)
        return CUT

    proxy.rule = cut_once
    rush.start("worker1", "--database-url", proxy.url, slots=1)
    rush.ended(rush.started("p"))
    assert cut, "the wire was never cut"


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


def test_a_job_whose_process_is_frozen_before_its_commit_is_run_again(
    rush: Project, network: Network
) -> None:
    """
    What has completed in its own transaction is locked until that is over: it is ended with its
    worker's death (A4), and others have the job. Nobody thaws the first.
    """
    lay(rush, {"p": [job("a", inside=True)]})
    proxy = network.proxy(rush.database)
    first = rush.start("worker1", "--database-url", proxy.url, slots=1)
    frozen = threading.Event()

    def freeze_at_the_jobs_commit(message: Message) -> Fault | None:
        if message.session != "rush job on worker1" or message.query != "COMMIT":
            return None
        for pid in (first.pid, *children(first.pid)):
            os.kill(pid, signal.SIGSTOP)
        frozen.set()
        return Fault(kind="stall", seconds=3600)

    proxy.rule = freeze_at_the_jobs_commit
    run = rush.started("p")
    assert frozen.wait(20)
    rush.start("worker2", slots=1)
    rush.ended(run)
    assert rush.one("SELECT count(*) FROM public.effect WHERE inside") == 1
