"""
The supervisor: it hands jobs to runners, keeps time, and kills.

No user code runs here and no statement is made here. What is to be said to the database
is gathered in a `Request`, and what comes back (`Reply`) is taken in; between the two
this module is a state machine over the jobs that the worker holds:

    claimed ──▶ queued ──▶ sent ──▶ begun ──▶ over (its outcome is in the next request)
                  │          │        │
                  └──────────┴────────┴──▶ given back (not begun, or stopped with the worker)

`sent` jobs lie in a runner's baton pipe and can be taken back until they have begun
(`channel` tells why that is safe). A job that must end is told so, then its runner gets
SIGTERM, then, a grace later, SIGKILL to its whole process group. All clocks here are
monotonic.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import selectors
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rush.descriptors import readable
from rush.domain.records import Claim, CompiledJob, Outcome, OutcomeState
from rush.logs import job_lines, utc_second
from rush.worker.held import Ending, Held, definition, storable
from rush.worker.process import RunnerProcess
from rush.worker.reports import Reply, Request

log = logging.getLogger("rush.worker")

#: Done and total of jobs, by token.
Progress = dict[int, list[float | None]]

COMPLETE: dict[str, Any] = {"outcome": "Complete"}

#: A job that has run this long is marked as Running in the database; most are over before.
MARK_AFTER = 0.010
#: A job that has run this long is long: what lies behind it goes to others.
LONG = 0.050
#: How many seconds' worth of short jobs a runner may hold beyond the one that it runs.
AHEAD = 0.030
#: While runners have enough ahead, what they say is gathered for so long.
LINGER = 0.001
#: No runner holds more jobs ahead than this.
AHEAD_LIMIT = 250
#: Runners are told what jobs are that may come, as long as their parameters are no larger than this together.
TOLD_AHEAD = 100_000
#: So many tokens may be committed before one that was drawn earlier, and it is heard of at once.
LATE = 10_000
#: Lines of a job that goes on are kept in the database this often.
LOG_EVERY = 0.5
#: Between telling a job that it is cancelled and SIGTERM.
CANCEL_NOTICE = 1.0
#: A runner that could not be started, or ended before it had a job, is replaced after so long.
REFILL_AFTER = 1.0
#: While there is no runner at all, jobs wait this long for one before they go to others.
WITHOUT_RUNNERS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the settings say about running jobs."""

    slots: int
    kill_grace: float
    max_log_bytes: int
    max_log_line: int
    runner_jobs: int
    runner_memory_mb: int


class Supervisor:
    """
    The jobs and the runners of one worker. The thread that has made it uses it; another may borrow
    it while that one waits for something to happen.
    """

    def __init__(self, limits: Limits, start_runner: Callable[[], RunnerProcess]) -> None:
        self.limits = limits
        self._in_use = threading.Lock()
        self._in_use.acquire()
        self._failure: BaseException | None = None
        self._start_runner = start_runner
        self._selector = selectors.DefaultSelector()
        self._watched: list[int] = []
        self._attended: tuple[int, int] | None = None
        self._runners: list[RunnerProcess] = []
        self._held: dict[int, Held] = {}
        #: The highest token that this worker has seen.
        self._newest = LATE
        self._queue: deque[Held] = deque()
        self._request = Request()
        self._mean = LONG
        self._log_at = 0.0
        self._progress: Progress = {}
        self._clock: tuple[float, float] | None = None
        self._stopping = False
        self._refill_at = 0.0
        #: Outcomes that were refused: other attempts had moved on.
        self.refused = 0

    # What the worker sees -----------------------------------------------------------

    @property
    def holding(self) -> int:
        """How many jobs this worker holds."""
        return len(self._held)

    @property
    def progress(self) -> Progress:
        """How far jobs have come that say so. Another thread may read it: it is replaced, never changed."""
        return self._progress

    def room(self) -> int:
        """
        How many more jobs this worker can take: its free slots, and short ones ahead. A slot
        whose runner could not be started is none.
        """
        if self._stopping:
            return 0
        return max(0, len(self._runners) * (1 + self._ahead) - len(self._held))

    def reach(self, *, deep: bool) -> int:
        """
        How many new jobs may come at once from a master that has nobody else for them at this
        moment: no more than free runners begin soon. `deep` is twice as far ahead, while nobody
        else is there at all. Another thread may ask.
        """
        if self._stopping:
            return 0
        runners = sum(r.takes and not r.long_running(MARK_AFTER) for r in list(self._runners))
        return max(0, runners * (1 + (1 + deep) * self._ahead) - len(self._held))

    @property
    def _ahead(self) -> int:
        """How many short jobs a runner may hold beyond the one that it runs."""
        return min(AHEAD_LIMIT, int(AHEAD / self._mean))

    def idle(self) -> bool:
        """Whether a slot is free."""
        return len(self._held) < len(self._runners)

    def start(self) -> None:
        self._fill()

    @contextlib.contextmanager
    def borrowed(self) -> Generator[bool]:
        """
        Use it from another thread, if its own rests: says whether it does. It must be woken
        afterwards, since it waits for what was to come before. What fails in here fails there too,
        since nobody knows how far it came.
        """
        mine = self._in_use.acquire(blocking=False)
        try:
            yield mine
        except BaseException as error:
            self._failure = error
            raise
        finally:
            if mine:
                self._in_use.release()

    def watch(self, descriptor: int, called: Callable[[], None]) -> None:
        """Call something when a file descriptor can be read: at once, whatever the runners do."""
        self._watched.append(descriptor)
        self._selector.register(descriptor, selectors.EVENT_READ, called)

    def attend(self, descriptor: int | None, *, writing: bool = False) -> None:
        """Wake up too when there is something to read there, or room to write; None: no more."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        if (descriptor, events) == self._attended:
            return
        if self._attended is not None:
            self._selector.unregister(self._attended[0])
            self._attended = None
        if descriptor is not None:
            self._selector.register(descriptor, events, lambda: None)
            self._attended = (descriptor, events)

    def set_clock(self, database_now: datetime, monotonic: float) -> None:
        """What the database's clock said at a monotonic instant: log lines are told in it."""
        self._clock = (database_now.timestamp(), monotonic)

    def wait(self, timeout: float) -> None:
        """Take in what runners send, waiting so many seconds at most for something to happen."""
        due = self._next_due()
        if due is not None:
            timeout = min(timeout, max(0.0, due - time.monotonic()))
        if timeout > LINGER and self._runners_are_supplied():
            # What they say can wait a moment, and is cheaper to hear at once.
            attended = [self._attended[0]] if self._attended is not None else []
            readable([*self._watched, *attended], LINGER)
            timeout -= LINGER
        self._in_use.release()
        try:
            ready = self._selector.select(timeout)
        finally:
            self._in_use.acquire()
        if self._failure is not None:
            raise self._failure
        for key, _ in ready:
            # What an earlier one of these calls has closed is called no more.
            now = self._selector.get_map().get(key.fd)
            if now is not None and now.data is key.data:
                key.data()
        self._keep_time(time.monotonic())
        job_lines.write()

    def has_news(self) -> bool:
        """Whether there is anything to tell the database."""
        request = self._request
        return bool(
            request.outcomes
            or request.begun
            or request.given_back
            or request.logs
            or request.results_of
            or request.committed
        )

    @property
    def held_after(self) -> int:
        """
        Nothing that this worker holds has this token or a lower one, and nothing that it was handed
        just now should have: tokens are committed in another order than they are drawn.
        """
        return min([*self._held, self._newest]) - LATE

    def news(self) -> Request:
        """All there is to tell, and what is wanted; it is not told again."""
        request, self._request = self._request, Request()
        request.want = self.room()
        # What follows takes the place of what it follows, as long as that is begun soon.
        request.keep = min(max(request.want, len(request.outcomes)), self.reach(deep=True))
        request.idle = self.idle()
        return request

    def take_in(self, reply: Reply) -> None:
        """Take in what the database said: new jobs, answers to runners, what is held no more."""
        for token, results in reply.results.items():
            held = self._held.get(token)
            if held is not None and held.runner is not None:
                held.runner.post([["answer", token, results, None]])
                self._listen(held.runner)
        self.refused += len(reply.overtaken)
        for outcome in reply.overtaken:
            log.warning(
                "%s of run %s: another attempt has overtaken this one; its outcome was not accepted",
                outcome.claim.job,
                outcome.claim.run_id,
            )
        for claim in reply.answer.claims:
            self._accept(claim, reply.compiled)
        if reply.held is not None:
            self._compare(
                reply.held,
                reply.compiled,
                after=reply.request.held_after,
                failed_over=reply.request.failed_over,
            )
        self._dispatch()
        self._tell_runners(reply.learned)

    def take_over(self, claims: Sequence[Claim], compiled: Mapping[int, CompiledJob]) -> None:
        """Take in what the master has handed over."""
        for claim in claims:
            self._accept(claim, compiled)
        self._dispatch()

    def rouse(self) -> None:
        """Something may come in a moment: the runner that would get it wakes up meanwhile."""
        runner = next((each for each in self._runners if each.takes and each.free), None)
        if runner is not None:
            runner.post([["rouse"]])
            self._listen(runner)

    def let_go(self) -> None:
        """Forget all that is held, and kill what runs: this registration is over."""
        for held in list(self._held.values()):
            if held.runner is None or held.began is None:
                self._drop(held)
            else:
                self._end(held, "overtaken", now=True)
        # Now, not before: what lay behind those that were ended has come back.
        self._queue.clear()
        self._request = Request()
        # They have been greeted with the generation that is over.
        self.reload()

    def end_lost_contact(self) -> None:
        """Kill the jobs that ask for it when the lease is over."""
        for held in self._held.values():
            if held.job.on_lost_contact == "kill" and held.began is not None and not held.ending:
                self._end(held, "lost contact")

    def drain(self) -> None:
        """Take no more jobs, and give back those that have not begun."""
        self._stopping = True
        for runner in self._runners:
            self._take_back(runner)
        self._give_back_queued()

    def stop_running(self, *, now: bool) -> None:
        """End what still runs and give it back; `now` without grace."""
        for runner in self._runners:
            self._note_begun(runner)
        for held in list(self._held.values()):
            if held.began is not None:
                self._end(held, "stopping", now=now)

    def reload(self) -> None:
        """Replace every runner once it has done what it runs."""
        for runner in self._runners:
            self._take_back(runner)
            runner.retiring = True
            if runner.free:
                runner.finish()
        self._dispatch()

    def close(self) -> None:
        """Kill all runners. Nothing that they would still say is heard."""
        for runner in list(self._runners):
            runner.kill(signal.SIGKILL)
            self._remove(runner)
        self._selector.close()

    # Jobs in ------------------------------------------------------------------------

    def _accept(self, claim: Claim, compiled: Mapping[int, CompiledJob]) -> None:
        job = compiled.get(claim.job_id)
        if claim.token in self._held:
            return
        if job is None:
            # Its version is gone from under it: somebody has deleted rows by hand.
            log.error("run %s job %s has no compiled job; giving it back", claim.run_id, claim.job)
            self._request.given_back.append(claim)
            return
        held = Held(claim=claim, job=job, queued_at=time.monotonic())
        self._held[claim.token] = held
        self._newest = max(self._newest, claim.token)
        if claim.cancelling:
            self._over(held, "Cancelled", reason="cancelled")
        elif self._stopping:
            self._give_back(held)
        else:
            self._queue.append(held)

    def _compare(
        self,
        rows: list[Claim],
        compiled: Mapping[int, CompiledJob],
        *,
        after: int,
        failed_over: bool,
    ) -> None:
        """
        Start what is ours unheard of, end what is ours no more, hear of cancelled runs. These rows
        are of tokens after one, and older than what has ended here since they were asked for. After
        a failover what is unheard of is given back: it may have been over, under this same token.
        """
        if failed_over:
            # Tokens may have been lost with it, and be drawn again.
            self._newest = LATE
        rows_by_token = {claim.token: claim for claim in rows}
        for token, held in list(self._held.items()):
            if token <= after:
                continue
            if token not in rows_by_token:
                self._end_or_drop(held, "overtaken")
            elif rows_by_token[token].cancelling:
                self._end_or_drop(held, "cancelled")
        told = {outcome.claim.token for outcome in self._request.outcomes}
        told |= {claim.token for claim in self._request.given_back}
        told |= set(self._request.committed)
        for token, claim in rows_by_token.items():
            if token in self._held or token in told:
                continue
            if failed_over:
                self._request.given_back.append(claim)
            else:
                self._accept(claim, compiled)

    def _end_or_drop(self, held: Held, ending: Ending) -> None:
        if held.began is None and held.runner is not None:
            self._take_back(held.runner)
        if held.began is not None or held.runner is not None:
            # Begun, or taken by its runner at this very moment.
            if held.ending is None:
                self._end(held, ending)
            return
        with contextlib.suppress(ValueError):
            self._queue.remove(held)
        if ending == "cancelled":
            self._over(held, "Cancelled", reason="cancelled")
        else:
            self._drop(held)

    def _dispatch(self) -> None:
        """Hand queued jobs to runners: the idle ones first, short jobs also behind others."""
        ahead = self._ahead
        batches: dict[RunnerProcess, list[Held]] = {}
        runners = [r for r in self._runners if r.takes]
        while self._queue and runners:
            held = self._queue[0]
            alone = held.job.isolation == "process"
            runner = min(runners, key=RunnerProcess.load) if len(runners) > 1 else runners[0]
            if alone and not runner.fresh:
                # A process of its own: this one makes room for one that nobody has used.
                if not runner.free:
                    break
                runners.remove(runner)
                runner.retiring = True
                runner.finish()
                continue
            if runner.load() > 0 and (
                alone or runner.reserved or runner.load() > ahead or runner.long_running(LONG)
            ):
                break
            self._queue.popleft()
            runner.reserved = alone
            runner.give(held.claim.token)
            held.runner = runner
            self._define(runner, held)
            batches.setdefault(runner, []).append(held)
        for runner, jobs in batches.items():
            now = time.monotonic()
            for held in jobs:
                held.untaken_at = now
            runner.hand_over([(held.claim.token, held.body) for held in jobs])
            self._listen(runner)

    def _define(self, runner: RunnerProcess, held: Held) -> None:
        """Tell a runner once what a job is; every attempt at it then needs a few numbers only."""
        if not runner.knows(held.job.id):
            runner.post([definition(held.job)])

    def _tell_runners(self, jobs: Sequence[CompiledJob]) -> None:
        """The same ahead, of jobs that will probably come, while nobody waits for it."""
        sizes = itertools.accumulate(len(json.dumps(job.params)) for job in jobs)
        ahead = [job for job, size in zip(jobs, sizes, strict=True) if size < TOLD_AHEAD]
        for runner in self._runners:
            if not runner.takes or runner.unsent:
                # It does not listen now, and is told when one of them comes.
                continue
            if unknown := [definition(job) for job in ahead if not runner.knows(job.id)]:
                runner.post(unknown)
                self._listen(runner)

    # What runners say ---------------------------------------------------------------

    def _read(self, runner: RunnerProcess) -> None:
        for message in runner.incoming():
            kind, token, *rest = message
            if kind == "end":
                self._ended(runner, token, *rest)
            elif kind == "log":
                if (held := self._held.get(token)) is not None:
                    self._log(held, *rest)
            elif kind == "progress":
                if token in self._held:
                    self._progress = self._progress | {token: rest}
            elif kind == "ask":
                self._asked(runner, token)
            else:
                log.error("a runner says what nobody understands: %r", message)
        if runner.closed:
            self._died(runner)
        else:
            self._listen(runner)

    def _read_output(self, runner: RunnerProcess) -> None:
        """What was written past Python's `print`: by C code, or by programs that a job has started."""
        # A runner that dies while it starts has begun nothing: its last words are the first job's.
        token = runner.current if runner.current is not None else next(iter(runner.tokens), None)
        held = self._held.get(token) if token is not None else None
        for text in runner.output():
            if held is None:
                log.warning("a runner says: %s", text[: self.limits.max_log_line])
            elif held.logged <= self.limits.max_log_bytes:
                self._log(held, time.monotonic(), "INFO", text[: self.limits.max_log_line])

    def _note_begun(self, runner: RunnerProcess) -> None:
        """A runner that had nothing to do takes what it is handed, and says nothing of it."""
        if not runner.has_something_to_begin:
            return
        token = next(iter(runner.tokens))
        held = self._held.get(token)
        now = time.monotonic()
        if runner.has_begun():
            at = held.untaken_at if held is not None else None
            self._begun(runner, token, now if at is None else at)
        elif held is not None:
            held.untaken_at = now

    def _begun(self, runner: RunnerProcess, token: int, at: float) -> None:
        runner.begin(token, at)
        held = self._held.get(token)
        if held is None:
            # Let go while it was on its way: this runner does what nobody waits for.
            runner.kill(signal.SIGKILL)
            return
        held.began = at
        if held.ending is not None:
            held.escalate_at = time.monotonic()

    def _ended(
        self,
        runner: RunnerProcess,
        token: int,
        span: tuple[float, float],
        ended: dict[str, Any] | None,
        following: int | None,
    ) -> None:
        """A job has ended; None: it is complete, and there is no more to say."""
        began, at = span
        runner.end(token)
        held = self._held.get(token)
        if held is not None:
            if held.began is None:
                held.began = began
            self._mean += 0.2 * (max(at - began, 0.00005) - self._mean)
            self._judge(held, at, ended or COMPLETE)
            runner.jobs += 1
        if following is not None:
            self._begun(runner, following, at)
        if self._is_worn(runner):
            self._take_back(runner)
            runner.retiring = True
        if runner.free and (runner.retiring or runner.reserved or runner.killed):
            runner.finish()
        if self._queue:
            self._dispatch()

    def _judge(self, held: Held, at: float, ended: dict[str, Any]) -> None:
        """What the end of a job comes to."""
        if ended["outcome"] == "Committed":
            self._committed(held)
        elif held.ending is None or (held.ending == "cancelled" and ended["outcome"] == "Complete"):
            self._over(
                held,
                ended["outcome"],
                ended=at,
                reason=ended.get("reason"),
                error=ended.get("error"),
                traceback=ended.get("traceback"),
                result=ended.get("result"),
            )
        else:
            self._over_by_force(held)

    def _is_worn(self, runner: RunnerProcess) -> bool:
        """Whether another runner is to take this one's place."""
        return runner.takes and (
            runner.jobs >= self.limits.runner_jobs or runner.too_large(self.limits.runner_memory_mb)
        )

    def _committed(self, held: Held) -> None:
        """It has completed in its own transaction: only its last lines are left to keep."""
        self._keep_lines(held)
        self._drop(held)
        # Nothing was handed on in there: the empty report that follows claims, and rings.
        self._request.committed.append(held.claim.token)

    def _asked(self, runner: RunnerProcess, token: int) -> None:
        held = self._held.get(token)
        if held is None:
            runner.post([["answer", token, None, "this attempt is over"]])
        else:
            self._request.results_of[token] = held.claim.run_id

    def _died(self, runner: RunnerProcess) -> None:
        """A runner is gone. One job may have been begun; what lies in the pipe has not been."""
        self._take_back(runner)
        how = runner.wait()
        self._read_output(runner)
        for token in list(runner.tokens):
            held = self._held.get(token)
            if held is None:
                continue
            if held.began is None:
                held.began = time.monotonic()
            if held.ending is not None:
                self._over_by_force(held)
            else:
                reason = "killed" if how.startswith("signal") else "exited"
                self._over(
                    held,
                    "Failed",
                    reason=reason,
                    error=f"the process ended ({how}) before the job had returned",
                )
        self._remove(runner)
        if runner.jobs == 0 and not runner.tokens and not runner.retiring:
            # Whatever ends it so soon ends the next one too.
            self._refill_at = time.monotonic() + REFILL_AFTER
        self._fill()
        self._dispatch()

    # Time ---------------------------------------------------------------------------

    def _keep_time(self, now: float) -> None:
        for runner in self._runners:
            since = self._untaken_at(runner)
            if since is not None and now - since >= MARK_AFTER:
                self._note_begun(runner)
            held = self._held.get(runner.current) if runner.current is not None else None
            if held is None or held.began is None:
                continue
            if not held.marked and now - held.began >= MARK_AFTER:
                held.marked = True
                self._request.begun.append((held.claim, held.began))
            if held.ending is None and now >= held.deadline:
                self._log(held, now, "WARNING", "out of time: asked to end by SIGTERM")
                self._end(held, "timeout")
            if runner.queued and runner.long_running(LONG):
                self._take_back(runner)
        for held in list(self._held.values()):
            if held.escalate_at is not None and now >= held.escalate_at:
                self._escalate(held, now)
        self._fill()
        if self._queue:
            self._dispatch()
            patience = LONG if self._runners else WITHOUT_RUNNERS
            if self._queue and now - self._queue[0].queued_at >= patience and self._all_long():
                self._give_back_queued()
        if now >= self._log_at:
            self._log_at = now + LOG_EVERY
            for held in self._held.values():
                self._keep_lines(held)

    def _runners_are_supplied(self) -> bool:
        """Whether all of them have short jobs ahead for longer than this thread lingers."""
        enough = 2 * LINGER / self._mean
        return all(r.queued > enough and not r.long_running(LINGER) for r in self._runners)

    def _all_long(self) -> bool:
        return all(r.long_running(LONG) or not r.takes for r in self._runners)

    def _untaken_at(self, runner: RunnerProcess) -> float | None:
        """When a runner had something to begin and had not done so, if no more is known."""
        if not runner.has_something_to_begin:
            return None
        held = self._held.get(next(iter(runner.tokens)))
        # What is not held any more is not waited for: it is to be seen at once.
        return 0.0 if held is None else held.untaken_at

    def _next_due(self) -> float | None:
        now = time.monotonic()
        due: list[float] = []
        for runner in self._runners:
            since = self._untaken_at(runner)
            if since is not None:
                due.append(max(since + MARK_AFTER, now + 0.005))
            held = self._held.get(runner.current) if runner.current is not None else None
            if held is None or held.began is None:
                continue
            if not held.marked:
                due.append(held.began + MARK_AFTER)
            if held.ending is None:
                due.append(held.deadline)
            if runner.queued or self._queue:
                due.append(max(held.began + LONG, now + 0.005))
            if held.lines:
                due.append(self._log_at)
        due += [h.escalate_at for h in self._held.values() if h.escalate_at is not None]
        if len(self._runners) < self.limits.slots and not self._stopping:
            due.append(self._refill_at)
        return min(due, default=None)

    def _end(self, held: Held, ending: Ending, *, now: bool = False) -> None:
        """Begin to end a job that has begun; `_escalate` goes on with it."""
        at = time.monotonic()
        held.ending = ending
        held.escalate_at = at
        if now:
            held.escalation = 2
        elif ending == "cancelled" and held.escalation == 0 and held.runner is not None:
            held.runner.post([["cancel", held.claim.token]])
            self._listen(held.runner)
            held.escalate_at = at + CANCEL_NOTICE
        self._escalate(held, at)

    def _escalate(self, held: Held, now: float) -> None:
        runner = held.runner
        if held.escalate_at is None or now < held.escalate_at or runner is None:
            return
        if runner.current != held.claim.token:
            # Taken by its runner, and the word of it on the way: `_begun` comes back here.
            held.escalate_at = now + 0.05
            return
        if held.escalation < 2:
            held.escalation = 2
            held.escalate_at = now + self.limits.kill_grace
            self._take_back(runner)
            runner.kill(signal.SIGTERM)
        else:
            held.escalate_at = now + 1.0
            self._take_back(runner)
            runner.kill(signal.SIGKILL)

    def _over_by_force(self, held: Held) -> None:
        """A job that was told to end has ended."""
        match held.ending:
            case "timeout":
                seconds = f"{held.job.timeout_seconds:g}"
                self._over(
                    held,
                    "Failed",
                    reason="timeout",
                    error=f"killed at its timeout of {seconds} s",
                )
            case "cancelled":
                self._over(held, "Cancelled", reason="cancelled")
            case "lost contact":
                self._over(
                    held,
                    "Failed",
                    reason="lost contact",
                    error="killed because its worker had lost contact to the database",
                )
            case "stopping":
                self._give_back(held)
            case "overtaken" | None:
                self._drop(held)

    # Jobs out -----------------------------------------------------------------------

    def _over(
        self,
        held: Held,
        state: OutcomeState,
        *,
        ended: float | None = None,
        reason: str | None = None,
        error: str | None = None,
        traceback: str | None = None,
        result: str | None = None,
    ) -> None:
        ended = ended or time.monotonic()
        if error is not None:
            text = traceback if traceback is not None else error
            self._log(held, ended, "ERROR", f"{reason}: {text}")
        self._drop(held)
        self._request.outcomes.append(
            Outcome(
                claim=held.claim,
                state=state,
                began=held.began,
                ended=ended,
                code=held.runner.code if held.runner is not None else None,
                reason=reason,
                error=storable(error),
                traceback=storable(traceback),
                result=result,
                log="\n".join(held.lines) if held.lines else None,
            )
        )

    def _give_back(self, held: Held) -> None:
        self._keep_lines(held)
        self._drop(held)
        self._request.given_back.append(held.claim)

    def _drop(self, held: Held) -> None:
        token = held.claim.token
        self._held.pop(token, None)
        if token in self._progress:
            self._progress = {t: p for t, p in self._progress.items() if t != token}

    def _give_back_queued(self) -> None:
        while self._queue:
            self._give_back(self._queue.popleft())

    def _take_back(self, runner: RunnerProcess) -> None:
        """What lies in a runner's pipe is queued again, in its old order."""
        for token in reversed(runner.take_back()):
            held = self._held.get(token)
            if held is not None:
                held.runner = held.untaken_at = None
                self._queue.appendleft(held)

    # Lines --------------------------------------------------------------------------

    def _log(self, held: Held, at: float, level: str, text: str) -> None:
        held.say(self._told(at), level, text)

    def _keep_lines(self, held: Held) -> None:
        if held.lines:
            self._request.logs.append(held.take_lines())

    def _told(self, at: float) -> str:
        """A monotonic instant in the database's time."""
        if self._clock is None:
            return "-"
        now, monotonic = self._clock
        seconds, milliseconds = divmod(int((now + at - monotonic) * 1000), 1000)
        return f"{utc_second(seconds)}.{milliseconds:03d}Z"

    # Runners ------------------------------------------------------------------------

    def _fill(self) -> None:
        """A runner for each slot, as far as the system has room for them."""
        while (
            len(self._runners) < self.limits.slots
            and not self._stopping
            and time.monotonic() >= self._refill_at
        ):
            try:
                self._add_runner()
            except OSError as error:
                log.error("no runner could be started, trying again: %s", error)
                self._refill_at = time.monotonic() + REFILL_AFTER

    def _add_runner(self) -> None:
        runner = self._start_runner()
        self._runners.append(runner)
        self._selector.register(runner, selectors.EVENT_READ, lambda: self._read(runner))
        self._selector.register(
            runner.output_descriptor, selectors.EVENT_READ, lambda: self._read_output(runner)
        )

    def _listen(self, runner: RunnerProcess) -> None:
        """Hear of it when the wire takes more, while there is more to send."""
        if runner not in self._runners:
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if runner.unsent else 0)
        if self._selector.get_key(runner).events != events:
            self._selector.modify(runner, events, lambda: self._turn(runner))

    def _turn(self, runner: RunnerProcess) -> None:
        runner.flush()
        self._read(runner)

    def _remove(self, runner: RunnerProcess) -> None:
        self._selector.unregister(runner)
        self._selector.unregister(runner.output_descriptor)
        self._runners.remove(runner)
        runner.close()
