"""What is measured, how much of it, and what is to be reached."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal, Self


@dataclass(frozen=True, slots=True)
class Metric:
    title: str
    unit: str
    better: Literal["more", "less"]
    goal: float

    def met_by(self, value: float) -> bool:
        return value >= self.goal if self.better == "more" else value <= self.goal

    def ratio(self, value: float, of: float) -> float:
        """How many times as good a value is as another: above 1 is better."""
        return value / of if self.better == "more" else of / value


METRICS = {
    "drain": Metric("W1 drain, 10,000 runs of one job", "jobs/s", "more", 20_000),
    "pickup_p50": Metric("W2 pickup by the client, p50", "ms", "less", 2),
    "pickup_p99": Metric("W2 pickup by the client, p99", "ms", "less", 5),
    "insert_p50": Metric("W2 pickup by INSERT, p50", "ms", "less", 2),
    "insert_p99": Metric("W2 pickup by INSERT, p99", "ms", "less", 5),
    "short": Metric("W3 chain of 40 x fibo(10)", "s", "less", 0.03),
    "short_first": Metric("the same, the first of all", "s", "less", 0.03),
    "long": Metric("W3 chain of 10 x fibo(33), times bare Python", "x", "less", 1.02),
    "pipelines": Metric("W4 1,000 runs of three jobs", "steps/s", "more", 15_000),
    "diamonds": Metric("W5 1,000 diamonds of four jobs", "jobs/s", "more", 8_000),
    "fan": Metric("W5 fan of 10,000 jobs, out and in", "s", "less", 1),
    "process": Metric("a process per attempt, a step", "ms", "less", 10),
    "wal": Metric("WAL a step of W4", "KiB", "less", 1),
    "commits": Metric("commits a step of W4", "", "less", 0.02),
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each workload is done."""

    jobs: int = 10_000
    runs: int = 1_000
    samples: int = 200
    short: int = 40
    #: Short chains that are counted, after the first.
    chains: int = 5
    long: int = 10
    diamonds: int = 1_000
    #: With the first and the last, as many jobs as a definition may have.
    width: int = 10_000

    def scaled(self, scale: float) -> Self:
        """A part of it, to try whether everything works: its values say nothing."""
        parts = {each.name: getattr(self, each.name) * scale for each in fields(self)}
        return replace(self, **{name: max(2, round(part)) for name, part in parts.items()})
