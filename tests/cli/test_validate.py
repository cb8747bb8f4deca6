from __future__ import annotations

import json
from pathlib import Path

import pytest

GOOD = """\
name: etl
jobs:
  - name: extract
    class_name: jobs.etl.Extract
  - name: load
    class_name: jobs.etl.Load
"""
BAD = """\
name: etl
jobs:
  - name: extract
    class_name: jobs.etl.Extract
    timeout_minutes: soon
  - name: load
    class_name: jobs.etl.Load
    retry_limt: 3
"""


def test_good_files(rush):
    """A definition that would run is told by its name and its number of jobs."""
    Path("etl.yaml").write_text(GOOD)
    Path("one.json").write_text('{"jobs": [{"name": "a", "class_name": "jobs.a.A"}]}')
    ended = rush("validate", "etl.yaml", "one.json")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "✓ etl.yaml: etl, 2 jobs\n✓ one.json: one, 1 job\n"


def test_the_project_that_init_makes(rush):
    """The example of a new project is valid as made."""
    rush("init")

    assert rush("validate", "pipelines/example_pipeline.yaml").code == 0


def test_every_problem_of_every_file(rush):
    """Each problem is a line as editors understand it, the good files are still told, and it ends with 1."""
    Path("bad.yaml").write_text(BAD)
    Path("good.yml").write_text(GOOD)
    Path("broken.json").write_text('{"jobs": [}')
    ended = rush("validate", "bad.yaml", "good.yml", "broken.json")

    timeout, limit, good, broken = ended.out.splitlines()
    assert (ended.code, ended.err) == (1, "")
    assert timeout.startswith("bad.yaml:5:5: jobs[0].timeout_minutes: must be a number, not ")
    assert limit.startswith("bad.yaml:8:5: jobs[1].retry_limt: unknown key; did you mean ")
    assert good == "✓ good.yml: etl, 2 jobs"
    assert broken.startswith("broken.json:1:11: ")


def test_as_json(rush):
    """With --json there is an object for each file, with its pipeline or its problems."""
    Path("bad.yaml").write_text(BAD)
    Path("good.yaml").write_text(GOOD)
    ended = rush("validate", "--json", "bad.yaml", "good.yaml")
    bad, good = json.loads(ended.out)

    assert ended.code == 1
    assert good == {"file": "good.yaml", "pipeline": "etl", "jobs": 2, "problems": []}
    assert [(each["line"], each["place"]) for each in bad["problems"]] == [
        (5, "jobs[0].timeout_minutes"),
        (8, "jobs[1].retry_limt"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "code", "error"),
    [
        ("missing.yaml", None, 3, "there is no file missing.yaml"),
        ("etl.txt", b"", 2, "etl.txt: the name must end with .yaml, .yml or .json"),
        ("etl.yaml", b"\xff", 2, "etl.yaml: this is not UTF-8: invalid start byte"),
    ],
)
def test_files_that_hold_no_definition(rush, name, content, code, error):
    """What is not there, or no text, or of an unknown kind is an error of the call."""
    if content is not None:
        Path(name).write_bytes(content)
    ended = rush("validate", name)

    assert (ended.code, ended.out, ended.err) == (code, "", f"error: {error}\n")


def test_a_folder(rush):
    """A folder cannot be read as a definition, and that is said without a traceback."""
    Path("folder.yaml").mkdir()
    ended = rush("validate", "folder.yaml")

    assert (ended.code, ended.err) == (2, "error: folder.yaml: cannot be read: Is a directory\n")
