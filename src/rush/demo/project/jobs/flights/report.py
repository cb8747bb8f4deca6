"""Write down what was found, for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rush import Job

from .findings import Findings, read_findings
from .page import make_page, sentences


class Report(Job):
    """Makes a page of all tables of delays."""

    def run(self) -> dict[str, Any]:
        """Where the page is, what it says in short, and the figures that it leads with."""
        path = Path(self.params["report"])
        with self.transaction() as tx:
            findings = read_findings(tx)
            write(path, make_page(findings, made_by=f"{self.pipeline}, run {self.jobinstance}"))
            self.logger.info("the report is in %s", path)
            return key_figures(path, findings)


def write(path: Path, text: str) -> None:
    """All of the file or none of it: a reader never finds half a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.part")
    draft.write_text(text, "utf-8")
    draft.replace(path)


def key_figures(path: Path, findings: Findings) -> dict[str, Any]:
    total = findings.total
    return {
        "report": str(path),
        "findings": sentences(findings),
        "flights": total.flights,
        "cancelled": total.cancelled,
        "late": total.late,
        "share_late": total.share_late,
        "mean_delay": total.mean_delay,
        "mean_delay_if_fine": findings.rough.mean_if_fine,
        "explained_by_weather": findings.explained["weather"],
    }
