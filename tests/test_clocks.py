"""Times are the database's: no worker's wall clock decides anything."""

from __future__ import annotations

import ast
from pathlib import Path

import rush

SOURCE = Path(rush.__file__).parent

#: Where what is promised is implemented.
PROTOCOL = ("domain", "jobs", "master", "store", "worker")

CLOCKS = {
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "date.today",
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
}

#: What reads it all the same, and decides nothing by it.
READ = {
    # Since when a client has been without its server, to be told.
    ("store/bells.py", "datetime.now"),
    # Tells one boot from another where the system has no name for it.
    ("worker/worker.py", "time.time"),
}


def test_no_decision_is_made_by_a_wall_clock():
    """
    Nothing in the protocol asks this machine what time it is.
    """
    found = {
        (str(path.relative_to(SOURCE)), name)
        for folder in PROTOCOL
        for path in (SOURCE / folder).rglob("*.py")
        for name in clocks_read(path)
    }

    assert found == READ


def clocks_read(path: Path) -> set[str]:
    attributes = (
        node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
    )
    return CLOCKS & {ast.unparse(attribute) for attribute in attributes}
