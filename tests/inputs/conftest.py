from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.cli.conftest import rush  # noqa: F401 (a fixture)
from tests.inputs.scene import Scene
from tests.support.server import Server


@pytest.fixture(scope="session")
def scene(server: Server) -> Iterator[Scene]:
    """One for all: whatever is refused changes nothing in it."""
    with server.database() as url, psycopg.connect(url, autocommit=True) as connection:
        yield Scene(url, connection)
