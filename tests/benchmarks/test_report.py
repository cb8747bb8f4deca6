"""What a sitting says of its values."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import asdict

import pytest

from benchmarks.goals import METRICS, Sizes
from benchmarks.picture import curve, draw
from benchmarks.report import Sitting, table


@pytest.fixture
def sitting() -> Sitting:
    about = {
        "at": "2026-01-01 12:00 UTC",
        "commit": "abc",
        "machine": "a & b",
        "server": "PostgreSQL 15: fsync = on",
        "python": "3.11",
        "sizes": asdict(Sizes()),
        "products": {
            name: {"versions": [f"{name} 1"], "settings": "none"} for name in ("Rush", "Peer")
        },
    }
    rush = [{"drain": 21_000.0, "short": 0.02}, {"drain": 25_000.0, "short": 0.09}]
    peer = [{"drain": 5_000.0}, {"drain": 6_500.0}]
    return Sitting("sitting", about, {"Rush": rush, "Peer": peer})


def test_a_row_has_goal_verdict_median_spread_and_ratio(sitting: Sitting) -> None:
    """More is better in one row and less in the other, and a peer is compared to Rush."""
    drain, short = table(sitting).splitlines()[2:4]
    assert drain.endswith(
        "| ≥ 20,000 jobs/s | met | 23,000 (21,000 to 25,000) | 5,750 (5,000 to 6,500), 0.25x |"
    )
    assert short.endswith("| ≤ 0.03 s | **not met** | 0.055 (0.02 to 0.09) |  |")


def test_a_trial_has_no_verdicts(sitting: Sitting) -> None:
    """Of smaller workloads than the rows name, nothing is said to be met or not."""
    sitting.about["sizes"] = asdict(Sizes().scaled(0.1))
    assert "met" not in table(sitting).partition("\n\n")[0]
    assert "Only a trial" in table(sitting)


def test_pictures_are_well_formed(sitting: Sitting) -> None:
    """Whatever names and values there are, an XML parser reads the pictures."""
    bars = ET.fromstring(draw(sitting))
    line = ET.fromstring(curve("a < b", "workers", ["1", "2"], {"steps/s": [0.0, 3.0]}))
    assert bars.tag == line.tag == "{http://www.w3.org/2000/svg}svg"


def test_a_ratio_above_one_is_better() -> None:
    """Twice the rate and half the time are both twice as good."""
    assert METRICS["drain"].ratio(200, of=100) == METRICS["short"].ratio(0.5, of=1) == 2
