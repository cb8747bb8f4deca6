"""
The project that `rush demo` lays down and runs: New York's flights and their delays.

`project/` is what a user's folder gets, and speaks to `rush` as any user's code does.
`data/` has the flights of January 2013; the whole year is in a checkout's
`examples/flights/data`.
"""

from __future__ import annotations

import json
from pathlib import Path

from rush.errors import ConfigurationError

PACKAGE = Path(__file__).parent
PROJECT = PACKAGE / "project"
JANUARY = PACKAGE / "data"
YEAR = PACKAGE.parents[2] / "examples" / "flights" / "data"

DEFINITION = Path("pipelines", "flights.yaml")
#: The line of the definition that says where the raw files are.
DATA_LINE = "\n  data: data "


def lay_down(folder: Path, *, full: bool) -> None:
    """
    Write the demo's project into `folder`, with January's data or, `full`, on the year's.

    Files that are there already and the same are left alone, so that it can be done
    twice. Raises ConfigurationError, with nothing written, when one differs or the
    year's data is not there.
    """
    wanted = project_files() | (on_the_year() if full else with_january())
    refuse_to_overwrite(folder, wanted)
    try:
        for name, content in wanted.items():
            path = folder / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    except OSError as error:
        raise ConfigurationError(f"{error.filename}: {error.strerror}") from None


def is_laid_down(folder: Path) -> bool:
    """Whether the demo's project is there, be it changed since."""
    return all((folder / name).exists() for name in project_files())


def project_files() -> dict[Path, bytes]:
    """What Python compiled beside them is not among them."""
    return {
        path.relative_to(PROJECT): path.read_bytes()
        for path in sorted(PROJECT.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }


def with_january() -> dict[Path, bytes]:
    return {Path("data", path.name): path.read_bytes() for path in sorted(JANUARY.iterdir())}


def on_the_year() -> dict[Path, bytes]:
    """The definition, with the year's data named where it lies: it is not copied."""
    if not YEAR.is_dir():
        raise ConfigurationError(
            f"{YEAR} is not there: the whole year comes with a checkout of Rush, not with the package"
        )
    text = (PROJECT / DEFINITION).read_text("utf-8")
    named = text.replace(DATA_LINE, f"\n  data: {json.dumps(str(YEAR), ensure_ascii=False)} ")
    return {DEFINITION: named.encode()}


def refuse_to_overwrite(folder: Path, wanted: dict[Path, bytes]) -> None:
    differing = [str(name) for name, content in wanted.items() if differs(folder / name, content)]
    if differing:
        raise ConfigurationError(
            f"{folder}: {', '.join(differing)} would be overwritten; choose another folder"
        )


def differs(path: Path, content: bytes) -> bool:
    """Whether something is there that is not this very file."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        return True
    return path.exists() and path.read_bytes() != content
