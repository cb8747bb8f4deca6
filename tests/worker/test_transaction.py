"""A job's own transaction: what it writes is there with its completion, or not at all."""

from __future__ import annotations

import pytest

from rush.domain.records import Claim
from rush.store.workers import Registration
from rush.worker.attempt import Overtaken, Transaction
from rush.worker.runner import Greeting
from tests.support.kernel import CHAIN, Kernel, attempt_of, shared

__all__ = ["shared"]


def begun(database: str, worker: Registration, claim: Claim) -> Transaction:
    """The transaction of an attempt that has written something."""
    own = Transaction(
        Greeting(
            project="",
            allowed_modules=None,
            database_url=database,
            schema="rush",
            worker=worker.name,
            generation=worker.generation,
            code="abc",
            log_level="INFO",
            max_log_line=1000,
            max_log_bytes=100_000,
            max_result_bytes=10_000,
        ),
        attempt_of(claim),
    )
    own.connection.execute("INSERT INTO public.effect VALUES (%s)", [claim.token])
    return own


@pytest.fixture
def held(shared: Kernel) -> tuple[Registration, Claim]:
    """A worker, and a job that it runs."""
    shared.sql("CREATE TABLE public.effect (token bigint)")
    shared.define(CHAIN)
    worker = shared.worker()
    shared.start()
    (claim,) = shared.running(worker)
    return worker, claim


def test_what_was_written_comes_with_the_completion(shared: Kernel, database: str, held):
    """
    Nothing of it is seen before, all of it after.
    """
    worker, claim = held
    own = begun(database, worker, claim)
    assert shared.one("SELECT count(*) FROM public.effect") == 0

    own.complete(None)
    own.close()

    assert shared.one("SELECT token FROM public.effect") == claim.token
    assert shared.archive(claim.run_id) == [("a", 1, 1, "Complete")]


def test_what_an_overtaken_attempt_wrote_is_gone(shared: Kernel, database: str, held):
    """
    An attempt whose worker was declared dead meanwhile leaves nothing behind, and hears so.
    """
    worker, claim = held
    own = begun(database, worker, claim)
    shared.bury(worker)

    with pytest.raises(Overtaken):
        own.complete(None)
    own.close()

    assert shared.one("SELECT count(*) FROM public.effect") == 0
    assert shared.archive(claim.run_id) == [("a", 1, 1, "Failed")]


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_nobody_touches_the_row_of_a_job_that_writes(shared: Kernel, database: str, level: str):
    """
    Its worker marks what runs for longer than a moment; the row of this one is marked before its
    transaction begins, so that it completes at any level.
    """
    shared.sql("CREATE TABLE public.effect (token bigint)")
    shared.define(CHAIN)
    worker = shared.worker()
    run = shared.start()
    (claim,) = shared.claim(worker)
    name = shared.session.connection.info.dbname
    shared.sql(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
    own = begun(database, worker, claim)

    shared.begin(worker, claim)
    own.complete(None)
    own.close()

    assert shared.archive(run) == [("a", 1, 1, "Complete")]
