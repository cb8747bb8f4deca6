from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from rush.cli.init import FILES
from rush.config import SETTINGS, load_settings


def test_a_project(rush, tmp_path):
    """`rush init FOLDER` writes every file of a project and says what to type next."""
    ended = rush("init", "flights")

    made = {str(path.relative_to(tmp_path / "flights")) for path in files_in(tmp_path / "flights")}
    assert (ended.code, ended.err) == (0, "")
    assert made == set(FILES)
    assert ended.out.startswith("made a project in flights\n")
    assert "  cd flights && rush run example_pipeline --wait\n" in ended.out
    assert ended.out.endswith("\n  cd flights && rush dev\n")


def test_in_this_folder(rush, tmp_path):
    """Without a folder the project is made here, beside what is here already."""
    (tmp_path / "notes.txt").write_text("mine")
    ended = rush("init")

    assert ended.code == 0
    assert "cd " not in ended.out
    assert set(FILES) | {"notes.txt"} == {str(p.relative_to(tmp_path)) for p in files_in(tmp_path)}


def test_nothing_is_overwritten(rush, tmp_path):
    """Where one of the files exists, even as a dead link, nothing at all is written."""
    (tmp_path / "main.py").symlink_to("nowhere")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/job.py").write_text("mine")
    ended = rush("init")

    assert ended.code == 2
    assert ended.err.startswith("error: .: jobs/job.py, main.py would be overwritten")
    assert {str(p.relative_to(tmp_path)) for p in files_in(tmp_path)} == {"jobs/job.py"}


def test_a_folder_that_cannot_be_made(rush, tmp_path):
    """A file where the folder should be is one clear error."""
    (tmp_path / "file").write_text("")
    ended = rush("init", "file/project")

    assert ended.code == 2
    assert re.fullmatch(r"error: file(/project)?: Not a directory\n", ended.err)


def test_the_settings_are_ours_to_uncomment(rush, tmp_path):
    """The project's rush.toml changes nothing as made, and each of its examples is accepted."""
    rush("init")
    assert set(load_settings(tmp_path, flags={}, environ={}).origins.values()) == {"default"}

    text = (tmp_path / "rush.toml").read_text()
    (tmp_path / "rush.toml").write_text(re.sub(r"(?m)^# (\w+ = )", r"\1", text))
    said = load_settings(tmp_path, flags={}, environ={}).origins
    assert {name for name in SETTINGS if said[name] == "rush.toml"} == {
        "database_url",
        "slots",
        "allowed_modules",
        "retention_days",
        "alert_command",
    }


def test_the_jobs_are_there(rush, tmp_path):
    """The classes that the example names load, and `from jobs.job import Job` is Rush's Job."""
    rush("init")
    code = (
        "import rush; from jobs.job import Job; from jobs.dummy_job import DummyJob; "
        "from jobs.move_to_db import MoveToDb; "
        "assert Job is rush.Job and issubclass(DummyJob, Job) and issubclass(MoveToDb, Job)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_main_is_a_worker_of_this_project(rush, tmp_path):
    """`python main.py` is `rush worker` in the project's folder, from wherever it is called."""
    rush("init", "project")
    code = (
        "import runpy, sys; import rush.cli.__main__ as command; "
        "command.main = lambda arguments: print(arguments); sys.argv = ['main.py', 'w1']; "
        "runpy.run_path('project/main.py', run_name='__main__')"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    *arguments, folder = ast.literal_eval(answer.stdout)
    assert arguments == ["worker", "w1", "--project"]
    assert (tmp_path / folder).resolve() == tmp_path / "project"


def test_git_ignores_what_is_made_by_running(rush, tmp_path):
    """What a run leaves in a project is not committed by accident."""
    rush("init")

    assert (tmp_path / ".gitignore").read_text().split() == [".rush/", "logs/", "__pycache__/"]


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
