"""`rush init`: a project that runs as made."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from rush.cli.context import COMMON_OPTIONS, CommonOptions
from rush.cli.output import Output
from rush.errors import ConfigurationError

app = App(name="init", usage="rush init [OPTIONS] [FOLDER]")

#: Where each file of a project stands, and its template. A template is not called
#: `.gitignore`, since git and the build would obey it.
FILES = {
    "rush.toml": "rush.toml",
    "pipelines/example_pipeline.yaml": "pipelines/example_pipeline.yaml",
    "jobs/__init__.py": "jobs/__init__.py",
    "jobs/job.py": "jobs/job.py",
    "jobs/dummy_job.py": "jobs/dummy_job.py",
    "jobs/move_to_db.py": "jobs/move_to_db.py",
    "main.py": "main.py",
    "README.md": "README.md",
    ".gitignore": "gitignore",
}

NEXT = """
Next:
  {cd}rush pipelines apply pipelines/example_pipeline.yaml
  rush worker worker1
and in another terminal:
  {cd}rush run example_pipeline --wait
or all of it at once, with the dashboard:
  {cd}rush dev"""


@app.default
def init(
    folder: Annotated[Path, Parameter(name="FOLDER")] = Path(),
    /,
    *,
    options: CommonOptions = COMMON_OPTIONS,
) -> None:
    """Make a project that runs as made.

    It has an example pipeline with two jobs, the classes of both, and settings to
    change. Nothing that exists is overwritten.

    For example:
      rush init flights
      rush init

    Parameters
    ----------
    folder
        Where; made if it is missing.
    """
    lay_down(folder)
    tell_what_is_next(folder, options.output())


def lay_down(folder: Path) -> None:
    """Write the project's files. Raises ConfigurationError, with nothing written, if any exists."""
    existing = [name for name in FILES if (folder / name).exists() or (folder / name).is_symlink()]
    if existing:
        raise ConfigurationError(
            f"{folder}: {', '.join(existing)} would be overwritten; choose another folder"
        )
    templates = files("rush.cli") / "templates"
    try:
        for name, template in FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((templates / template).read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{error.filename}: {error.strerror}") from None


def tell_what_is_next(folder: Path, out: Output) -> None:
    here = folder.resolve() == Path.cwd().resolve()
    out.say(f"made a project in {'this folder' if here else folder}")
    for line in NEXT.format(cd="" if here else f"cd {folder} && ").split("\n"):
        out.say(line)
