from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rush.errors import ConfigurationError
from rush.logs import (
    LineFormatter,
    LogFile,
    escape_controls,
    job_lines,
    set_up_logging,
    wants_colour,
)

LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO |WARN |ERROR) w1( \S.*)?: .*"
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_it_was():
    root, rush = logging.getLogger(), logging.getLogger("rush")
    handlers, levels = root.handlers[:], (root.level, rush.level)
    root.handlers[:] = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    rush.setLevel(levels[1])


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


def log_file(path: Path, screen: io.StringIO, **options: int) -> LogFile:
    fallback = logging.StreamHandler(screen)
    file = LogFile(path, fallback=fallback, **options)
    file.setFormatter(LineFormatter("w1"))
    return file


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("rush", logging.INFO, "", 0, message, None, None)


def messages(path: Path) -> list[str]:
    return [line.split(": ", 1)[1] for line in path.read_text().splitlines()]


def test_a_line_in_the_file_and_on_the_terminal(tmp_path, screen):
    """A record is one line with UTC time, level and worker, the same in both places."""
    file = set_up_logging("w1", folder=tmp_path / "logs", terminal=screen)
    logging.getLogger("rush.worker").info("loaded %d rows", 3)
    logging.getLogger("rush.worker").debug("not said at this level")
    file.close()

    (line,) = (tmp_path / "logs/w1.log").read_text().splitlines()
    assert LINE.fullmatch(line)
    assert line.endswith("Z INFO  w1: loaded 3 rows")
    assert screen.getvalue() == line + "\n"


def test_lines_of_jobs_are_written_together(tmp_path, screen):
    """What jobs say names its attempt, and is in both places once it is written."""
    file = set_up_logging("w1", folder=tmp_path, terminal=screen)
    job_lines.add("INFO", "etl/7 load#2", "loaded 3 rows")
    job_lines.add("DEBUG", "etl/7 load#2", "not said at this level")
    job_lines.add("WARNING", "etl/7 load#2", "one was empty")
    assert screen.getvalue() == ""
    job_lines.write()
    file.close()

    lines = (tmp_path / "w1.log").read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert [line.split("Z ", 1)[1] for line in lines] == [
        "INFO  w1 etl/7 load#2: loaded 3 rows",
        "WARN  w1 etl/7 load#2: one was empty",
    ]
    assert screen.getvalue().splitlines() == lines


def test_setting_up_again_replaces(tmp_path, screen):
    """After a second set-up each record is written once, to the new place."""
    set_up_logging("w1", folder=tmp_path, terminal=screen)
    set_up_logging("w2", folder=tmp_path, terminal=screen, level="DEBUG")
    logging.getLogger("rush").debug("hello")

    assert not (tmp_path / "w1.log").exists()
    assert messages(tmp_path / "w2.log") == ["hello"]


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "/etc/passwd", "a/b", "-x", "w1\n", "w\x00", "w\u202e1", "é", "a" * 64],
)
def test_names_that_cannot_be_files(tmp_path, screen, name):
    """A name that could lead out of the folder is refused before anything is opened."""
    with pytest.raises(ConfigurationError, match="worker name") as caught:
        set_up_logging(name, folder=tmp_path / "logs", terminal=screen)

    assert str(caught.value).isprintable()
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("a\nb\r\n", r"a\nb\r\n"),
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("nul\x00 del\x7f csi\x9b", r"nul\x00 del\x7f csi\x9b"),
        ("abc\u202edef\u2028", r"abc\u202edef\u2028"),
        ("half \ud800", r"half \ud800"),
        ("naïve ✓ 日本", "naïve ✓ 日本"),
    ],
)
def test_control_characters_are_escaped(data, shown):
    """No data can end a line, drive a terminal or reorder what is read."""
    assert escape_controls(data) == shown


def test_no_line_can_be_forged(tmp_path, screen):
    """Whatever message and subject hold, one record is one line."""
    file = set_up_logging("w1", folder=tmp_path, terminal=screen)
    forged = "done\n2026-01-01 00:00:00.000Z INFO  w1: all is well\u2028\x85\x0b"
    logging.getLogger("rush").info(forged)
    job_lines.add("INFO", "etl/7\n lo\x1bad#1", forged)
    job_lines.write()
    file.close()

    assert len((tmp_path / "w1.log").read_text().splitlines()) == 2
    assert len(screen.getvalue().splitlines()) == 2


def test_tracebacks(tmp_path, screen):
    """A traceback stays on the record's line in the file, and is marked as its own on the terminal."""
    file = set_up_logging("w1", folder=tmp_path, terminal=screen)
    try:
        raise ValueError("bad\nrow")
    except ValueError:
        logging.getLogger("rush").exception("the job failed")
    file.close()

    (line,) = (tmp_path / "w1.log").read_text().splitlines()
    assert r"the job failed\nTraceback (most recent call last):\n" in line
    assert line.endswith(r"ValueError: bad\nrow")
    first, *rest = screen.getvalue().splitlines()
    assert first.endswith("the job failed")
    assert rest and all(line.startswith("    | ") for line in rest)


@pytest.mark.parametrize(
    ("stream", "environ", "expected"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (io.StringIO(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_when_there_is_colour(stream, environ, expected):
    """Colour is for terminals, unless NO_COLOR or FORCE_COLOR says otherwise."""
    assert wants_colour(stream, environ) is expected


def test_coloured_lines_escape_the_data(tmp_path, screen):
    """The only escape sequences on the terminal are our own."""
    set_up_logging("w1", folder=tmp_path, terminal=screen, colour=True)
    logging.getLogger("rush").error("\x1b[2J")

    assert screen.getvalue().endswith("\x1b[31mERROR\x1b[0m w1: \\x1b[2J\n")
    assert "\x1b" not in (tmp_path / "w1.log").read_text()


def test_rotation(tmp_path, screen):
    """A file that is full moves to .1, the ones before it move on, and the oldest goes."""
    path = tmp_path / "w1.log"
    file = log_file(path, screen, max_bytes=100, kept=2)
    for number in range(8):
        file.handle(record(f"{number} " + "x" * 20))
    file.close()

    kept = [tmp_path / "w1.log.2", tmp_path / "w1.log.1", path]
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert [line.split()[0] for each in kept for line in messages(each)] == ["5", "6", "7"]
    assert all(each.stat().st_size <= 100 for each in kept)


def test_a_line_larger_than_a_file_is_written_all_the_same(tmp_path, screen):
    """A huge line goes to a file of its own, whole."""
    path = tmp_path / "w1.log"
    file = log_file(path, screen, max_bytes=100, kept=2)
    file.handle(record("y" * 500))
    file.handle(record("z"))
    file.close()

    assert messages(tmp_path / "w1.log.1") == ["y" * 500]
    assert messages(path) == ["z"]


@pytest.mark.parametrize("how", ["moved", "removed", "folder removed"])
def test_a_file_that_went_away_is_opened_anew(tmp_path, screen, how):
    """After logrotate or a broom, the next line is in a new file at the old place."""
    path = tmp_path / "logs/w1.log"
    file = log_file(path, screen)
    file.handle(record("one"))
    if how == "moved":
        path.rename(tmp_path / "old.log")
    else:
        path.unlink()
    if how == "folder removed":
        path.parent.rmdir()
    file.handle(record("two"))
    file.close()

    assert messages(path) == ["two"]
    assert path.stat().st_mode & 0o7777 == 0o640 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("obstacle", ["link", "pipe", "folder", "folder is a file"])
def test_dropped_lines_are_counted_and_told(tmp_path, screen, obstacle):
    """What cannot be written raises nothing, is said once on the terminal, and is counted in the file."""
    path = tmp_path / "logs/w1.log"
    target = tmp_path / "target"
    if obstacle == "folder is a file":
        path.parent.touch()
        in_the_way = path.parent
    else:
        path.parent.mkdir()
        in_the_way = path
        {
            "link": lambda: path.symlink_to(target),
            "pipe": lambda: os.mkfifo(path),
            "folder": path.mkdir,
        }[obstacle]()
    file = log_file(path, screen)
    file.handle(record("one"))
    file.handle(record("two"))
    assert file.dropped == 2
    assert screen.getvalue().count("cannot write") == 1

    if obstacle == "folder":
        in_the_way.rmdir()
    else:
        in_the_way.unlink()
    file.handle(record("three"))
    file.close()

    assert messages(path) == ["2 lines could not be written here before this one", "three"]
    assert not target.exists()


def test_a_full_disk(tmp_path):
    """On a full disk the process goes on, and no half line is glued to the next one."""
    code = f"""
import logging, resource, signal, sys
from pathlib import Path
sys.path[:0] = {sys.path!r}
from rush.logs import set_up_logging
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = set_up_logging("w1", folder=Path({str(tmp_path)!r}))
log = logging.getLogger("rush")
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
log.info("a" * 40)
log.info("b" * 40)
log.info("c" * 40)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.info("d")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert ended.returncode == 0, ended.stderr
    first, half, *rest = (tmp_path / "w1.log").read_text().splitlines()
    assert first.endswith("a" * 40)
    assert not half.endswith("b" * 40)
    assert rest[0].endswith(": 2 lines could not be written here before this one")
    assert rest[1].endswith(": d")
    assert ended.stderr.count("cannot write") == 1


def test_a_message_that_cannot_be_formatted_raises_nothing(tmp_path, screen, capsys, monkeypatch):
    """A mistake in a log call is told on stderr and does not reach the caller."""
    monkeypatch.setattr(logging, "raiseExceptions", True)
    set_up_logging("w1", folder=tmp_path, terminal=screen)
    logging.getLogger("rush").info("%d rows", "three")
    logging.getLogger("rush").info("next")

    assert messages(tmp_path / "w1.log") == ["next"]
    assert "--- Logging error ---" in capsys.readouterr().err


def test_threads_never_mix_their_lines(tmp_path, screen):
    """Many threads at once, with rotation going on: every line is whole, and none is lost."""
    path = tmp_path / "w1.log"
    file = log_file(path, screen, max_bytes=4000, kept=100)

    def write(name: int) -> None:
        for number in range(100):
            file.handle(record(f"{name}-{number}"))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()

    lines = [line for each in tmp_path.iterdir() for line in messages(each)]
    assert sorted(lines) == sorted(f"{name}-{number}" for name in range(4) for number in range(100))
