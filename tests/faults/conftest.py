from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import Project, project


@pytest.fixture
def rush(tmp_path: Path, database: str) -> Iterator[Project]:
    """A project on a fresh database; its workers end with the test."""
    with project(tmp_path / "project", database) as made:
        yield made
