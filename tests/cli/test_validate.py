from __future__ import annotations

import json
from pathlib import Path

import pytest

from rush.cli.classes import Classes

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

    ended = rush("validate", "pipelines/example_pipeline.yaml")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "✓ pipelines/example_pipeline.yaml: example_pipeline, 2 jobs\n"


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
    assert good == {
        "file": "good.yaml",
        "pipeline": "etl",
        "jobs": 2,
        "problems": [],
        "warnings": [],
    }
    assert [(each["line"], each["place"]) for each in bad["problems"]] == [
        (5, "jobs[0].timeout_minutes"),
        (8, "jobs[1].retry_limt"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "code", "error"),
    [
        ("missing.yaml", None, 3, "there is no file missing.yaml"),
        ("etl.txt", b"", 2, "etl.txt: the name must end with .yaml, .yml or .json"),
        ("etl.yaml", b"\xff", 2, "etl.yaml:1: this is not UTF-8: invalid start byte"),
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


# Classes that are not there -----------------------------------------------------------


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def test_a_class_that_is_not_there_is_a_warning(rush):
    """A class or module that the project does not have is told with its place and what was meant, and fails nothing."""
    write("jobs/etl.py", "raise RuntimeError('imported')\nclass Extract: ...\nclass Lod: ...\n")
    write("pipelines/etl.yaml", GOOD.replace("etl.Extract", "elt.Extract"))
    ended = rush("validate", "pipelines/etl.yaml")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        f"pipelines/etl.yaml:4:5: warning: jobs[0].class_name: there is no module jobs.elt in "
        f"{Path.cwd()}; did you mean `jobs.etl`?",
        "pipelines/etl.yaml:6:5: warning: jobs[1].class_name: the module jobs.etl has no class "
        "Load; did you mean `Lod`?",
        "✓ pipelines/etl.yaml: etl, 2 jobs",
    ]
    (found,) = json.loads(rush("validate", "--json", "pipelines/etl.yaml").out)
    assert [each["line"] for each in found["warnings"]] == [4, 6]


def test_the_project_is_that_of_the_file(rush, tmp_path, monkeypatch):
    """Classes are looked for where the file's project is, from wherever it is checked."""
    write("shop/rush.toml", "")
    write("shop/jobs/etl.py", "class Extract: ...\n")
    write("shop/pipelines/etl.yaml", GOOD)
    monkeypatch.chdir("/")

    ended = rush("validate", tmp_path / "shop/pipelines/etl.yaml")

    assert "has no class Load" in ended.out
    assert "Extract" not in ended.out


def test_without_a_project_nothing_is_said_of_classes(rush):
    """A file that lies beside no project can be checked for its own sake."""
    Path("etl.yaml").write_text(GOOD)

    assert "warning" not in rush("validate", "etl.yaml").out


def test_with_settings_that_cannot_be_read_nothing_is_said_of_classes(rush):
    """Who may load what is not known then, and the definition is checked all the same."""
    write("rush.toml", "slots = 'many'")
    Path("etl.yaml").write_text(GOOD)

    assert rush("validate", "etl.yaml").out == "✓ etl.yaml: etl, 2 jobs\n"


def test_modules_that_workers_may_load_from_elsewhere(rush):
    """What the setting allows and the project does not have may be installed; what it forbids is told."""
    write("rush.toml", "allowed_modules = ['company.jobs', 'jobs']")
    write("jobs/etl.py", "class Extract: ...\n")
    write("etl.yaml", GOOD.replace("jobs.etl.Load", "company.jobs.Load"))
    assert "warning" not in rush("validate", "etl.yaml").out

    write("etl.yaml", GOOD.replace("jobs.etl.Load", "jbos.etl.Load"))
    told = rush("validate", "etl.yaml").out
    assert "jbos.etl.Load may not be loaded: the setting allowed_modules has" in told
    assert "did you mean `jobs`?" in told


@pytest.mark.parametrize(
    "text",
    [
        "class Load: ...",
        "from elsewhere import Load",
        "from elsewhere import Other as Load",
        "import elsewhere as Load",
        "def Load(): ...",
        "Load = make()",
        "Load: type = make()",
        "if windows:\n    class Load: ...",
        "try:\n    from fast import Load\nexcept ImportError:\n    from slow import Load",
        "def make():\n    global Load\n    Load = 1\nmake()",
        "from elsewhere import *",
        "globals()['Load'] = 1",
        "import sys\nsys.modules[__name__].Load = 1",
        "exec('class Load: ...')",
        "class Load(:",
        "\0",
    ],
)
def test_classes_that_are_there_or_may_be(tmp_path, text):
    """Of what a module names, may name as it runs, or does not tell, nothing is said."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "etl.py").write_text(text)

    assert Classes(tmp_path).doubt("jobs.etl.Load") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "class Outer:\n    class Load: ...",
        "def make():\n    class Load: ...\n    Load = 1\n    import Load",
        "lord = Load",
    ],
)
def test_classes_that_are_not_there(tmp_path, text):
    """A name that is used, or given inside of something else, is none of the module's."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "etl.py").write_text(text)

    told = Classes(tmp_path).doubt("jobs.etl.Load")
    assert told is not None and told.startswith("the module jobs.etl has no class Load")


def test_modules_in_all_their_forms(tmp_path):
    """A module is a file or a package; one that is compiled does not tell what it has."""
    jobs = tmp_path / "jobs"
    (jobs / "package" / "deep").mkdir(parents=True)
    (jobs / "package" / "__init__.py").write_text("class A: ...")
    (jobs / "package" / "deep" / "module.py").write_text("class A: ...")
    (jobs / "fast.cpython-311-x86_64-linux-gnu.so").touch()
    (tmp_path / "single.py").write_text("class A: ...")
    classes = Classes(tmp_path)

    for name in ("jobs.package.A", "jobs.package.deep.module.A", "jobs.fast.A", "single.A"):
        assert classes.doubt(name) is None, name
    assert classes.doubt("jobs.package.B") == "the module jobs.package has no class B"
    assert classes.doubt("jobs.A") == "the folder of jobs has no __init__.py, and so no class"
    assert classes.doubt("single.deep.A") == f"there is no module single.deep in {tmp_path}"
    assert "there is no job.py or folder of that name" in str(classes.doubt("job.package.A"))
    assert str(classes.doubt("job.package.A")).endswith("; did you mean `jobs`?")


def test_the_library_has_its_classes_too(tmp_path):
    """Ready-made jobs are looked for where Rush itself is."""
    told = Classes(tmp_path).doubt("rush.jobs.library.nothing.Nothing")

    assert told is not None and "there is no module rush.jobs.library.nothing" in told
