"""An environment for each peer, with its versions pinned, of the Python that Rush runs on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.server import FOLDER

REQUIREMENTS = Path(__file__).parent / "requirements"


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment, which is made when its requirements have changed."""
    wanted = f"{sys.version}\n{(REQUIREMENTS / f'{peer}.txt').read_text()}"
    home = FOLDER / f"venv-{peer}"
    made, python = home / "made", home / "bin" / "python"
    if not made.exists() or made.read_text() != wanted:
        print(f"installing {peer} into {home} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        pip = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", REQUIREMENTS / f"{peer}.txt"], check=True)
        made.write_text(wanted)
    return python


def versions_in(python: Path) -> dict[str, str]:
    """All that is installed beside an interpreter."""
    command = [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {row["name"]: row["version"] for row in json.loads(done.stdout)}


def pinned(peer: str) -> list[str]:
    """What a peer's requirements name, without extras: `name version`."""
    lines = (REQUIREMENTS / f"{peer}.txt").read_text().splitlines()
    return [
        f"{line.partition('[')[0].partition('==')[0]} {line.partition('==')[2]}" for line in lines
    ]
