"""A job that a worker holds: how far it has come, what its runner is told of it, what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from rush.domain.records import Claim, CompiledJob, LogPart
from rush.logs import job_lines
from rush.worker.channel import Message
from rush.worker.process import RunnerProcess

if TYPE_CHECKING:
    from rush.worker.attempt import Body, Defined

Ending = Literal["timeout", "cancelled", "stopping", "lost contact", "overtaken"]


@dataclass(slots=True, kw_only=True, eq=False)
class Held:
    """One job, from its claim until its outcome is told."""

    claim: Claim
    job: CompiledJob
    queued_at: float
    runner: RunnerProcess | None = None
    #: With a runner, and not begun at that time. It may have been since then.
    untaken_at: float | None = None
    #: When it was begun, as far as that is known.
    began: float | None = None
    marked: bool = False
    ending: Ending | None = None
    #: When to go on with ending it, and how far that has come.
    escalate_at: float | None = None
    escalation: int = 0
    #: What it has said and nobody has kept yet; how much it has said in all.
    lines: list[str] = field(default_factory=list[str])
    logged: int = 0
    parts: int = 0

    @property
    def attempt(self) -> int:
        return self.claim.attempt + 1

    @property
    def deadline(self) -> float:
        assert self.began is not None
        return self.began + self.job.timeout_seconds

    @property
    def subject(self) -> str:
        claim = self.claim
        return f"{claim.pipeline}/{claim.jobinstance} {claim.job}#{self.attempt}"

    @property
    def body(self) -> Body:
        claim = self.claim
        return (
            self.job.id,
            claim.run_id,
            claim.jobinstance,
            claim.item,
            claim.round,
            self.attempt,
            claim.claim_id,
            claim.job_params,
            claim.params,
        )

    def say(self, at: str, level: str, text: str) -> None:
        """It has said something, at an instant as it is to be shown."""
        self.logged += len(text)
        text = storable(text) or ""
        job_lines.add(level, self.subject, text)
        self.lines.append(f"{at} {level} " + text.rstrip("\n").replace("\n", "\n    "))

    def take_lines(self) -> LogPart:
        """What it has said since the last time, to be kept."""
        part = LogPart(
            claim=self.claim, attempt=self.attempt, part=self.parts, lines="\n".join(self.lines)
        )
        self.parts += 1
        self.lines = []
        return part


def definition(job: CompiledJob) -> Message:
    """What a runner is told once of a job; every attempt at it then needs a few numbers only."""
    defined: Defined = {
        "pipeline": job.pipeline,
        "job": job.name,
        "class_name": job.class_name,
        "params": job.params,
    }
    return ["define", job.id, defined]


def storable(text: str | None) -> str | None:
    """The text without what PostgreSQL cannot keep: NUL, and halves of surrogate pairs."""
    if text is None:
        return None
    if "\x00" in text:
        text = text.replace("\x00", "\\x00")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-8", "backslashreplace").decode()
    return text
