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

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from types import CoroutineType, FrameType, TracebackType
from typing import Any, NoReturn, TypedDict, cast

from rush.descriptors import readable
from rush.jobs.base import Job
from rush.jobs.loader import Loader, NotLoaded
from rush.worker import attempt as attempts
from rush.worker.attempt import LOGGER, Attempt, Body, Defined
from rush.worker.channel import Baton, Channel, Message
from rush.worker.inbox import Inbox
from rush.worker.printed import Forward, Printed
from rush.worker.result import ResultRefused, encoded
from rush.worker.surroundings import Surroundings

#: For so long a runner that waits listens to nothing but the baton, in seconds.
MOMENT = 0.005
#: What is rehearsed.
NO_JOB: Defined = {"pipeline": "", "job": "", "class_name": "", "params": {}}
NO_BODY: Body = (0, 0, 0, 0, 0, 0, 0, None, None)
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


class Terminated(BaseException):
    """The supervisor has asked this job to stop. `finally` blocks have a moment left."""


class Runner:
    """Takes tokens from the baton and runs their jobs, until the supervisor closes it."""

    def __init__(self, channel: Channel, baton: Baton) -> None:
        self._pid = os.getpid()
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
        """
        The next token. What comes on the wire until then is read while there is time: not at once,
        since a token comes right behind its body, and waking up twice costs more than reading.
        """
        baton = self.baton.reading
        while True:
            readable((baton,), MOMENT)
            if (token := self.baton.take()) is not None:
                return token
            if readable((baton, *self._inbox.descriptors)) != {baton}:
                self._inbox.look()
                if self.channel.closed:
                    raise EOFError
                if self._inbox.roused:
                    self._inbox.roused = False
                    self._rehearse()

    def _rehearse(self) -> None:
        """Go through the motions of an attempt: after a rest the first time takes twice as long."""
        Attempt(self, 0, NO_JOB, NO_BODY).read_params()

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
            result = encoded(self._returned(job), limit=self.greeting["max_result_bytes"])
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

    def _returned(self, job: Job) -> Any:
        """What `run()` returns. A child that it has forked ends where it comes back from there."""
        try:
            value = _awaited(job.run())
        except BaseException as error:
            if os.getpid() != self._pid:
                _end_child(error)
            raise
        if os.getpid() != self._pid:
            _end_child(None)
        return value

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
    LOGGER.setLevel(runner.greeting["log_level"])
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


def _end_child(error: BaseException | None) -> NoReturn:
    """
    End a process that a job has forked and that is done with `run()`. Going on it would speak for the
    job, and take the next one.
    """
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        code = 1
    with contextlib.suppress(BaseException):
        if error is not None and not isinstance(error, SystemExit):
            traceback.print_exception(error)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code & 0xFF)


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
    while frames is not None and frames.tb_frame.f_code.co_filename in (
        __file__,
        attempts.__file__,
    ):
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
