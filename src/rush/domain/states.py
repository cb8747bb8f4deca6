"""
The states of jobs, runs, requests and workers. These words are what the tables hold.

A state is terminal when nothing more happens to what is in it unless somebody asks:
a re-run makes a Stuck run Running again, and begins anew, in a new round, with its jobs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class JobState(StrEnum):
    Waiting = "Waiting"
    Ready = "Ready"
    Running = "Running"
    Complete = "Complete"
    Failed = "Failed"
    Stuck = "Stuck"
    Cancelled = "Cancelled"
    Skipped = "Skipped"

    @property
    def terminal(self) -> bool:
        return self in (
            JobState.Complete,
            JobState.Stuck,
            JobState.Cancelled,
            JobState.Skipped,
        )


class RunState(StrEnum):
    Running = "Running"
    Complete = "Complete"
    Stuck = "Stuck"
    Cancelled = "Cancelled"

    @property
    def terminal(self) -> bool:
        return self is not RunState.Running


class RequestState(StrEnum):
    Pending = "Pending"
    Accepted = "Accepted"
    Rejected = "Rejected"

    @property
    def terminal(self) -> bool:
        return self is not RequestState.Pending


class WorkerState(StrEnum):
    Alive = "Alive"
    Draining = "Draining"
    Dead = "Dead"

    @property
    def terminal(self) -> bool:
        return self is WorkerState.Dead


class Transition(NamedTuple):
    """A step that a job may take within a round. None: it has no row yet."""

    before: JobState | None
    after: JobState
    because: str


TRANSITIONS = (
    Transition(None, JobState.Ready, "what it waited for is complete"),
    Transition(None, JobState.Waiting, "so, in a paused pipeline"),
    Transition(None, JobState.Skipped, "the run starts at a later job"),
    Transition(None, JobState.Cancelled, "what it waited for is complete in a cancelled run"),
    Transition(JobState.Waiting, JobState.Ready, "its time has come"),
    Transition(JobState.Ready, JobState.Waiting, "its pipeline is paused"),
    Transition(JobState.Ready, JobState.Running, "a runner has begun it"),
    Transition(JobState.Ready, JobState.Complete, "over before it was marked as Running"),
    Transition(JobState.Ready, JobState.Failed, "so, or too many workers died holding it"),
    Transition(JobState.Running, JobState.Ready, "given back when its worker stops"),
    Transition(JobState.Running, JobState.Waiting, "so, in a paused pipeline"),
    Transition(JobState.Running, JobState.Complete, "run() returned"),
    Transition(JobState.Running, JobState.Failed, "raised, timed out, or its worker died"),
    Transition(JobState.Failed, JobState.Waiting, "retries remain"),
    Transition(JobState.Failed, JobState.Stuck, "retries are used up"),
    Transition(JobState.Waiting, JobState.Cancelled, "cancelled"),
    Transition(JobState.Ready, JobState.Cancelled, "cancelled"),
    Transition(JobState.Running, JobState.Cancelled, "cancelled"),
    Transition(JobState.Failed, JobState.Cancelled, "cancelled"),
    Transition(JobState.Stuck, JobState.Cancelled, "cancelled"),
)


def allowed(before: JobState | None, after: JobState) -> bool:
    """Whether a job may go from one state to another within a round."""
    return any((step.before, step.after) == (before, after) for step in TRANSITIONS)


def mermaid() -> str:
    """The transitions of a job as a mermaid state diagram."""
    steps = [f"    {step.before or '[*]'} --> {step.after}: {step.because}" for step in TRANSITIONS]
    ends = [f"    {state} --> [*]" for state in JobState if state.terminal]
    return "\n".join(["stateDiagram-v2", *steps, *ends]) + "\n"
