"""Every bad input of the table is refused in the words that stand there, and leaves nothing behind."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.inputs import table, walk, work
from tests.inputs.scene import Scene
from tests.inputs.table import CHANNELS, Case, cases
from tests.support.project import project

#: How many hand-made inputs there are at the least.
ENOUGH = 250


def each(channel: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases(channel), ids=lambda case: case.id)


@pytest.fixture
def rush(rush, scene, monkeypatch):
    """The command line, on the scene's database."""
    monkeypatch.setenv("RUSH_DATABASE_URL", scene.url)
    return rush


@each("python")
def test_by_python(case: Case, scene: Scene) -> None:
    """The client raises the error and changes nothing, or the master rejects what it asked for."""
    call = walk.call_client if "call" in case.input else walk.ask_the_master
    case.said(*call(case, scene))


@each("cli")
def test_by_the_command_line(case: Case, scene: Scene, rush, monkeypatch) -> None:
    """The command ends with its exit code and a message without a traceback, and changes nothing."""
    for name, value in case.input.get("env", {}).items():
        monkeypatch.setenv(name, value)
    case.said(*walk.call_command(case, scene, rush))


@each("file")
def test_by_a_file(case: Case, scene: Scene, rush) -> None:
    """Each problem is told with its line and its place, and nothing of the file is applied."""
    case.said(*walk.read_file(case, scene, rush))


@each("sql")
def test_by_sql(case: Case, scene: Scene) -> None:
    """A constraint refuses the statement, or the master what was inserted; nothing of it remains."""
    give = walk.run_statement if "sql" in case.input else walk.insert_definition
    case.said(*give(case, scene))


@pytest.mark.process
def test_by_jobs(database: str, tmp_path: Path) -> None:
    """
    A job that cannot be right fails with its reason, what it prints is kept as text, and the
    worker of them all works on. In its log file a record is one line, and drives no terminal.
    """
    bad = cases("jobs")
    with project(tmp_path / "project", database) as made:
        told = work.work_through(bad, made)
        log = Path(made.folder, "logs", "worker1.log").read_text()
    for case in bad:
        state, error, lines = told[case.id]
        case.said(state, error)
        if "logs" in case.input:
            assert lines == case.input["logs"], case
    for line in log.removesuffix("\n").split("\n"):
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ +worker1", line)
        assert line.isprintable()


def test_the_table_is_whole() -> None:
    """There are enough inputs, no two are the same, and each says of which kind it is."""
    every = [case for channel in CHANNELS for case in cases(channel)]
    assert len(every) >= ENOUGH
    assert max(Counter((case.channel, case.id) for case in every).values()) == 1
    assert max(Counter((case.channel, repr(case.input)) for case in every).values()) == 1
    assert all(re.fullmatch(r"[EFGH]\d+", case.entry) for case in every)
    assert table.TABLES.is_dir()
