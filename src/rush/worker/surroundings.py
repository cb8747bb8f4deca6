"""The process around a job, which the next one is to find as it was."""

from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports] (`signal.getsignal` makes an enum: 10 µs)
import os
import signal
import sys
from pathlib import Path


class Surroundings:
    """What a job may change and the next one must not see: folder, environment, path, umask, signals."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._environment = dict(_bytes_of_environ())
        self._path = list(sys.path)
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        self._streams = (sys.stdout, sys.stderr)
        self._handler = signal.getsignal(signal.SIGTERM)

    def restore(self) -> None:
        """Put back what has changed. It runs after every job, so it looks before it acts."""
        os.chdir(self._project)
        os.umask(self._umask)
        if _bytes_of_environ() != self._environment:
            self._restore_environment()
        if sys.path != self._path:
            sys.path[:] = self._path
        sys.stdout, sys.stderr = self._streams
        if _signal.getsignal(signal.SIGTERM) is not self._handler:
            signal.signal(signal.SIGTERM, self._handler)

    def _restore_environment(self) -> None:
        for name in os.environb.keys() - self._environment.keys():
            del os.environb[name]
        for name, value in self._environment.items():
            if os.environb.get(name) != value:
                os.environb[name] = value


def _bytes_of_environ() -> dict[bytes, bytes]:
    # The dictionary inside `os.environ`: comparing it costs a hundredth of comparing the
    # environment itself, which decodes every name and value.
    return os.environ._data  # type: ignore[attr-defined]  # pyright: ignore
