"""Processes of the products that are measured, and what their jobs send back."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

#: Seconds. Nothing that is measured takes so long when it works.
PATIENCE = 300.0


class Stamps:
    """Where jobs tell when they have reached a line; `inside/steps.py` sends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(PATIENCE)

    def next(self) -> float:
        """On the monotonic clock, which all processes of a machine share."""
        return float(self._socket.recv(64))

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def stamps() -> Iterator[Stamps]:
    # Not in the folder of the sitting: the path of a socket is short.
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found = Stamps(Path(folder, "stamps"))
        try:
            yield found
        finally:
            found.close()


class Child:
    """A process that is spoken to in lines of JSON: `inside/talk.py` is its side."""

    def __init__(self, command: Sequence[str | Path], stamps: Stamps, log: Path) -> None:
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=log.parent,
                env=environment(BENCH_STAMPS=str(stamps.path)),
            )

    def ask(self, *words: Any) -> Any:
        self.tell(*words)
        return self.hear()

    def tell(self, *words: Any) -> None:
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args} has ended: see {self._log}\n{self._words()}")
        return json.loads(line)

    def stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        stop(self._process)

    def _words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])


def environment(**more: str) -> dict[str, str]:
    """This process's environment, without what configures Rush or PostgreSQL's clients."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RUSH_", "PG", "DATABASE_"))}
    return kept | more


def stop(process: subprocess.Popen[Any]) -> None:
    """In good order, and if that does not help, without."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
