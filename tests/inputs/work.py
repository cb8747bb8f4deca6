"""What jobs do wrong, on a real worker: all of them at once, each the only job of its pipeline."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.inputs.table import Case, made
from tests.support.project import Project
from tests.support.waiting import wait_for

JOB = """\
import os, subprocess, sys, time
from rush import Job


class Load(Job):
    def run(self):
        {}
"""

#: How the attempt ended, what is said of it, and what stands in its log.
Told = tuple[str, str, list[str]]


def work_through(cases: list[Case], project: Project) -> dict[str, Told]:
    """What came of each case, by its id. The worker has outlived all of it, and works on."""
    for number, case in enumerate(cases):
        lay_down(case, f"case{number}", project)
    worker = project.start(slots=4)
    wait_for(
        lambda: project.one("SELECT count(*) FROM rush.run WHERE state <> 'Running'") == len(cases),
        what=lambda: f"all to end, not {project.sql('SELECT pipeline, state FROM rush.run_state')}",
        timeout=100,
    )
    project.pipeline("after", [{"name": "a", "kind": "Noop"}])
    project.ended(project.started("after"))
    assert worker.poll() is None
    # None of the 100 MB that jobs print, raise and return have come so far.
    assert peak_memory(worker.pid) < 150
    rows = project.sql(
        """
        SELECT a.pipeline, coalesce(a.reason, a.state), a.error,
               (SELECT string_agg(l.lines, E'\\n' ORDER BY l.part) FROM rush.run_log l WHERE l.run_id = a.run_id)
          FROM rush.archive a
        """
    )
    return {
        name: (ends, _short(_plain(error or "", project)), _untimed(lines or ""))
        for name, ends, error, lines in rows
    }


def peak_memory(pid: int) -> float:
    """The most memory that a process has had at once, in MiB; 0 where the system does not say."""
    status = Path("/proc", str(pid), "status")
    if not status.exists():
        return 0.0
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) / 1024


def lay_down(case: Case, module: str, project: Project) -> None:
    given = case.input
    source = made(given["make"]) if "make" in given else given.get("source")
    if "body" in given:
        source = JOB.format(given["body"])
    if source is not None:
        Path(project.folder, "jobs", f"{module}.py").write_text(source)
    class_name = given.get("class", "jobs.case.Load")
    job = {
        "name": "a",
        "class_name": class_name.replace("jobs.case.", f"jobs.{module}."),
        "params": given.get("params", {}),
        "timeout_minutes": 1,
    }
    project.sql("INSERT INTO rush.pipeline VALUES (%s, %s)", case.id, json.dumps({"jobs": [job]}))
    project.request(case.id)


def _plain(text: str, project: Project) -> str:
    """Without what is another at every run."""
    text = text.replace(str(project.folder), "PROJECT")
    text = re.sub(r"\bcase\d+\b", "case", text)
    return re.sub(r"0x[0-9a-f]{6,}", "0x…", text)


def _untimed(lines: str) -> list[str]:
    """The first lines of a log, without their times."""
    return [
        _short(re.sub(r"^\d{4}-\d\d-\d\dT[\d:.]+Z ", "", line, count=1))
        for line in lines.split("\n")[:3]
    ]


def _short(text: str) -> str:
    return text if len(text) < 500 else f"{text[:20]}…{text[-60:]} ({len(text)} characters)"
