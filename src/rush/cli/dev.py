"""`rush dev`: everything at once, while one works on a project."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from rush.cli.context import DATABASE_OPTIONS, Context, DatabaseOptions
from rush.cli.definitions import DefinitionFileError, lines_of, read_pipeline
from rush.cli.pipelines import apply_file
from rush.cli.run import FOLDER, SUFFIXES
from rush.cli.ui import HOST, address, dashboard, listen, run_until_told
from rush.cli.worker import refuse_nowhere
from rush.client import Client
from rush.domain.deeds import this_user
from rush.errors import DefinitionError, RushError

if TYPE_CHECKING:
    from collections.abc import Callable

app = App(name="dev")

#: In seconds: between two looks at the project's files.
LOOK = 1.0
#: Folders in which nothing is that a runner loads.
SKIPPED = frozenset({"__pycache__", "node_modules", "logs", "venv", "build", "dist"})


@app.default
def dev(
    *,
    port: int | None = None,
    slots: Annotated[int | None, Parameter(name=("--slots", "-n"))] = None,
    options: DatabaseOptions = DATABASE_OPTIONS,
) -> int:
    """Run everything at once: the database, a worker and the dashboard.

    The definitions in the folder `pipelines` are applied, and applied again when they change;
    when the project's code changes, the runners are replaced. Ctrl-C ends the worker and the
    dashboard; an embedded database stays up until `rush db stop`.

    For example:
      rush dev
      rush dev --port 9000 --slots 2

    Parameters
    ----------
    port
        The port of the dashboard (default: 8787, or the next one that is free).
    slots
        How many jobs at once (default: as many as there are cores).
    """
    context = Context(options, slots=slots)
    refuse_nowhere(context)
    url = context.database(create=True)
    server = dashboard(context, url, HOST)
    listening = listen(HOST, port)
    with worker(context, url) as process:
        project = Project(context, url)
        project.apply_all()
        context.out.say(f"http://{address(listening)}/")
        context.out.note(f"worker: its log is in {context.loaded.log_folder}; Ctrl-C ends all")

        def stop_without_worker() -> None:
            server.should_exit = server.should_exit or process.poll() is not None

        with meanwhile(stop_without_worker, project.look):
            run_until_told(server, listening)
    if process.returncode:
        context.out.error(f"the worker has ended with exit code {process.returncode}")
        return 1
    return 0


@contextmanager
def worker(context: Context, url: str) -> Generator[subprocess.Popen[bytes]]:
    """A worker of the project, ended in good order."""
    settings = context.settings
    command = [sys.executable, "-m", "rush.cli", "worker"]
    if settings.slots is not None:
        command += ["--slots", str(settings.slots)]
    process = subprocess.Popen(
        command,
        cwd=context.project,
        # Not as flags, which everybody on the machine can read.
        env=os.environ | {"RUSH_DATABASE_URL": url, "RUSH_SCHEMA": settings.schema},
        stdin=subprocess.DEVNULL,
        # Ctrl-C is for us, who then end the worker.
        start_new_session=True,
        # There is no other thread yet.
        preexec_fn=end_with_parent,  # noqa: PLW1509
    )
    try:
        yield process
    finally:
        end(process, patience=settings.stop_grace + settings.kill_grace + 5)


def end(process: subprocess.Popen[bytes], *, patience: float) -> None:
    """What runs may finish, unless the user loses patience."""
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGTERM):
        process.send_signal(number)
        try:
            process.wait(patience)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            continue
        # It was asked to.
        process.returncode = 0
        return
    process.kill()
    process.wait()


def end_with_parent() -> None:
    """Ask the kernel, where it can, to end this process when the one that has made it dies."""
    if sys.platform == "linux":
        import ctypes

        parent_death_signal = 1
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGTERM)


@contextmanager
def meanwhile(*looks: Callable[[], None]) -> Generator[None]:
    """Do these again and again in a thread, until the block is over."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK):
            for look in looks:
                look()

    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Project:
    """The files of a project: its definitions are applied, its code is loaded anew, when they change."""

    def __init__(self, context: Context, url: str) -> None:
        self._context = context
        self._url = url
        self._code = _times(code_of(context.project))
        self._definitions = _times(definitions_of(context.project))

    def apply_all(self) -> None:
        self._apply(sorted(self._definitions))

    def look(self) -> None:
        """Act on what has changed since the last look."""
        code, before = _times(code_of(self._context.project)), self._code
        self._code = code
        if code != before:
            changed = sorted(path for path, _ in code.items() ^ before.items())
            self._reload(changed[0])
        definitions, before = _times(definitions_of(self._context.project)), self._definitions
        self._definitions = definitions
        self._apply(sorted(path for path in definitions if definitions[path] != before.get(path)))

    def _reload(self, changed: Path) -> None:
        try:
            with self._client() as client:
                names = client.reload()
        except RushError as error:
            self._context.out.error(str(error))
            return
        if names:
            where = changed.relative_to(self._context.project)
            self._context.out.note(f"{where} has changed: the runners load the code anew")

    def _apply(self, files: list[Path]) -> None:
        if not files:
            return
        try:
            with self._client() as client:
                for file in files:
                    self._apply_one(client, file)
        except RushError as error:
            self._context.out.error(str(error))

    def _apply_one(self, client: Client, file: Path) -> None:
        out = self._context.out
        try:
            applied = apply_file(client, file, name=read_pipeline(file).name)
        except DefinitionFileError as error:
            out.error("\n".join(lines_of(error)))
        except DefinitionError as error:
            out.error(f"{file.name}: {error}")
        else:
            if applied.changed:
                out.note(f"{applied.pipeline} is now version {applied.version}")

    def _client(self) -> Client:
        schema = self._context.settings.schema
        return Client(self._url, schema, name="rush dev", doer=this_user("command"))


def code_of(project: Path) -> Iterator[Path]:
    """The modules of a project."""
    folders = [project]
    while folders:
        for path in folders.pop().iterdir():
            if path.is_dir():
                if not path.name.startswith(".") and path.name not in SKIPPED:
                    folders.append(path)
            elif path.suffix == ".py":
                yield path


def definitions_of(project: Path) -> Iterator[Path]:
    """The files in which definitions are."""
    folder = project / FOLDER
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.suffix in SUFFIXES)


def _times(files: Iterator[Path]) -> dict[Path, int]:
    """When each was changed last. One that goes meanwhile is left out."""
    times: dict[Path, int] = {}
    for path in files:
        try:
            times[path] = path.stat().st_mtime_ns
        except OSError:
            continue
    return times
