"""Where `rush demo` goes, and what it says of the way there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from rush.cli.demo import (
    chosen_folder,
    dashboard_command,
    how_to_get_there,
    scripts,
    set_database_aside,
)
from rush.cli.output import Output
from rush.demo import lay_down
from rush.errors import ConfigurationError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_empty_folder_is_taken(here: Path) -> None:
    """In an empty folder the demo stays there, also when it comes again."""
    assert chosen_folder(None, Output()).samefile(here)
    lay_down(here, full=False)
    (here / "logs").mkdir()
    assert chosen_folder(None, Output()).samefile(here)


def test_folder_of_somebody_is_left_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside other files the demo goes into a folder of its own, and says so."""
    (here / "thesis.tex").touch()
    assert chosen_folder(None, Output()) == Path("rush-demo")
    assert "this folder is not empty: the demo goes into rush-demo" in capsys.readouterr().err


def test_no_folder_is_free(here: Path) -> None:
    """Where rush-demo is something else too, the user is asked to name a folder."""
    (here / "rush-demo").touch()
    with pytest.raises(ConfigurationError, match="rush-demo: "):
        chosen_folder(None, Output())
    (here / "rush-demo").unlink()
    (here / "rush-demo").mkdir()
    (here / "rush-demo" / "thesis.tex").touch()
    with pytest.raises(ConfigurationError, match="neither this folder nor rush-demo is empty"):
        chosen_folder(None, Output())


def test_named_folder(here: Path) -> None:
    """A folder that was named is taken when it is missing or empty, and refused else."""
    assert chosen_folder(Path("new"), Output()) == Path("new")
    (here / "thesis.tex").touch()
    with pytest.raises(ConfigurationError, match=f"{here} is not empty"):
        chosen_folder(here, Output())


def test_database_of_somebody_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A database that the environment names is not the demo's, nor its worker's, and that is said."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://owner:secret@db/shop")
    monkeypatch.delenv("RUSH_DATABASE_URL", raising=False)
    set_database_aside(Output())
    assert "DATABASE_URL" not in os.environ
    told = capsys.readouterr().err
    assert "DATABASE_URL is left alone" in told
    assert "secret" not in told


def test_way_to_the_commands(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader is told to go to the demo's folder, unless that is where they are."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (here / "below").mkdir()
    assert "cd below" in [command for command, _ in how_to_get_there(here / "below")]
    assert not [command for command, _ in how_to_get_there(here) if command.startswith("cd")]


def test_the_dashboard_is_a_command_to_be_typed_here(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the folder unless this is it, and the program unless the shell finds it."""
    (here / "my below").mkdir()
    monkeypatch.setattr(shutil, "which", lambda name: str(scripts() / name))
    assert dashboard_command(here) == "rush dev"
    assert dashboard_command(here / "my below") == "rush dev --project 'my below'"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert dashboard_command(here) == f"{scripts() / 'rush'} dev"
