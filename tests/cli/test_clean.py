"""`make clean`: nothing that was made here stays, wherever it lies."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rush.store.embedded import Embedded

MAKEFILE = Path(__file__).parents[2] / "Makefile"
SCRATCH = Path("/var/tmp")


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """Where root's servers are that may not lie in the project."""
    with tempfile.TemporaryDirectory(prefix="rush-", dir=SCRATCH, ignore_cleanup_errors=True) as at:
        yield Path(at)


def make_clean(folder: Path) -> str:
    """What it says in a folder whose environment is called `environment`."""
    cleaned = subprocess.run(
        ["make", "-f", MAKEFILE, "clean", "VENV=environment"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return cleaned.stdout


def linked(folder: Path, to: Path) -> Path:
    home = folder / ".rush" / "postgres"
    home.parent.mkdir(parents=True)
    home.symlink_to(to)
    return home


@pytest.mark.parametrize("where", [".", "rush-demo"])
def test_what_lies_elsewhere_is_removed_too(tmp_path, elsewhere, where):
    """The folder that `.rush` leads to goes with it, be it the demo's or the checkout's."""
    (elsewhere / "data").mkdir()
    home = linked(tmp_path / where, elsewhere)

    make_clean(tmp_path)

    assert not home.is_symlink()
    assert not elsewhere.exists()


def test_another_link_is_not_followed(tmp_path, elsewhere):
    """A link to a place where no server of ours can be is removed, and that place stays."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    home = linked(tmp_path / "here", theirs)
    beyond = linked(tmp_path / "here" / "rush-demo", elsewhere / ".." / elsewhere.name)

    make_clean(tmp_path / "here")

    assert not home.is_symlink() and not beyond.is_symlink()
    assert theirs.is_dir() and elsewhere.is_dir()


@pytest.mark.process
def test_a_server_that_runs_is_stopped_first(tmp_path, monkeypatch):
    """A running server is stopped before its files are removed, whatever database is named."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/x")
    programs = tmp_path / "environment" / "bin"
    programs.mkdir(parents=True)
    (programs / "rush").symlink_to(Path(sys.executable).parent / "rush")
    server = Embedded(tmp_path / ".rush")
    server.start()
    home = server.home.resolve()

    said = make_clean(tmp_path)

    assert "the embedded PostgreSQL is stopped" in said
    assert not home.exists()
    assert not (tmp_path / ".rush").exists()
