"""The embedded server: it starts from nothing, survives who started it, and lets nobody else in."""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from rush.errors import ConfigurationError, DatabaseError, NotFoundError
from rush.store import embedded
from rush.store.embedded import Embedded
from tests.support.waiting import wait_for

#: For tests of what is in force only as long as they run.
QUICK = {"fsync": "off"}

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers have another user")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Making one takes a second, so the tests that may hurt it share it."""
    server = Embedded(tmp_path_factory.mktemp("shared") / ".rush", settings=QUICK)
    yield server
    server.remove()


@pytest.fixture
def made(shared):
    """A server in a folder, running."""
    shared.start()
    return shared


@pytest.fixture
def reachable():
    """A folder that every user can reach; pytest's own are root's alone."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def ask(url, question):
    with psycopg.connect(url) as connection:
        return connection.execute(question).fetchone()


def pid_of(server):
    return int((server.home / "data" / "postmaster.pid").read_text().split()[0])


def port_of(url):
    return urlsplit(url).port


@contextlib.contextmanager
def holding(port):
    """Nobody else can have the port. It is not listened at, so that who connects is refused at once."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # it may be in TIME_WAIT
        other.bind(("127.0.0.1", port))
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        yield


@pytest.mark.process
def test_from_nothing_to_an_answer(tmp_path):
    """
    One call makes it, with the database, the search path, the encoding and PostgreSQL's durability.
    """
    server = Embedded(tmp_path / "deep" / ".rush")
    assert not server.running()
    try:
        url = server.start()

        assert server.running()
        assert server.url() == url
        assert ask(
            url,
            "SELECT current_database()::text, current_setting('search_path'),"
            " current_setting('server_encoding'), current_setting('lc_messages'),"
            " current_setting('fsync'), current_setting('synchronous_commit'), upper('é')",
        ) == ("rush", "public, rush", "UTF8", "C", "on", "on", "É")
    finally:
        server.remove()
    assert not server.running()
    assert not server.home.exists()


@pytest.mark.process
def test_what_was_written_is_there_after_a_restart(made):
    """
    Stopped and started again it has the same address and the same data.
    """
    before = made.url()
    with psycopg.connect(before) as connection:
        connection.execute("DROP TABLE IF EXISTS kept")
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    made.stop()
    assert not made.running()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(before)

    assert made.start() == before
    assert ask(before, "SELECT answer FROM kept") == (42,)


@pytest.mark.process
def test_it_survives_who_started_it(tmp_path):
    """
    A process starts it and ends, its whole group is killed, and the next process finds it.
    """
    folder = tmp_path / ".rush"
    code = (
        "import sys, pathlib; from rush.store.embedded import Embedded;"
        "print(Embedded(pathlib.Path(sys.argv[1])).start(), flush=True); sys.stdin.read()"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    found = Embedded(folder)
    try:
        with starter:
            url = starter.stdout.readline().strip()
            os.killpg(starter.pid, signal.SIGKILL)

        assert found.running()
        assert found.start() == url
        assert ask(url, "SELECT 1") == (1,)
    finally:
        found.remove()


@pytest.mark.process
def test_two_that_start_it_at_once_get_the_same(tmp_path):
    """
    Of several that start it at the same time one makes it, and all get its address.
    """
    folder = tmp_path / ".rush"
    try:
        with ThreadPoolExecutor(3) as pool:
            urls = set(pool.map(lambda _: Embedded(folder, settings=QUICK).start(), range(3)))

        assert len(urls) == 1
        assert ask(urls.pop(), "SELECT 1") == (1,)
    finally:
        Embedded(folder).remove()


@pytest.mark.process
def test_after_a_crash_it_starts_again(made):
    """
    What `kill -9` leaves behind, pid file included, is no obstacle, and committed data is there.
    """
    with psycopg.connect(made.url()) as connection:
        connection.execute("DROP TABLE IF EXISTS kept")
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(pid_of(made), signal.SIGKILL)
    wait_for(lambda: not made.running(), what="the last process of the server to end")
    assert (made.home / "data" / "postmaster.pid").exists()

    assert ask(made.start(), "SELECT answer FROM kept") == (42,)


@pytest.mark.process
def test_it_starts_right_after_a_crash(made):
    """
    While processes of the dead server still end, `start` waits for them and starts a new one.
    """
    os.kill(pid_of(made), signal.SIGKILL)

    assert ask(made.start(), "SELECT 1") == (1,)


@pytest.mark.process
def test_a_pid_that_is_somebody_elses_by_now_is_left_alone(made):
    """
    A pid file whose number belongs to another process neither stops a start nor hurts that one.
    """
    pid_file = made.home / "data" / "postmaster.pid"
    old = pid_file.read_text()
    made.stop()
    with subprocess.Popen(["sleep", "60"]) as other:
        pid_file.write_text(re.sub(r"^\d+", str(other.pid), old))

        assert not made.running()
        assert ask(made.start(), "SELECT 1") == (1,)

        assert other.poll() is None
        other.kill()


@pytest.mark.process
def test_a_start_that_was_cut_off_is_made_anew(made):
    """
    What a kill in the middle of making the server leaves behind does not count.
    """
    made.stop()
    (made.home / "data").rename(made.home / "data.new")

    assert ask(made.start(), "SELECT 1") == (1,)
    assert not (made.home / "data.new").exists()


@pytest.mark.process
def test_a_port_that_was_taken_since_leads_to_another(made):
    """
    When somebody else listens at its port by now, it moves, and says where to.
    """
    before = made.url()
    made.stop()
    with holding(port_of(before)):
        after = made.start()

    assert port_of(after) != port_of(before)
    assert made.url() == after
    assert ask(after, "SELECT 1") == (1,)


@pytest.mark.process
def test_a_port_that_is_lost_at_the_last_moment_leads_to_another(made, monkeypatch):
    """
    When the port is taken between the look at it and the start, the next try takes another.
    """
    before = made.url()
    made.stop()
    looks = iter([True])
    really = embedded._is_free
    monkeypatch.setattr(embedded, "_is_free", lambda port: next(looks, None) or really(port))
    with holding(port_of(before)):
        after = made.start()

    assert port_of(after) != port_of(before)
    assert ask(after, "SELECT 1") == (1,)


@pytest.mark.process
def test_nobody_gets_in_without_the_password(made):
    """
    The address is local, the password is needed for every database and role, its file is private.
    """
    url = made.url()
    assert urlsplit(url).hostname == "127.0.0.1"
    assert stat.S_IMODE((made.home / "url").stat().st_mode) == 0o600
    assert stat.S_IMODE((made.home / "data").stat().st_mode) == 0o700
    assert ask(url, "SELECT current_setting('unix_socket_directories')") == ("",)
    assert ask(url, "SELECT current_setting('listen_addresses')") == ("127.0.0.1",)
    assert ask(url, "SELECT array_agg(DISTINCT auth_method), count(*) FROM pg_hba_file_rules") == (
        ["scram-sha-256"],
        1,
    )

    for database in ("rush", "postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(
                host="127.0.0.1", port=port_of(url), user="rush", password="", dbname=database
            )


@pytest.mark.process
def test_the_server_sees_nothing_of_our_environment(made, monkeypatch):
    """
    Neither secrets of ours nor variables meant for clients reach the server.
    """
    made.stop()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("PGPORT", "1")
    with psycopg.connect(made.start()) as connection:
        connection.execute("CREATE TEMP TABLE seen (line text)")
        connection.execute("COPY seen FROM PROGRAM 'env'")
        seen = {line for (line,) in connection.execute("SELECT line FROM seen")}

    assert {line.partition("=")[0] for line in seen} <= {
        *("PATH", "LC_ALL", "TZ", "PWD", "OLDPWD", "SHLVL", "_"),
        *("LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME"),
        *("PGDATA", "PGLOCALEDIR", "PGSYSCONFDIR", "PG_GRANDPARENT_PID"),
    }
    assert "PGDATA=/nonexistent" not in seen


@pytest.mark.process
def test_a_server_that_cannot_start_says_why(made):
    """
    The message has the last lines of the server's log.
    """
    made.stop()
    broken = Embedded(made.folder, settings={"shared_buffers": "1kB"})

    with pytest.raises(DatabaseError, match=r"does not start:(.|\n)*shared_buffers"):
        broken.start()


def test_stopping_what_does_not_run_is_nothing(tmp_path):
    """
    Stopping and removing are safe where nothing runs, or ever has.
    """
    server = Embedded(tmp_path / ".rush")

    server.stop()
    server.remove()

    assert not server.running()
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_was_never_made_has_no_address(tmp_path):
    """
    Asking for the address of nothing is an error that says so.
    """
    with pytest.raises(NotFoundError, match=r"no PostgreSQL was ever started in .*/\.rush"):
        Embedded(tmp_path / ".rush").url()


def test_without_the_programs_it_says_what_to_install(tmp_path, monkeypatch):
    """
    Where the extra is not installed, the message is the command that installs it; nothing is made.
    """
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)

    server = Embedded(tmp_path / ".rush")

    with pytest.raises(ConfigurationError, match=r"pip install 'rush-pipelines\[embedded\]'"):
        server.start()
    assert not server.home.is_symlink() and not server.home.exists()


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path):
    """
    Where the project's folder is none, the message says which.
    """
    (tmp_path / "file").write_text("")

    with pytest.raises(DatabaseError, match=r"cannot start PostgreSQL in .*/file/\.rush"):
        Embedded(tmp_path / "file" / ".rush").start()


@as_root
@pytest.mark.process
def test_roots_server_stays_in_a_folder_that_its_user_can_reach(reachable):
    """
    The data belongs to an unprivileged user, who can write to nothing beside it.
    """
    server = Embedded(reachable / ".rush", settings=QUICK)
    try:
        url = server.start()
        (path,) = ask(url, "SELECT current_setting('data_directory')")
        owners = {
            name: pwd.getpwuid((server.home / name).stat().st_uid).pw_name
            for name in ("", "url", "pg_hba.conf", "data", "log")
        }
        user = server._account.pw_name

        assert path == str(reachable / ".rush" / "postgres" / "data")
        assert user in ("postgres", "nobody")
        assert owners == {
            "": "root",
            "url": "root",
            "pg_hba.conf": "root",
            "data": user,
            "log": user,
        }
        assert stat.S_IMODE(server.home.stat().st_mode) == 0o710
        assert stat.S_IMODE(reachable.stat().st_mode) == 0o755
    finally:
        server.remove()


@as_root
@pytest.mark.process
def test_what_roots_server_cannot_reach_is_kept_elsewhere(tmp_path, caplog):
    """
    Below a folder of root's alone the data goes to /var/tmp, one line says so, no mode changes.
    """
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = Embedded(private / ".rush", settings=QUICK)
    with caplog.at_level(logging.INFO, "rush"):
        url = server.start()
    home = server.home.resolve()
    try:
        assert home.parent == Path("/var/tmp")
        assert ask(url, "SELECT current_setting('data_directory')") == (f"{home}/data",)
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        (line,) = caplog.messages
        assert str(home) in line and str(private) in line

        server.stop()
        assert server.start() == url
        assert server.home.resolve() == home
    finally:
        server.remove()
    assert not home.exists()
    assert not server.home.is_symlink()


@as_root
@pytest.mark.process
def test_a_link_whose_goal_was_deleted_is_made_anew(tmp_path):
    """
    When /var/tmp has been cleaned, the next start makes a new server.
    """
    server = Embedded(tmp_path / ".rush", settings=QUICK)
    server.start()
    server.stop()
    shutil.rmtree(server.home.resolve())
    try:
        assert ask(server.start(), "SELECT 1") == (1,)
    finally:
        server.remove()


@as_root
@pytest.mark.slow
@pytest.mark.process
def test_programs_that_roots_server_cannot_reach_are_copied(tmp_path, monkeypatch):
    """
    From an environment of root's alone the programs are copied to where the data is, once.
    """
    private = tmp_path / "site-packages"
    private.mkdir(mode=0o700)
    package = embedded.bundled_binaries().parents[1]
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, private / part.name, symlinks=True)
    bundled = private / package.name / "pginstall" / "bin"
    monkeypatch.setattr(embedded, "bundled_binaries", lambda: bundled)
    server = Embedded(tmp_path / ".rush", settings=QUICK)
    try:
        url = server.start()
        home = server.home.resolve()
        copies = list(home.glob("programs*"))

        assert ask(url, "SELECT 1") == (1,)
        assert len(copies) == 1
        assert server._binaries.is_relative_to(copies[0])
        assert stat.S_IMODE(private.stat().st_mode) == 0o700

        made_at = copies[0].stat().st_ctime_ns
        server.stop()
        again = Embedded(tmp_path / ".rush", settings=QUICK)
        assert again.start() == url
        assert [each.stat().st_ctime_ns for each in home.glob("programs*")] == [made_at]
    finally:
        server.remove()


@pytest.mark.process
def test_it_runs_other_programs_too(either_server):
    """
    The same class runs another PostgreSQL's programs.
    """
    assert either_server.embedded.running()
    assert ask(either_server.url, "SELECT current_setting('search_path')") == ("public, rush",)
