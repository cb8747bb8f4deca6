"""
Which classes a project has, as far as its files tell.

They are read and never imported: importing runs what people wrote. So there are things that
cannot be known, like what a module takes from elsewhere by `*`, or makes up as it runs. Of
those nothing is said.
"""

from __future__ import annotations

import ast
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import rush
from rush.config import find_project, load_settings
from rush.domain.names import Guesses
from rush.errors import ConfigurationError
from rush.jobs.loader import LIBRARY, Loader, NotLoaded

#: What a project has, one of these at least.
SIGNS = ("rush.toml", "jobs", "pipelines")

#: Who uses these may give a module names that are not written in it.
_DYNAMIC = frozenset({"globals", "locals", "vars", "exec", "eval", "setattr"})


def classes_for(file: Path) -> Classes | None:
    """The classes of the project that a definition is for; None where that cannot be told."""
    for start in (file.absolute().parent, Path.cwd()):
        project = find_project(start)
        if any((project / sign).exists() for sign in SIGNS):
            try:
                loaded = load_settings(project, flags={}, environ=os.environ)
            except ConfigurationError:
                return None
            return Classes(project, loaded.settings.allowed_modules)
    return None


class Classes:
    """The classes of the modules in a project's folder that its workers may load."""

    def __init__(self, project: Path, allowed: Sequence[str] | None = None) -> None:
        self._project = project
        self._allowed = allowed
        self._loader = Loader(project, allowed)

    def doubt(self, class_name: str) -> str | None:
        """Why a class is probably not there; None where it is, and where that cannot be told."""
        try:
            module, name = self._loader.check(class_name)
        except NotLoaded as error:
            known = self._allowed or _modules_in(self._project)
            return f"{error}{Guesses(known).ending(class_name.partition('.')[0])}"
        folder = self._folder_of(module)
        if folder is None:
            return None
        source = _source_of(folder / module.rpartition(".")[2])
        if source is None:
            return self._doubt_module(module, folder)
        written = _written_in(source)
        if written is None or name in written.names:
            return None
        return f"the module {module} has no class {name}{Guesses(written.classes).ending(name)}"

    def _folder_of(self, module: str) -> Path | None:
        """The folder that a module should be in; None where that is not among the project's."""
        is_ours = module == LIBRARY or module.startswith(f"{LIBRARY}.")
        root = Path(rush.__file__).parents[1] if is_ours else self._project
        top, *rest = module.split(".")
        if not _is_there(root / top):
            return None
        return root.joinpath(top, *rest[:-1]) if rest else root

    def _doubt_module(self, module: str, folder: Path) -> str | None:
        package, _, name = module.rpartition(".")
        if any(folder.glob(f"{name}.*")):  # compiled
            return None
        if (folder / name).is_dir():
            return f"the folder of {module} has no __init__.py, and so no class"
        beside = [f"{package}.{each}" if package else each for each in _modules_in(folder)]
        return f"there is no module {module} in {self._project}{Guesses(beside).ending(module)}"


@dataclass(frozen=True, slots=True)
class Written:
    """What a module's text gives names to: all of it, and the classes."""

    names: frozenset[str]
    classes: tuple[str, ...]


def _is_there(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").is_file()


def _source_of(path: Path) -> Path | None:
    """The text of the module that would be imported from a path without a suffix."""
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((each for each in candidates if each.is_file()), None)


def _modules_in(folder: Path) -> list[str]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    names = [each.stem for each in entries if each.suffix == ".py" or each.is_dir()]
    return [name for name in names if name.isidentifier() and not name.startswith("__")]


@cache
def _written_in(source: Path) -> Written | None:
    """None where the text cannot be read, or does not tell."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    reader = _Reader()
    reader.visit(tree)
    if not reader.tells_all:
        return None
    return Written(frozenset(reader.names), tuple(reader.classes))


class _Reader(ast.NodeVisitor):
    """Collects what a module gives names to, wherever in it that may be."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.classes: list[str] = []
        self.tells_all = True
        self._depth = 0

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if not self._depth:
            self.names.add(node.name)
            self.classes.append(node.name)
        self._visit_inside(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if not self._depth:
            self.names.add(node.name)
        self._visit_inside(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Import(self, node: ast.Import) -> None:
        self._take(alias.asname or alias.name.partition(".")[0] for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.tells_all &= all(alias.name != "*" for alias in node.names)
        self._take(alias.asname or alias.name for alias in node.names)

    def visit_Name(self, node: ast.Name) -> None:
        self.tells_all &= node.id not in _DYNAMIC
        if isinstance(node.ctx, ast.Store):
            self._take([node.id])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.tells_all &= node.attr not in ("modules", "__dict__")
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self.names.update(node.names)

    def _take(self, names: Iterable[str]) -> None:
        if not self._depth:
            self.names.update(names)

    def _visit_inside(self, node: ast.AST) -> None:
        """What stands in a class or a function is none of the module's names."""
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
