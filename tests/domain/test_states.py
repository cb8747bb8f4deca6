from __future__ import annotations

import re
from pathlib import Path

import pytest

from rush import config
from rush.domain.states import (
    TRANSITIONS,
    JobState,
    RequestState,
    RunState,
    WorkerState,
    allowed,
    mermaid,
)

CORE = Path(config.__file__).parent / "store" / "migrations" / "0001_core.sql"


def states_in(constraint: str) -> set[str]:
    """The words that a CHECK constraint of the tables lets through."""
    found = re.search(rf"CONSTRAINT {constraint}\s+CHECK \(\w+ IN \((.*?)\)\)", CORE.read_text())
    assert found is not None
    return set(re.findall(r"'(\w+)'", found[1]))


def test_words_are_those_of_the_tables():
    """Every state that the tables let through has its word here, and the other way round."""
    assert states_in("job_state_is_live") | states_in("archive_state_is_over") == set(JobState)
    assert states_in("run_state_is_known") == set(RunState)
    assert states_in("request_status_is_known") == set(RequestState)
    assert states_in("worker_state_is_known") == set(WorkerState)


@pytest.mark.parametrize("states", [JobState, RunState, RequestState, WorkerState])
def test_names_are_values(states):
    """A state is the very word that people read."""
    assert all(state.name == state.value == str(state) for state in states)


def test_terminal_states():
    """Nothing more happens by itself to what is in a terminal state."""
    terminal = [
        state for states in (JobState, RunState, RequestState, WorkerState) for state in states
    ]
    assert [str(state) for state in terminal if state.terminal] == [
        *("Complete", "Stuck", "Cancelled", "Skipped"),
        *("Complete", "Stuck", "Cancelled"),
        *("Accepted", "Rejected"),
        "Dead",
    ]


def test_every_job_can_end():
    """From every state that is not terminal, a job can get to Complete or to Stuck."""
    for state in JobState:
        assert state.terminal or {JobState.Complete, JobState.Stuck} & reachable(state)


def reachable(state: JobState) -> set[JobState]:
    found: set[JobState] = set()
    unseen = [state]
    while unseen:
        before = unseen.pop()
        after = {step.after for step in TRANSITIONS if step.before is before} - found
        found |= after
        unseen.extend(after)
    return found


@pytest.mark.parametrize(
    ("before", "after", "may"),
    [
        (None, "Ready", True),
        ("Ready", "Running", True),
        ("Running", "Complete", True),
        ("Failed", "Waiting", True),
        ("Failed", "Running", False),
        ("Waiting", "Running", False),
        ("Complete", "Failed", False),
        ("Stuck", "Waiting", False),
        ("Skipped", "Ready", False),
        (None, "Running", False),
    ],
)
def test_allowed(before, after, may):
    """A job goes only the ways that are drawn."""
    assert allowed(before and JobState(before), JobState(after)) is may


def test_mermaid():
    """The diagram has a line for each transition, and an end for each terminal state."""
    lines = mermaid().splitlines()

    assert lines[0] == "stateDiagram-v2"
    assert lines[1] == "    [*] --> Ready: what it waited for is complete"
    assert "    Running --> Complete: run() returned" in lines
    assert "    Stuck --> [*]" in lines
    assert "    Failed --> [*]" not in lines
    assert len(lines) == 1 + len(TRANSITIONS) + 4
