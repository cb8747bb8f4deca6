"""What a job logs and prints, on its way to the supervisor."""

from __future__ import annotations

import codecs
import io
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

    from rush.worker.runner import Runner


class Forward(logging.Handler):
    """Sends log records to the supervisor."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self._runner = runner

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:
            text = f"{record.msg!r} (this record could not be formatted: {error!r})"
        self._runner.log(record.levelname, text)


class Printed(io.TextIOBase):
    """
    What a job prints: each line is a log line. `buffer` takes bytes, as that of a file does;
    what is no UTF-8 in them is escaped.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, runner: Runner, level: str) -> None:
        self.buffer = PrintedBytes(self)
        self._runner = runner
        self._level = level
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._runner.log(self._level, line)
        # A line without an end must not grow for ever.
        if len(self._rest) > self._runner.greeting["max_log_line"]:
            self.flush()
        return len(text)

    def flush(self) -> None:
        rest, self._rest = self._rest + self.buffer.rest(), ""
        if rest:
            self._runner.log(self._level, rest)


class PrintedBytes(io.RawIOBase):
    """What a job writes as bytes is text in the end."""

    def __init__(self, printed: Printed) -> None:
        self._printed = printed
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        whole = bytes(data)
        self._printed.write(self._decoder.decode(whole))
        return len(whole)

    def flush(self) -> None:
        self._printed.flush()

    def rest(self) -> str:
        """The beginning of a character whose end did not come."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text
