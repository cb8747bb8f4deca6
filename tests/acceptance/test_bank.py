"""
A bank: money goes from account to account in jobs, while workers are killed and frozen and the
server crashes. What `docs/guarantees.md` promises, by the example that everybody knows.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.faults.test_processes import family_of, freeze, thaw
from tests.support.postgres import postgres
from tests.support.project import Project, project
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]

LEASE = 2
ACCOUNTS = 6
EACH = 1000
TRANSFERS = 150

TABLES = """
CREATE TABLE public.account (id int PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0));
CREATE TABLE public.posting (run_id bigint, account int, amount int, key text);
"""

TRANSFER = """
source, target, amount = (self.params[name] for name in ("source", "target", "amount"))
with self.transaction() as connection:
    # In the order of their numbers, as with every bank that wants no deadlocks.
    for account, change in sorted([(source, -amount), (target, amount)]):
        connection.execute("UPDATE public.account SET balance = balance + %s WHERE id = %s", (change, account))
        connection.execute("INSERT INTO public.posting VALUES (%s, %s, %s, %s)",
                           (self.run_id, account, change, self.idempotency_key))
        # In the middle of it, where it hurts most.
        time.sleep(self.params["seconds"])
"""


class Bank:
    """Accounts, the transfers that are asked for, and workers that come and go."""

    def __init__(self, rush: Project, chance: random.Random) -> None:
        self.rush = rush
        self.chance = chance
        self.asked: list[tuple[int, int, int, int]] = []
        self._workers = 0
        rush.connection.execute(TABLES)
        rush.sql(
            "INSERT INTO public.account SELECT n, %s FROM generate_series(1, %s) n", EACH, ACCOUNTS
        )
        rush.sql(
            "INSERT INTO rush.pipeline (name, definition) VALUES ('transfer', %s)",
            psycopg.types.json.Json(
                {
                    "jobs": [
                        {
                            "name": "move",
                            "class_name": rush.add_class("Transfer", TRANSFER),
                            "retry_limit": 50,
                            "retry_gap_minutes": 0,
                        }
                    ]
                }
            ),
        )

    def ask(self) -> None:
        for _ in range(TRANSFERS):
            source, target = self.chance.sample(range(1, ACCOUNTS + 1), 2)
            amount = self.chance.randint(1, 5)
            params = {"source": source, "target": target, "amount": amount, "seconds": 0.05}
            request = self.rush.request("transfer", params=psycopg.types.json.Json(params))
            self.asked.append((request, source, target, amount))

    def hire(self) -> str:
        self._workers += 1
        name = f"teller{self._workers}"
        self.rush.start(name)
        return name

    def some(self) -> str:
        return self.chance.choice(
            [name for name, process in self.rush.workers.items() if process.poll() is None]
        )

    def done(self) -> int:
        return self.rush.one("SELECT count(*) FROM rush.run WHERE state = 'Complete'")


def kill(bank: Bank) -> None:
    bank.rush.kill(bank.some())
    bank.hire()


def freeze_beyond_the_lease(bank: Bank) -> None:
    """Others have its jobs by the time it goes on where it stopped."""
    name = bank.some()
    family = family_of(bank.rush, name)
    freeze(family)
    wait_for(
        lambda: bank.rush.one("SELECT state FROM rush.worker WHERE name = %s", name) == "Dead",
        what=f"{name} to be declared dead",
        timeout=60,
    )
    thaw(family)


def test_every_transfer_is_made_once(tmp_path: Path) -> None:
    """No sum is lost or made, none is moved twice; each account has what its transfers left it."""
    with (
        postgres() as server,
        project(tmp_path / "project", server.url, worker_lease=LEASE, master_expiry=LEASE) as rush,
    ):
        bank = Bank(rush, random.Random(7))

        def crash(bank: Bank) -> None:
            rush.connection.close()
            server.stop(signal.SIGQUIT)
            server.start()
            rush.connection = psycopg.connect(server.url, autocommit=True)

        for _ in range(3):
            bank.hire()
        bank.ask()
        faults: list[Callable[[Bank], None]] = [kill, freeze_beyond_the_lease, crash] * 2
        for number, fault in enumerate(faults):
            enough = (number + 1) * TRANSFERS // (len(faults) + 2)
            wait_for(lambda: bank.done() >= enough, what="transfers", timeout=60)  # noqa: B023
            fault(bank)
        wait_for(lambda: bank.done() == TRANSFERS, what="all transfers", timeout=120)

        expected = dict.fromkeys(range(1, ACCOUNTS + 1), EACH)
        for _, source, target, amount in bank.asked:
            expected[source] -= amount
            expected[target] += amount
        assert dict(rush.sql("SELECT id, balance FROM public.account")) == expected
        assert rush.one("SELECT sum(balance) FROM public.account") == ACCOUNTS * EACH
        postings = rush.sql(
            "SELECT q.id, p.account, p.amount FROM public.posting p"
            " JOIN rush.run_request q ON q.run_id = p.run_id"
        )
        assert sorted(postings) == sorted(
            posting
            for request, source, target, amount in bank.asked
            for posting in ((request, source, -amount), (request, target, amount))
        )
        again = rush.one("SELECT count(*) FROM rush.archive WHERE state <> 'Complete'")
        print(f"{TRANSFERS} transfers, {len(faults)} faults, {again} attempts that came to nothing")
        assert again > 0
