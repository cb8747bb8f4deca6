"""The demo's project, laid down and importable."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from rush.demo import lay_down
from tests.demo.project import Project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("project")
    lay_down(folder, full=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        forget_jobs()
        yield Project(folder)
        forget_jobs()


def forget_jobs() -> None:
    """Other tests have projects too, whose package of jobs has the same name."""
    for name in [name for name in sys.modules if name == "jobs" or name.startswith("jobs.")]:
        del sys.modules[name]
