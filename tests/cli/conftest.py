from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest

from rush.cli.app import COMMANDS, run


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit code, and what it printed."""

    code: int
    out: str
    err: str


Rush = Callable[..., Ended]


@pytest.fixture
def rush(tmp_path, monkeypatch, capsys) -> Rush:
    """Call the command line in this process, in an empty folder, with nothing set."""
    for name in list(os.environ):
        if name.startswith("RUSH_") or name in {"DATABASE_URL", "NO_COLOR", "FORCE_COLOR"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for name, *_ in COMMANDS:
        # cyclopts writes into these, and one process calls many commands here.
        app = import_module(f"rush.cli.{name}").app
        monkeypatch.setattr(app, "help", app.help)

    def call(*arguments: Any) -> Ended:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.err)

    return call
