"""The demo's project in a folder of the user's."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from rush import demo
from rush.demo import lay_down
from rush.domain.definition import NamedDefinition, read_pipeline_file
from rush.errors import ConfigurationError


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def definition(folder: Path) -> NamedDefinition:
    text = (folder / demo.DEFINITION).read_text()
    return read_pipeline_file(text, syntax="yaml", default_name="nameless")


def test_january_comes_along(tmp_path: Path) -> None:
    """The project has its data beside it, and a definition that is valid."""
    lay_down(tmp_path / "new", full=False)
    laid = files(tmp_path / "new")
    assert {
        "rush.toml",
        "pipelines/flights.yaml",
        "jobs/flights/load.py",
        "data/NOTICE",
    } <= laid.keys()
    assert not [name for name in laid if name.endswith(".pyc")]
    assert definition(tmp_path / "new").name == "flights"
    data = tmp_path / "new" / definition(tmp_path / "new").definition.params["data"]
    assert (data / "flights.csv.xz").is_file()


def test_year_is_named_where_it_lies(tmp_path: Path) -> None:
    """With the whole year nothing is copied: the definition names the checkout's folder."""
    lay_down(tmp_path, full=True)
    assert definition(tmp_path).definition.params["data"] == str(demo.YEAR)
    assert (demo.YEAR / "flights.csv.xz").is_file()
    assert not (tmp_path / "data").exists()


def test_year_without_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package has no year, and says so, with nothing written."""
    monkeypatch.setattr(demo, "YEAR", tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="comes with a checkout"):
        lay_down(tmp_path / "new", full=True)
    assert files(tmp_path) == {}


def test_twice(tmp_path: Path) -> None:
    """Laying it down again is no error and touches nothing."""
    lay_down(tmp_path, full=False)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    lay_down(tmp_path, full=False)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


@pytest.mark.parametrize("name", ["rush.toml", "pipelines/flights.yaml", "data/planes.csv.xz"])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    """A file that differs is named and kept, and nothing else is written."""
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(ConfigurationError, match=f"{name} would be overwritten"):
        lay_down(tmp_path, full=False)
    assert files(tmp_path) == {name: b"mine"}


def test_no_link_is_followed(tmp_path: Path) -> None:
    """A link in the place of a file is not written through."""
    (tmp_path / "rush.toml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match=r"rush\.toml would be overwritten"):
        lay_down(tmp_path, full=False)
    assert not (tmp_path / "elsewhere").exists()


def test_jobs_are_ordinary_user_code() -> None:
    """The project imports Rush's public names, itself, psycopg and the standard library only."""
    modules = {
        node.module
        for path in demo.PROJECT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module
    }
    assert {module for module in modules if module.split(".")[0] == "rush"} == {"rush"}
