"""What the store and the worker speak of: plain values, no behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

OutcomeState = Literal["Complete", "Failed", "Cancelled"]


class Key(NamedTuple):
    """The key of a live job, everywhere."""

    run_id: int
    job: str
    item: int
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledJob:
    """A job of one version of a pipeline. It never changes."""

    id: int
    name: str
    class_name: str
    timeout_seconds: float
    retry_limit: int
    isolation: str
    on_lost_contact: str
    params: dict[str, Any]
    pipeline: str
    version: int


class Claim(NamedTuple):
    """A job that has been handed to this worker: a row as the store reads it."""

    token: int
    run_id: int
    job: str
    item: int
    round: int
    claim_id: int
    job_id: int
    pipeline: str
    jobinstance: int
    #: How many attempts were begun before.
    attempt: int
    given_back: bool
    cancelling: bool
    #: From the request, as JSON that nobody has read yet: what it holds is the attempt's affair.
    params: str | None
    #: From `job_parameter`: texts, to be read as people type them.
    job_params: dict[str, str | None] | None

    @classmethod
    def of(cls, row: Sequence[Any]) -> Claim:
        """From a row that begins with these columns."""
        return cls._make(row[:_COLUMNS])

    @property
    def key(self) -> Key:
        return Key(self.run_id, self.job, self.item, self.round)


_COLUMNS = len(Claim._fields)


class Handed(NamedTuple):
    """A job that the master has handed to a worker, in one of its registrations."""

    worker_id: int
    generation: int
    claim: Claim
    #: Before this monotonic instant nobody could know of it.
    since: float


class OwnWorker(Protocol):
    """The worker in the master's own process, which it tells by calls. None of them waits."""

    def ring(self) -> None:
        """It has been handed something, and asks what."""

    def hand(self, handed: list[Handed]) -> None:
        """It has been handed this, and need not ask."""

    def reach(self, *, deep: bool) -> int:
        """For how many new jobs it has room; twice as `deep` while nobody else is there."""
        ...

    def rouse(self) -> None:
        """It may be handed something in a moment."""

    def learn(self, job_ids: list[int]) -> None:
        """It may be handed these jobs some time, and what comes behind them."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How an attempt ended. Instants are on this machine's monotonic clock; None: it never began."""

    claim: Claim
    state: OutcomeState
    began: float | None
    ended: float
    code: str | None = None
    reason: str | None = None
    error: str | None = None
    traceback: str | None = None
    result: str | None = None
    log: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPart:
    """Lines of an attempt that goes on, in order by `part`."""

    claim: Claim
    attempt: int
    part: int
    lines: str


@dataclass(slots=True, kw_only=True)
class Answer:
    """What a report brought back."""

    claims: list[Claim] = field(default_factory=list[Claim])
    #: Tokens of outcomes that were not accepted: another has moved on, or they are already there.
    refused: list[int] = field(default_factory=list[int])
    #: How much was left for the master to do.
    left: int = 0
    #: How many runs this report has ended.
    ended: int = 0
    #: There may be something Ready to claim.
    ready: bool = False
    #: Whether the look at that has left something out; None: there was none.
    overlooks: bool | None = None
