"""The way between a worker and its server: slow, flapping, or gone for one alone (C)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rush.errors import DatabaseError
from rush.store.database import connect
from tests.chaos.proxy import Fault, Message, Network, Proxy
from tests.support.postgres import postgres
from tests.support.project import Project, project
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

SETTINGS = {"worker_lease": 5.0, "master_expiry": 4.0, "poll_interval": 1.0}


@pytest.fixture
def rush(tmp_path: Path, database: str) -> Iterator[Project]:
    with project(tmp_path / "project", database, **SETTINGS) as made:
        made.pipeline("p", [{"name": "a", "kind": "Noop"}, {"name": "b", "kind": "Noop"}])
        made.pipeline("long", [{"name": "a", "kind": "Sleep", "params": {"seconds": 8}}])
        yield made


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


def start(rush: Project, name: str, proxy: Proxy) -> None:
    rush.start(name, "--database-url", proxy.url, slots=1)


def test_latency_makes_nobody_dead(rush: Project, network: Network) -> None:
    """C6: every message takes 200 ms more in each direction, for two leases: slower, and no false death."""
    one, two = network.proxy(rush.database), network.proxy(rush.database)
    start(rush, "worker1", one)
    start(rush, "worker2", two)
    runs = [rush.started("long"), rush.started("long")]
    for run in runs:
        rush.running(run, "a")
    one.latency = two.latency = 0.2
    for run in runs:
        rush.ended(run, timeout=40)
    rush.ended(rush.started("p"), timeout=40)
    assert [rush.attempts(run) for run in runs] == [[("a", 1, "Complete")]] * 2
    assert "is dead" not in rush.said("worker1") + rush.said("worker2")


def test_a_master_that_is_cut_off_is_followed(rush: Project, network: Network) -> None:
    """
    C3, C4, C7: a black hole swallows all that the master says, and nobody else's: another leads, work goes on,
    and the old one gives up its term and comes back as a worker.
    """
    proxy = network.proxy(rush.database)
    start(rush, "worker1", proxy)
    rush.ended(rush.started("p"))
    rush.start("worker2")

    def swallow(message: Message) -> Fault:
        return Fault(kind="stall", seconds=3600)

    proxy.rule = swallow
    proxy.stall(3600)
    rush.ended(rush.started("p"), timeout=40)
    assert rush.one("SELECT term FROM rush.master_token") == 2
    wait_for(
        lambda: "term 1 is not trusted any more" in rush.said("worker1"),
        what="the old one to notice",
        timeout=20,
    )
    proxy.heal()
    wait_for(
        lambda: rush.one("SELECT lease_expires_at > now() FROM rush.worker WHERE name = 'worker1'"),
        what="the old one to be back",
        timeout=40,
    )
    assert rush.one("SELECT holder FROM rush.master_token") == "worker2"


def test_a_flapping_line_leaves_no_sessions_behind(rush: Project, network: Network) -> None:
    """C8: all wires of a worker are cut again and again: it comes back each time, and leaks no session."""
    proxy = network.proxy(rush.database)
    start(rush, "worker1", proxy)
    run = rush.started("long")
    rush.running(run, "a")
    until = time.monotonic() + 7
    cuts = 0
    while time.monotonic() < until:
        wait_for(lambda: len(proxy.wires) >= 2, what="the worker to be back")
        cuts += proxy.cut()
    assert cuts > 5
    rush.ended(run, timeout=40)
    rush.ended(rush.started("p"))
    assert rush.attempts(run) == [("a", 1, "Complete")]
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'rush worker1 %%'"
    wait_for(lambda: rush.one(sessions) <= 3, what="no more sessions than it has threads")


def test_a_frozen_postmaster_keeps_nobody_from_working(tmp_path: Path) -> None:
    """B14: nobody new is let in for two leases; those who are in go on, and nobody is declared dead."""
    with postgres() as server, project(tmp_path / "p", server.url, **SETTINGS) as rush:
        rush.pipeline("p", [{"name": "a", "kind": "Noop"}, {"name": "b", "kind": "Noop"}])
        rush.start("worker1")
        rush.start("worker2")
        rush.ended(rush.started("p"))
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            while time.monotonic() - began < 10:
                rush.ended(rush.started("p"))
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        rush.ended(rush.started("p"))
        assert "is dead" not in rush.said("worker1") + rush.said("worker2")


def test_a_name_that_leads_nowhere_is_an_outage() -> None:
    """C9: a host that cannot be resolved is a database out of reach, as any other is."""
    with pytest.raises(DatabaseError, match="cannot connect to"):
        connect("postgresql://rush@nowhere.invalid/rush", application_name="t")
