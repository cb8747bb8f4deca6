"""What a sitting has found: kept as JSON value by value, and shown as a table."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from benchmarks.goals import METRICS, Metric, Sizes
from benchmarks.products import Product, Values
from benchmarks.server import FOLDER, Server

ROOT = Path(__file__).parents[1]


@dataclass(slots=True)
class Sitting:
    name: str
    about: dict[str, Any]
    #: By product, in the order in which they are shown; the first is what others are compared to.
    rounds: dict[str, list[Values]] = field(default_factory=dict)

    @classmethod
    def begin(cls, server: Server, products: Sequence[Product], sizes: Sizes) -> Self:
        now = datetime.now(UTC)
        about = {
            "at": f"{now:%Y-%m-%d %H:%M} UTC",
            "commit": _commit(),
            "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
            "server": f"{server.version}: {server.durability}",
            "python": platform.python_version(),
            "sizes": asdict(sizes),
            "products": {
                product.name: {"versions": product.versions, "settings": product.settings}
                for product in products
            },
        }
        return cls(f"sitting-{now:%Y%m%d-%H%M%S}", about, {each.name: [] for each in products})

    @property
    def whole(self) -> bool:
        """Whether the workloads have their full size, so that the values say something."""
        return self.about["sizes"] == asdict(Sizes())

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.json"

    def add(self, product: str, values: Values) -> None:
        """Kept at once: a sitting that is broken off has not been for nothing."""
        self.rounds[product].append(values)
        FOLDER.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({"about": self.about, "rounds": self.rounds}, indent=1))

    def values(self, product: str, metric: str) -> list[float]:
        return [found[metric] for found in self.rounds[product] if metric in found]


def table(sitting: Sitting) -> str:
    """Medians, spreads and ratios, in Markdown, and how they came about."""
    products = list(sitting.rounds)
    rows = [["", "goal", "", *products], ["---", "---:", "---", *["---:"] * len(products)]]
    for name, metric in METRICS.items():
        if any(sitting.values(product, name) for product in products):
            rows.append(list(_row(sitting, name, metric)))
    return "\n".join(["| " + " | ".join(row) + " |" for row in rows] + ["", *_notes(sitting)])


def _row(sitting: Sitting, name: str, metric: Metric) -> Iterator[str]:
    first, *_ = sitting.rounds
    ours = sitting.values(first, name)
    yield metric.title
    yield f"{'≥' if metric.better == 'more' else '≤'} {shown(metric.goal)} {metric.unit}".strip()
    yield _verdict(sitting, metric, ours)
    for product in sitting.rounds:
        found = sitting.values(product, name)
        ratio = ""
        if found and ours and product != first:
            times = metric.ratio(statistics.median(found), of=statistics.median(ours))
            ratio = f", {shown(times)}x"
        yield f"{spread(found)}{ratio}"


def _verdict(sitting: Sitting, metric: Metric, ours: Sequence[float]) -> str:
    if not ours or not sitting.whole:
        return ""
    return "met" if metric.met_by(statistics.median(ours)) else "**not met**"


def spread(found: Sequence[float]) -> str:
    """The median, with the least and the most."""
    if not found:
        return ""
    if len(found) == 1:
        return shown(found[0])
    return f"{shown(statistics.median(found))} ({shown(min(found))} to {shown(max(found))})"


def shown(value: float) -> str:
    """Three digits, or all before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _notes(sitting: Sitting) -> Iterator[str]:
    about = sitting.about
    if not sitting.whole:
        yield "**Only a trial, of smaller workloads than the rows name: these values say nothing.**"
    rounds = max(map(len, sitting.rounds.values()))
    yield f"Medians of {rounds} rounds (least to most). 0.5x is half as good as {next(iter(sitting.rounds))}."
    for product in sitting.rounds:
        if alone := sitting.values(product, "insert_alone"):
            yield f"An INSERT into a table of its own, after the rest of W2: p50 {spread(alone)} ms."
    for what in ("at", "commit", "machine", "server", "python", "sizes"):
        yield f"- {what}: {about[what]}"
    for name, product in about["products"].items():
        yield f"- {name}: {', '.join(product['versions'])}; {product['settings']}"


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
