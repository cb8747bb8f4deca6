"""
A runner: the child process in which jobs run, one at a time.

It is forked from the `template`, fresh of everybody's code, and stays warm from job to
job, so that imports are paid once. It holds no connection but the one that a job asks for, and no promise
rests on it: it may be killed at any moment, and everything it owes is known to its
supervisor by what `channel` says. It dies with its supervisor, by the kernel's hand
where there is one (Linux) and by its own when the lifeline closes. The first message is the
greeting, a `Greeting` as an object.
"""

from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports] (`signal.getsignal` makes an enum: 10 µs)
import codecs
import contextlib
import copy
import io
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Generator, Mapping
from pathlib import Path
from types import CoroutineType, FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypedDict, cast

from rush.descriptors import readable
from rush.jobs.loader import Loader, NotLoaded
from rush.worker.channel import Baton, Channel, Message
from rush.worker.inbox import Inbox

if TYPE_CHECKING:
    import psycopg
    from _typeshed import ReadableBuffer as Buffer

    from rush.store.held import OwnAttempt

LOGGER = "job"
#: What is nested deeper is looked at before it is kept.
MAX_DEPTH = 64

#: What the time and the level in front of a line take up, in characters.
LINE_HEAD = 32


class Greeting(TypedDict):
    """What a runner is told when it starts."""

    project: str
    allowed_modules: list[str] | None
    database_url: str
    schema: str
    worker: str
    generation: int
    code: str
    log_level: str
    max_log_line: int
    max_log_bytes: int
    max_result_bytes: int


class Defined(TypedDict):
    """What a runner is told once of each job of a version."""

    pipeline: str
    job: str
    class_name: str
    params: dict[str, Any]


#: What an attempt is told of itself: job_id, run_id, jobinstance, item, round, attempt, claim_id,
#: and the parameters that are not the definition's: those of `job_parameter`, as people type them,
#: and the request's, as JSON.
Body = tuple[int, int, int, int, int, int, int, dict[str, str | None] | None, str | None]


class Terminated(BaseException):
    """The supervisor has asked this job to stop. `finally` blocks have a moment left."""


class Overtaken(Exception):
    """Another attempt has taken this one's place: nothing that it wrote may stay."""


class Attempt:
    """One attempt at a job: the `Context` that the job speaks to."""

    def __init__(self, runner: Runner, token: int, job: Defined, body: Body) -> None:
        self._runner = runner
        self._results: Mapping[str, Any] | None = None
        self._transaction: Transaction | None = None
        self.token = token
        self.pipeline = job["pipeline"]
        self.job = job["job"]
        self.class_name = job["class_name"]
        (
            _,
            self.run_id,
            self.jobinstance,
            self.item,
            self.round,
            self.attempt,
            self.claim_id,
            self._typed_params,
            self._requested_params,
        ) = body
        # A job may change its parameters, and the next attempt must not see it.
        self.params = copy.deepcopy(job["params"])
        self.logger = logging.getLogger(LOGGER)
        self.began = time.monotonic()
        self.logged = 0

    def read_params(self) -> None:
        """
        Put the parameters of `job_parameter` and of the request over the definition's.
        Raises ValueError or RecursionError for JSON that PostgreSQL keeps and Python does not read.
        """
        if self._typed_params:
            from rush.domain.params import read_value

            for name, value in self._typed_params.items():
                self.params[name] = None if value is None else read_value(value)
        if self._requested_params is not None:
            self.params |= json.loads(self._requested_params)

    def results(self) -> Mapping[str, Any]:
        results = self._results
        if results is None:
            results = self._results = self._runner.ask("results", self.token)
        return results

    def progress(self, done: float, total: float | None) -> None:
        self._runner.note_progress(self.token, done, total)

    def cancelled(self) -> bool:
        return self._runner.is_cancelled(self.token)

    @contextlib.contextmanager
    def transaction(self) -> Generator[psycopg.Connection[Any]]:
        if self._transaction is None:
            self._transaction = Transaction(self._runner.greeting, self)
        with self._transaction.connection.transaction():
            yield self._transaction.connection

    def finish(self, result: str | None) -> bool:
        """Commit the job's transaction with its completion, if it has one. Says whether it had."""
        if self._transaction is None:
            return False
        self._transaction.complete(result)
        return True

    def close(self) -> None:
        if self._transaction is not None:
            self._transaction.close()


class Transaction:
    """A job's own transaction: open until the job has ended, committed with its completion."""

    def __init__(self, greeting: Greeting, attempt: OwnAttempt) -> None:
        from rush.store.database import connect
        from rush.store.held import begin_alone

        self._greeting = greeting
        self._attempt = attempt
        self.connection = connect(
            greeting["database_url"], application_name=f"rush job on {greeting['worker']}"
        )
        try:
            begin_alone(
                self.connection,
                greeting["schema"],
                worker=greeting["worker"],
                generation=greeting["generation"],
                attempt=attempt,
            )
            self._whole = self.connection.transaction()
            self._whole.__enter__()
        except BaseException:
            self.connection.close()
            raise

    def complete(self, result: str | None) -> None:
        from rush.store.held import complete_within

        accepted = complete_within(
            self.connection,
            self._greeting["schema"],
            worker=self._greeting["worker"],
            generation=self._greeting["generation"],
            code=self._greeting["code"],
            attempt=self._attempt,
            result=result,
        )
        if not accepted:
            raise Overtaken("another attempt has overtaken this one; its writes are rolled back")
        self._whole.__exit__(None, None, None)

    def close(self) -> None:
        """Roll back what is not committed, by ending the session."""
        self.connection.close()


class Runner:
    """Takes tokens from the baton and runs their jobs, until the supervisor closes it."""

    def __init__(self, channel: Channel, baton: Baton) -> None:
        self.channel = channel
        self.baton = baton
        self.greeting = cast(Greeting, channel.receive()[1])
        self.project = Path(self.greeting["project"])
        self.loader = Loader(self.project, self.greeting["allowed_modules"])
        self.current: Attempt | None = None
        self._inbox = Inbox(channel)
        self._sending = threading.RLock()
        self._progress_at = 0.0

    def run(self) -> None:
        surroundings = Surroundings(self.project)
        token = self._wait()
        while True:
            ended = self._perform(token, self._inbox.body(token))
            surroundings.restore()
            following = self.baton.take()
            self._send([*ended, following])
            token = self._wait() if following is None else following

    def _wait(self) -> int:
        """The next token. What comes on the wire until then is read while there is time."""
        while (token := self.baton.take()) is None:
            if readable((self.baton.reading, *self._inbox.descriptors)) != {self.baton.reading}:
                self._inbox.look()
                if self.channel.closed:
                    raise EOFError
        return token

    def ask(self, what: str, token: int) -> Any:
        """Ask the supervisor something and wait for the answer. Raises RuntimeError with its reason."""
        if self._is_over(token):
            raise RuntimeError("this attempt is over")
        self._send(["ask", token, what])
        answer, problem = self._inbox.answer(token)
        if problem is not None:
            raise RuntimeError(problem)
        return answer

    def is_cancelled(self, token: int) -> bool:
        return self._is_over(token) or self._inbox.is_cancelled(token)

    def _is_over(self, token: int) -> bool:
        """Whether it is a thread that speaks which an attempt has left behind."""
        return self.current is None or self.current.token != token

    def note_progress(self, token: int, done: float, total: float | None) -> None:
        now = time.monotonic()
        if now - self._progress_at >= 0.2 or done == total:
            self._progress_at = now
            self._send(["progress", token, done, total])

    def log(self, level: str, text: str) -> None:
        """A record of the current job, cut where it is too long or there are too many."""
        attempt = self.current
        if attempt is None:
            return
        limit = self.greeting["max_log_line"]
        if len(text) > limit:
            text = f"{text[:limit]} … ({len(text) - limit} more characters cut)"
        before, attempt.logged = attempt.logged, attempt.logged + len(text) + LINE_HEAD
        if attempt.logged <= self.greeting["max_log_bytes"]:
            self._send(["log", attempt.token, time.monotonic(), level, text])
        elif before <= self.greeting["max_log_bytes"]:
            self._send(["log", attempt.token, time.monotonic(), "WARNING",
                        f"the log of this attempt is full ({self.greeting['max_log_bytes']} bytes, "
                        "setting max_log_bytes): further lines are dropped"])  # fmt: skip

    def _send(self, message: Message) -> None:
        with self._sending:
            self.channel.send(message)

    def _perform(self, token: int, body: Body) -> Message:
        attempt = self.current = Attempt(self, token, self._inbox.defined[body[0]], body)
        try:
            outcome = self._outcome(attempt)
        finally:
            for stream in (sys.stdout, sys.stderr):
                # It may be any, or none: the job's doing.
                with contextlib.suppress(Exception):
                    stream.flush()
            attempt.close()
            self.current = None
            self._inbox.forget(token)
        return ["end", token, (attempt.began, time.monotonic()), outcome]

    def _outcome(self, attempt: Attempt) -> dict[str, Any] | None:
        """How an attempt has ended; None: complete, and there is no more to say."""
        try:
            attempt.read_params()
            job = self.loader.load(attempt.class_name)(attempt)
            result = self._result(_awaited(job.run()))
            if attempt.finish(result):
                return {"outcome": "Committed"}
        except NotLoaded as error:
            return _failed("not loaded", str(error), None)
        except ResultRefused as error:
            return _failed("too large" if error.too_large else "raised", str(error), None)
        except SystemExit as error:
            return self._raised("exited", error)
        except BaseException as error:
            return self._raised("raised", error)
        return None if result is None else {"outcome": "Complete", "result": result}

    def _raised(self, reason: str, error: BaseException) -> dict[str, Any]:
        frames = _job_frames(error)
        files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(frames)]
        changed = self.loader.changed(files)
        text = _traceback(error, frames)
        if changed:
            # Python quotes the lines that stand there now.
            text = (
                f"{', '.join(changed)} changed after this worker had loaded it: what ran is older than the"
                f" lines quoted here. `rush workers reload` lets it run what is there now.\n\n{text}"
            )
        return _failed(reason, _last_line(error), text)

    def _result(self, value: Any) -> str | None:
        if value is None:
            return None
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ResultRefused(
                f"the result cannot be kept as JSON: {_why_not(value, error)}"
            ) from None
        limit = self.greeting["max_result_bytes"]
        if len(text) > limit:
            raise ResultRefused(
                f"the result has {len(text)} bytes, and {limit} are allowed (setting max_result_bytes): "
                "keep large data in a table or a file, and return where it is",
                too_large=True,
            )
        deep = text.count("[") + text.count("{") > MAX_DEPTH
        if deep or "\\u0000" in text or "\\ud" in text.lower():
            _refuse_unstorable(text)
        return text


class ResultRefused(Exception):
    """What a job returned cannot be kept."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


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


def main(parent: int, wire: int, baton: int, lifeline: int) -> None:
    """Be a runner, made by this process and with these descriptors. Does not return."""
    die_with_parent(parent)
    threading.Thread(target=_watch, args=(lifeline,), name="lifeline", daemon=True).start()
    for descriptor in (wire, baton, lifeline):
        os.set_inheritable(descriptor, False)
    runner = Runner(Channel(socket.socket(fileno=wire)), Baton(baton))
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.chdir(runner.project)
    sys.path.insert(0, str(runner.project))
    sys.stdout = Printed(runner, "INFO")
    sys.stderr = Printed(runner, "WARNING")
    logging.basicConfig(handlers=[Forward(runner)], format="%(message)s", level=logging.INFO)
    logging.getLogger(LOGGER).setLevel(runner.greeting["log_level"])
    with contextlib.suppress(EOFError, BrokenPipeError, Terminated):
        runner.run()
    # Threads that a job has left behind must not keep this process.
    os._exit(0)


def _terminate(signum: int, frame: FrameType | None) -> None:
    # Once: a job that catches it and goes on is killed when its grace is over.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def die_with_parent(parent: int | None = None) -> None:
    """
    Ask the kernel, where it can, to kill this process when the one that has made it dies. Where
    `parent` is known, one that has died before the kernel was asked counts too.
    """
    if sys.platform == "linux":
        import ctypes

        parent_death_signal = 1
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _watch(lifeline: int) -> None:
    """The supervisor's end of this pipe closes when it dies: then go, with all that this job has started."""
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def _awaited(value: Any) -> Any:
    """What `run()` returned; an `async def run()` is run to its end on an event loop of its own."""
    if isinstance(value, CoroutineType):
        import asyncio

        return asyncio.run(value)
    return value


def _failed(reason: str, error: str, traceback: str | None) -> dict[str, Any]:
    return {"outcome": "Failed", "reason": reason, "error": error[:2000], "traceback": traceback}


def _last_line(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception_only(error)).strip()
    except Exception:
        return f"{type(error).__name__} (its text could not be read)"


def _job_frames(error: BaseException) -> TracebackType | None:
    """From the job's own first frame on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return frames


def _traceback(error: BaseException, frames: TracebackType | None) -> str:
    """Its end is kept when it is long."""
    try:
        text = "".join(traceback.format_exception(type(error), error, frames))
    except Exception:
        text = f"{type(error).__name__} (its traceback could not be written)"
    limit = 65536
    return (
        text if len(text) <= limit else f"… ({len(text) - limit} characters cut)\n{text[-limit:]}"
    )


def _why_not(value: object, error: Exception) -> str:
    """What of a value is no JSON, and where; Python does not say where."""
    from rush.domain.strictjson import check
    from rush.errors import DefinitionError

    if "Circular" in str(error):
        return "it contains itself"
    try:
        check(value, limit=sys.maxsize)
    except DefinitionError as found:
        return str(found)
    return str(error)


def _refuse_unstorable(text: str) -> None:
    """PostgreSQL keeps neither NUL nor half a surrogate pair, and not everybody reads what is deep."""
    from rush.domain.strictjson import check
    from rush.errors import DefinitionError

    try:
        check(json.loads(text), limit=sys.maxsize)
    except DefinitionError as error:
        raise ResultRefused(f"the result cannot be kept as JSON: {error}") from None
