"""
Which classes may be loaded, and loading them.

A `class_name` comes from a table that many can write to, so it is checked before
anything is imported: its module must lie inside the project folder or in
`rush.jobs.library`, or under one of the prefixes that the worker's own settings allow.
Whoever may write files there may run code; whoever may write rows may not.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rush.jobs.base import Job

LIBRARY = "rush.jobs.library"

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)


class NotLoaded(Exception):
    """A class that may not be loaded, is not there, or is not a job. The message says which."""


class Loader:
    """Loads job classes by name. `allowed` are module prefixes; None means the project's own modules."""

    def __init__(self, project: Path, allowed: Sequence[str] | None = None) -> None:
        self.project = project
        self.allowed = None if allowed is None else tuple(allowed)
        self._loaded: dict[str, type[Job]] = {}
        #: The project's files that have been loaded, as they were then.
        self._files: dict[str, int] = {}

    def load(self, class_name: str) -> type[Job]:
        """The class of that name. Raises NotLoaded, or whatever its module raises when imported."""
        if class_name not in self._loaded:
            self._loaded[class_name] = self._import(class_name)
            self._note_files()
        return self._loaded[class_name]

    def changed(self, files: Iterable[str]) -> list[str]:
        """Which of these files are the project's and have changed since they were loaded."""
        return [
            str(Path(name).relative_to(self.project))
            for name in dict.fromkeys(files)
            if name in self._files and _written(name) != self._files[name]
        ]

    def _note_files(self) -> None:
        inside = f"{self.project}{os.sep}"
        for module in list(sys.modules.values()):
            # Not by `getattr`: some modules load others when they are asked for anything.
            name = getattr(module, "__dict__", {}).get("__file__")
            if isinstance(name, str) and name.startswith(inside) and name not in self._files:
                self._files[name] = _written(name)

    def check(self, class_name: str) -> tuple[str, str]:
        """Module and attribute of a class that may be loaded, before anything is imported."""
        if not _DOTTED.fullmatch(class_name) or "__" in class_name:
            raise NotLoaded(f"{class_name!r} is not a dotted path to a class, like jobs.load.Load")
        module, _, attribute = class_name.rpartition(".")
        if not self._may_import(module):
            raise NotLoaded(f"{class_name} may not be loaded: {self._why_not(module)}")
        return module, attribute

    def _may_import(self, module: str) -> bool:
        if self.allowed is not None:
            return any(_within(module, prefix) for prefix in self.allowed)
        return _within(module, LIBRARY) or self._in_project(module)

    def _in_project(self, module: str) -> bool:
        top = self.project / module.split(".", maxsplit=1)[0]
        return top.with_suffix(".py").is_file() or top.is_dir()

    def _why_not(self, module: str) -> str:
        if self.allowed is not None:
            return f"the setting allowed_modules has {', '.join(self.allowed) or 'nothing'}"
        return f"there is no {module.split('.', maxsplit=1)[0]}.py or folder of that name in {self.project}"

    def _import(self, class_name: str) -> type[Job]:
        module_name, attribute = self.check(class_name)
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and _within(module_name, error.name):
                raise NotLoaded(f"{class_name}: there is no module {error.name}") from None
            raise
        found = vars(module).get(attribute)
        if found is None:
            raise NotLoaded(f"{class_name}: the module {module_name} has no {attribute}")
        if not (isinstance(found, type) and issubclass(found, Job)):
            raise NotLoaded(f"{class_name} is not a subclass of rush.Job")
        return found


def _written(file: str) -> int:
    """When it was last written, in nanoseconds; 0: it is not there."""
    try:
        return Path(file).stat().st_mtime_ns
    except OSError:
        return 0


def _within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")
