"""
How Rush's own processes log: one line per record, to the terminal and to a file.

    2026-11-25 08:00:01.123Z INFO  worker1 etl/7 load#2: loaded 27004 rows

Times are UTC. What jobs say goes the same way, without being a record (`JobLines`). Control
characters of the data are escaped, so
that no line can be forged and no terminal be driven by what a job prints.

A log never hurts the process that writes it: where the file cannot be written,
lines are dropped and counted, and the count is logged when writing works again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TextIO

from rush.errors import ConfigurationError

WORKER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
MAX_FILE_BYTES = 10_000_000
KEPT_FILES = 5
#: Whether the file is still in its place is looked at so often, in seconds.
LOOK_EVERY = 0.1

_SHORT_LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}
_LEVEL_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"

#: C0 and C1 controls, DEL, line separators, marks that reorder text, and halves of pairs.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def set_up_logging(
    worker_name: str,
    *,
    folder: Path,
    level: str = "INFO",
    terminal: TextIO | None = None,
    colour: bool | None = None,
) -> LogFile:
    """
    Send everything that is logged to `folder/<worker_name>.log` and to the terminal.

    Replaces what an earlier call set up. `terminal` is stderr where it is not given,
    and `colour` is on for a terminal that wants it. Raises ConfigurationError for a
    name that cannot be a file's; a folder that cannot be written raises nothing.
    """
    if WORKER_NAME.fullmatch(worker_name) is None:
        raise ConfigurationError(
            f'worker name "{escape_controls(worker_name[:80])}": must be 1 to 63 letters, digits '
            "and . _ -, and start with a letter or a digit"
        )
    stream: TextIO = sys.stderr if terminal is None else terminal
    if colour is None:
        colour = wants_colour(stream, os.environ)
    screen = logging.StreamHandler(stream)
    screen.setFormatter(LineFormatter(worker_name, colour=colour, line_break="\n    | "))
    file = LogFile(folder / f"{worker_name}.log", fallback=screen)
    file.setFormatter(LineFormatter(worker_name))
    logging.basicConfig(level=logging.WARNING, handlers=[screen, file], force=True)
    logging.getLogger("rush").setLevel(level)
    job_lines.set_up(level, screen, file)
    # Nobody asks which line of the code a record comes from, and looking for it takes longest.
    logging._srcfile = None  # pyright: ignore[reportPrivateUsage] (its own documentation says so)
    return file


def escape_controls(text: str, line_break: str | None = None) -> str:
    r"""
    The text with its control characters made visible, as `\n`, `\x1b` or `\u202e`.

    Where a `line_break` is given, it stands for the ends of lines instead.
    """
    if line_break is not None:
        return line_break.join(escape_controls(line) for line in text.splitlines())
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


@lru_cache(maxsize=8)
def utc_second(seconds: int, separator: str = "T") -> str:
    """A second since 1970 as `2026-11-25T08:00:01`. Many lines are of the same one."""
    return time.strftime(f"%Y-%m-%d{separator}%H:%M:%S", time.gmtime(seconds))


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to colour what goes to a stream: NO_COLOR, FORCE_COLOR, else a terminal's are."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environ.get("TERM") != "dumb"


class LineFormatter(logging.Formatter):
    """One record, one line. A traceback goes behind the message, its line ends as `line_break`."""

    def __init__(self, worker_name: str, *, colour: bool = False, line_break: str = r"\n") -> None:
        super().__init__()
        self.worker_name = worker_name
        self.colour = colour
        self.line_break = line_break

    def format(self, record: logging.LogRecord) -> str:
        return self.line(record.created, record.levelname, "", self._message(record))

    def line(self, at: float, levelname: str, subject: str, message: str) -> str:
        """A line of a second since 1970, about a job or nothing; its texts are escaped already."""
        moment = f"{utc_second(int(at), ' ')}.{int(at * 1000) % 1000:03d}Z"
        level = f"{_SHORT_LEVELS.get(levelname, levelname):<5}"
        if self.colour:
            moment = f"{_DIM}{moment}{_PLAIN}"
            level = f"{_LEVEL_COLOURS.get(levelname, '')}{level}{_PLAIN}"
        who = f"{self.worker_name} {subject}" if subject else self.worker_name
        return f"{moment} {level} {who}: {message}"

    def _message(self, record: logging.LogRecord) -> str:
        message = escape_controls(record.getMessage())
        if not record.exc_info:
            return message
        traceback = escape_controls(self.formatException(record.exc_info), self.line_break)
        return f"{message}{self.line_break}{traceback}"


class LogFile(logging.Handler):
    """
    A log file that outlives what happens to it: it is rotated by size, opened
    anew when it was moved or removed, and never raises.
    """

    def __init__(
        self,
        path: Path,
        *,
        fallback: logging.Handler,
        max_bytes: int = MAX_FILE_BYTES,
        kept: int = KEPT_FILES,
        look_every: float = LOOK_EVERY,
    ) -> None:
        super().__init__()
        self.path = path
        #: Lines that could not be written and have not been accounted for in the file yet.
        self.dropped = 0
        self._fallback = fallback
        self._max_bytes = max_bytes
        self._kept = kept
        self._look_every = look_every
        self._descriptor: int | None = None
        self._size = 0
        self._look_at = 0.0
        self._torn = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        self.write_lines([line])

    def write_lines(self, lines: Sequence[str]) -> None:
        """Write lines together; whoever calls holds the handler's lock."""
        try:
            self._account_for_dropped()
            self._write("\n".join(lines))
        except OSError as error:
            self._drop(error, len(lines))

    def close(self) -> None:
        with self.lock or contextlib.nullcontext():
            self._close_file()
        super().close()

    def _account_for_dropped(self) -> None:
        if self.dropped:
            self._write(
                self._note(f"{self.dropped} lines could not be written here before this one")
            )
            self.dropped = 0

    def _drop(self, error: OSError, lines: int) -> None:
        self.dropped += lines
        if self.dropped == lines:
            reason = error.strerror or str(error)
            problem = f"cannot write {self.path}: {reason}; lines are dropped until it can be"
            self._fallback.handle(self._record(problem))

    def _note(self, message: str) -> str:
        return self.format(self._record(message))

    def _record(self, message: str) -> logging.LogRecord:
        return logging.LogRecord(__name__, logging.WARNING, "", 0, message, None, None)

    def _write(self, line: str) -> None:
        data = line.encode(errors="backslashreplace") + b"\n"
        descriptor = self._open_file(len(data))
        # A full disk can take half a line; the next one must not be glued to it.
        if self._torn:
            data = b"\n" + data
        written = os.write(descriptor, data)
        self._torn = written < len(data)
        if self._torn:
            raise OSError("the disk took half a line")

    def _open_file(self, wanted: int) -> int:
        """The file's descriptor, with room for so many bytes more."""
        now = time.monotonic()
        if self._descriptor is not None and now >= self._look_at:
            self._look_at = now + self._look_every
            if not self._is_in_place(self._descriptor):
                self._close_file()
        if self._descriptor is None:
            self._descriptor = self._open()
        if self._size and self._size + wanted > self._max_bytes:
            self._rotate()
            self._close_file()
            self._descriptor = self._open()
        self._size += wanted
        return self._descriptor

    def _is_in_place(self, descriptor: int) -> bool:
        """Whether the path still leads to the open file."""
        try:
            return os.path.samestat(os.lstat(self.path), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _open(self) -> int:
        self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        # Never through a link that somebody planted, and never waiting for a pipe's reader.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self.path, flags, 0o640)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise OSError("it is not a plain file")
        self._size = found.st_size
        return descriptor

    def _rotate(self) -> None:
        """Worker.log becomes worker.log.1, and so on; the oldest goes."""
        for number in range(self._kept - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._numbered(number).replace(self._numbered(number + 1))
        self.path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _close_file(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            self._torn = False


class JobLines:
    """
    What jobs say, on its way to the log file and the terminal: gathered, and written together.
    A record for each line would cost more than a short job does.
    """

    def __init__(self) -> None:
        self._level = logging.CRITICAL + 1
        self._places: list[tuple[logging.Handler, LineFormatter, list[str]]] = []

    def set_up(self, level: str, screen: logging.StreamHandler[TextIO], file: LogFile) -> None:
        self._level = logging.getLevelNamesMapping()[level]
        self._places = [(screen, _format_of(screen), []), (file, _format_of(file), [])]

    def add(self, levelname: str, subject: str, text: str) -> None:
        """A line of a job, such as `etl/7 load#2`. `write` must follow soon."""
        if _LEVELS.get(levelname, logging.INFO) < self._level:
            return
        subject, text = escape_controls(subject), escape_controls(text)
        at = time.time()
        for _, formatter, lines in self._places:
            lines.append(formatter.line(at, levelname, subject, text))

    def write(self) -> None:
        for handler, _, lines in self._places:
            if lines:
                with handler.lock or contextlib.nullcontext():
                    _write_lines(handler, lines)
                lines.clear()


#: Set up by `set_up_logging`; before that, what is added is dropped.
job_lines = JobLines()

_LEVELS = logging.getLevelNamesMapping()


def _format_of(handler: logging.Handler) -> LineFormatter:
    assert isinstance(handler.formatter, LineFormatter)
    return handler.formatter


def _write_lines(handler: logging.Handler, lines: Sequence[str]) -> None:
    if isinstance(handler, LogFile):
        handler.write_lines(lines)
    elif isinstance(handler, logging.StreamHandler):
        # A terminal that is gone must not hurt: the file has it all.
        with contextlib.suppress(OSError, ValueError):
            handler.stream.write("\n".join(lines) + "\n")
            handler.flush()
