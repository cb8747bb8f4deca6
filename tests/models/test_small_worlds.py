"""Election, fencing and holding in worlds so small that all that can happen in them is looked at."""

from __future__ import annotations

import pytest

from tests.models import election, holding
from tests.models.search import search

#: So many events deep. What is wrong without a guard shows itself before.
ELECTION, HOLDING, FAILOVER = 12, 12, 10


def test_whatever_happens_terms_are_kept_apart() -> None:
    """
    However two masters freeze and messages linger, nobody writes in an old term, no term has
    two masters, and two never trust their lease at once.
    """
    found = search(election.begin(), election.Rules(), election.what_is_wrong, depth=ELECTION)

    assert found.wrong is None, found.story
    assert found.worlds > 10_000


def test_the_term_is_the_safety_and_the_lease_the_patience() -> None:
    """
    Where a holder is believed to be gone at the wrong moment, two trust their lease at once;
    the terms are kept apart all the same.
    """
    rules = election.Rules(early=True)

    trusting = search(election.begin(), rules, election.what_is_wrong, depth=ELECTION)
    assert trusting.wrong == "two masters trust their lease"

    def wrong(world: election.World) -> str | None:
        return election.what_is_wrong(world, early=True)

    found = search(election.begin(), rules, wrong, depth=ELECTION)
    assert found.wrong is None, found.story


@pytest.mark.parametrize("guard", election.GUARDS)
def test_every_guard_of_an_election_is_needed(guard: str) -> None:
    """
    Without it there is a way to what must not be.
    """
    found = search(election.begin(), election.Rules(guard), election.what_is_wrong, depth=ELECTION)

    assert found.wrong == election.GUARDS[guard], found


def test_whatever_happens_a_job_has_one_holder() -> None:
    """
    However two workers freeze, die, start again and are slow to report: who reports holds what
    he reports, and is alive; nothing is begun twice, or taken from its holder.
    """
    found = search(holding.begin(), holding.Rules(), holding.what_is_wrong, depth=HOLDING)

    assert found.wrong is None, found.story
    assert found.worlds > 10_000


@pytest.mark.parametrize("guard", holding.GUARDS)
def test_every_guard_of_a_holder_is_needed(guard: str) -> None:
    """
    Without it there is a way to what must not be.
    """
    found = search(holding.begin(), holding.Rules(guard), holding.what_is_wrong, depth=HOLDING)

    assert found.wrong == holding.GUARDS[guard], found


def test_a_failover_that_loses_commits_mixes_up_no_attempts() -> None:
    """
    Sequences go back with a standby that has not heard all; claim ids are random, and do not.
    """
    rules = holding.Rules(failover=True)
    found = search(holding.begin(), rules, holding.what_is_wrong, depth=FAILOVER)
    assert found.wrong is None, found.story

    (guard,) = holding.FAILOVER_GUARDS
    rules = holding.Rules(guard, failover=True)
    found = search(holding.begin(), rules, holding.what_is_wrong, depth=FAILOVER)
    assert found.wrong == holding.FAILOVER_GUARDS[guard], found
