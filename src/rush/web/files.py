"""
Files that a job has written and named in its result: a report, a picture, a table.

They are shown by a dashboard that runs in the project's folder (`rush dev`, `rush ui`), and only
what is named by a result, lies below that folder, and is of a kind that people read. What is in
them is trusted with nothing: it is shown in a sandbox without scripts and without our cookies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

#: Kinds of files that are shown, and as what.
KINDS = {
    ".html": "text/html",
    ".txt": "text/plain",
    ".md": "text/plain",
    ".csv": "text/plain",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
}
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"
#: A longer text is no path.
LONGEST = 1000
#: So many files of one result are shown.
MOST = 20


def files_in(folder: Path | None, result: Any) -> list[str]:
    """The files that a result names and that may be shown."""
    if folder is None:
        return []
    named = dict.fromkeys(text for text in _texts(result) if found(folder, text))
    return list(named)[:MOST]


def found(folder: Path, name: str) -> Path | None:
    """The file of that name, if it may be shown."""
    if not 0 < len(name) <= LONGEST or Path(name).suffix.lower() not in KINDS:
        return None
    try:
        root = folder.resolve()
        path = (root / name).resolve()
        # What is hidden is not meant for others: .env, .rush, .git.
        inside = path.is_relative_to(root) and not any(
            part.startswith(".") for part in path.relative_to(root).parts
        )
        # The link may lead to a file of another kind.
        return path if inside and path.suffix.lower() in KINDS and path.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for each in value.values():
                yield from _texts(each)
        case Sequence():
            for each in value:
                yield from _texts(each)
        case _:
            return
