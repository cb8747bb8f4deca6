"""
The nemesis: by its seed it picks what breaks next, where, and for how long.

Up to three workers are frozen at once, and up to three other faults are under way beside that.
What lasts is undone by itself when its time is over; `heal` undoes all. Of what is picked by
chance that comes next which has come least often for its weight, so that each kind comes often
enough. The order is the seed's; what it meets is not.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import psycopg

from tests.chaos.cast import DAY, Actor, Cast, children
from tests.chaos.ground import Ground
from tests.chaos.proxy import CUT, CUT_AFTER, LOSE, Fault, Message, Proxy, Rule
from tests.chaos.tally import COMMITS
from tests.support.server import Server
from tests.support.waiting import wait_for

#: What an armed proxy waits for at most, in seconds.
ARMED = 3.0
#: How many workers are frozen at once, and how many other faults are under way, at most.
FROZEN = BROKEN = 3
#: Of how many kinds of faults, picked by chance, the rarest comes next.
PICKED = 6

#: How wrong a clock may be, in seconds.
WRONG = (1, 3600, DAY, 400 * DAY)

TABLES = ["run_state", "archive", "finished", "run", "run_request", "worker", "master_token", "log"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """A fault, and what its victim had in hand: to be compared with what became of it."""

    kind: str
    #: The database's clock.
    at: object
    #: (run, job, round, token) of the jobs that it held.
    held: list[tuple[int, str, int, int]]
    #: It was master.
    led: bool


class Nemesis:
    """To be used by one thread. `people` is the crowd's proxy."""

    def __init__(
        self, seed: int, server: Server, url: str, cast: Cast, people: Proxy, *, lease: float
    ) -> None:
        self._chance = random.Random(f"nemesis {seed}")
        self._server = server
        self._url = url
        self._cast = cast
        self._people = people
        self._lease = lease
        self._ground = Ground(url)
        self._numbers = itertools.count()
        self._undoing: list[tuple[float, int, Callable[[], object]]] = []
        self._thawing: list[tuple[float, int, Callable[[], object]]] = []
        self._frozen_backends: set[int] = set()
        self.did: Counter[str] = Counter()
        self.strikes: list[Strike] = []
        self._freezes: dict[Callable[[], bool], float] = {
            self._freeze_worker: 3,
            self._freeze_supervisor: 2,
        }
        self._faults: dict[Callable[[], bool], float] = {
            self._kill_worker: 1,
            self._kill_master: 1,
            self._kill_runner: 1,
            self._kill_template: 1,
            self._freeze_runner: 1,
            self._leave: 1,
            self._cut_wires: 1,
            self._cut_at_a_message: 2,
            self._lose_a_reply: 5,
            self._lose_the_peoples_reply: 2,
            self._stall_wires: 1,
            self._shut: 1,
            self._slow_down: 1,
            self._end_a_session: 2,
            self._cancel_a_statement: 2,
            self._freeze_a_backend: 1,
            self._lock_a_table: 1,
            self._fill_a_log: 1,
            self._move_a_log: 1,
            self._set_a_clock: 1,
            self._crash_a_backend: 1,
            self._restart_fast: 1,
            self._restart_immediate: 1,
        }
        if not any(actor.clock for actor in cast.actors):
            del self._faults[self._set_a_clock]

    def strike(self) -> None:
        """Break something, unless enough is broken already."""
        if len(self._undoing) < BROKEN:
            self._strike_with(self._faults)

    def freeze(self) -> None:
        """Freeze a worker beyond its lease, unless enough of them are frozen already."""
        if sum(actor.frozen for actor in self._cast.actors) < FROZEN:
            self._strike_with(self._freezes)

    @property
    def kinds(self) -> list[str]:
        """All that may be broken."""
        return [_name(fault) for fault in (*self._freezes, *self._faults)]

    def _strike_with(self, faults: dict[Callable[[], bool], float]) -> None:
        picked = self._chance.choices(list(faults), list(faults.values()), k=PICKED)
        fault = min(picked, key=lambda each: self.did[_name(each)] / faults[each])
        if fault():
            self.did[_name(fault)] += 1

    def undo_due(self) -> None:
        now = time.monotonic()
        for undoing in (self._undoing, self._thawing):
            while undoing and undoing[0][0] <= now:
                heapq.heappop(undoing)[2]()

    def heal(self) -> None:
        """Undo all, and break nothing more."""
        for undoing in (self._undoing, self._thawing):
            while undoing:
                heapq.heappop(undoing)[2]()
        for actor in self._cast.actors:
            actor.thaw()
            actor.proxy.heal()
        self._people.heal()

    def close(self) -> None:
        self._ground.close()

    # Processes ------------------------------------------------------------------------------

    def _kill_worker(self) -> bool:
        return self._with_actor(lambda actor: self._kill(actor, "kill"))

    def _kill_master(self) -> bool:
        holder = self._ground.one("SELECT holder FROM rush.master_token")
        actor = next((a for a in self._cast.free() if a.name == holder), None)
        if actor is None:
            return False
        self._kill(actor, "kill")
        return True

    def _kill(self, actor: Actor, kind: str) -> None:
        self._note(kind, actor)
        actor.kill(away=self._chance.uniform(0.2, 3))

    def _kill_runner(self) -> bool:
        def kill(actor: Actor) -> None:
            for pid in actor.runners()[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

        return self._with_actor(kill)

    def _kill_template(self) -> bool:
        """What a worker's runners are forked from, and die with."""

        def kill(actor: Actor) -> None:
            for pid in children(actor.pid)[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

        return self._with_actor(kill)

    def _freeze_worker(self) -> bool:
        return self._freeze(runners=True)

    def _freeze_supervisor(self) -> bool:
        """Its runners go on: they may even complete what they run, each in its own transaction."""
        return self._freeze(runners=False)

    def _freeze(self, *, runners: bool) -> bool:
        def freeze(actor: Actor) -> None:
            seconds = self._lease + self._chance.uniform(1, 3)
            self._note("freeze", actor)
            actor.freeze(runners=runners)
            self._after(seconds, actor.thaw, actor, self._thawing)

        return self._with_actor(freeze)

    def _freeze_runner(self) -> bool:
        def freeze(actor: Actor) -> None:
            for pid in actor.runners()[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                self._after(self._chance.uniform(0.5, 3), partial(_continue, pid))

        return self._with_actor(freeze)

    def _leave(self) -> bool:
        def leave(actor: Actor) -> None:
            actor.leave(away=self._chance.uniform(0.2, 2))

        return self._with_actor(leave, among=[a for a in self._cast.free() if a.settled])

    # Wires ----------------------------------------------------------------------------------

    def _cut_wires(self) -> bool:
        return self._with_actor(lambda actor: actor.proxy.cut())

    def _cut_at_a_message(self) -> bool:
        kind = self._chance.choice("PBES" + "CDZ")
        fault = self._chance.choice([CUT, CUT_AFTER])
        return self._with_actor(
            lambda actor: self._arm(actor.proxy, lambda m: fault if m.kind == kind else None, actor)
        )

    def _lose_a_reply(self) -> bool:
        """The server commits, and the worker hears nothing."""
        return self._with_actor(lambda actor: self._arm(actor.proxy, _reply_of_a_commit, actor))

    def _lose_the_peoples_reply(self) -> bool:
        self._arm(self._people, _reply_of_a_commit, None)
        return True

    def _stall_wires(self) -> bool:
        """Nothing moves, and nobody is told."""

        def stall(actor: Actor) -> None:
            seconds = self._chance.uniform(0.3, self._lease + 2)
            if seconds > self._lease:
                self._note("cut off", actor)
            actor.proxy.stall(seconds)
            actor.proxy.rule = lambda message: Fault(kind="stall", seconds=seconds)
            self._after(seconds, actor.proxy.heal, actor)

        return self._with_actor(stall)

    def _shut(self) -> bool:
        def shut(actor: Actor) -> None:
            seconds = self._chance.uniform(0.3, self._lease + 2)
            if seconds > self._lease:
                self._note("cut off", actor)
            actor.proxy.shut()
            self._after(seconds, actor.proxy.heal, actor)

        return self._with_actor(shut)

    def _slow_down(self) -> bool:
        def slow(actor: Actor) -> None:
            actor.proxy.latency = self._chance.uniform(0.01, 0.2)
            self._after(self._chance.uniform(1, 4), actor.proxy.heal, actor)

        return self._with_actor(slow)

    # Storage and clocks ---------------------------------------------------------------------

    def _fill_a_log(self) -> bool:
        """A worker's log takes nothing more for a while."""

        def fill(actor: Actor) -> None:
            actor.fill_log()
            self._after(self._chance.uniform(1, 4), actor.empty_log)

        return self._with_actor(fill)

    def _move_a_log(self) -> bool:
        return self._with_actor(lambda actor: actor.move_log(next(self._numbers)))

    def _set_a_clock(self) -> bool:
        """A worker's wall clock jumps, and stays wrong until it jumps again."""

        def set_clock(actor: Actor) -> None:
            assert actor.clock is not None
            actor.clock.set(self._chance.choice(WRONG) * self._chance.choice((-1, 1)))

        return self._with_actor(set_clock, among=[a for a in self._cast.actors if a.clock])

    # The server -----------------------------------------------------------------------------

    def _end_a_session(self) -> bool:
        purpose = self._chance.choice(["pulse", "reports", "master", "job"])
        pattern = "rush job on %" if purpose == "job" else f"rush % {purpose}"
        return bool(
            self._ground.sql(
                "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
                " WHERE application_name LIKE %s ORDER BY random() LIMIT 1) a",
                pattern,
            )
        )

    def _cancel_a_statement(self) -> bool:
        return bool(
            self._ground.sql(
                "SELECT pg_cancel_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
                " WHERE application_name LIKE 'rush %%' AND state <> 'idle'"
                " ORDER BY random() LIMIT 3) a"
            )
        )

    def _freeze_a_backend(self) -> bool:
        """A session that takes what it is sent and does not answer."""
        pid = self._ground.one(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'rush %%'"
            " ORDER BY random() LIMIT 1"
        )
        if pid is None:
            return False
        self._frozen_backends.add(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        self._after(self._chance.uniform(0.5, self._lease + 2), lambda: self._thaw_backend(pid))
        return True

    def _lock_a_table(self) -> bool:
        """
        What anybody does with that table waits, the harness too: so the server itself lets go of it
        when the time is over, whatever becomes of this thread.
        """
        table = self._chance.choice(TABLES)
        seconds = self._chance.uniform(0.3, self._lease + 1)
        connection = psycopg.connect(self._url, application_name="chaos lock", connect_timeout=5)
        connection.pgconn.send_query(
            f"SET lock_timeout = '2s'; BEGIN; LOCK TABLE rush.{table} IN ACCESS EXCLUSIVE MODE;"
            f" SELECT pg_sleep({seconds}); ROLLBACK".encode()
        )
        self._after(seconds + 2, connection.close)
        return True

    def _crash_a_backend(self) -> bool:
        """The server ends all sessions and recovers by itself."""
        pid = self._ground.one("SELECT pg_backend_pid()")
        os.kill(pid, signal.SIGKILL)
        self._ground.one("SELECT 1")
        return True

    def _restart_fast(self) -> bool:
        return self._restart(signal.SIGINT)

    def _restart_immediate(self) -> bool:
        return self._restart(signal.SIGQUIT)

    def _restart(self, number: signal.Signals) -> bool:
        for pid in list(self._frozen_backends):
            self._thaw_backend(pid)
        embedded = self._server.embedded
        postmaster = (embedded.home.resolve() / "data" / "postmaster.pid").read_text().split()[0]
        os.kill(int(postmaster), number)
        wait_for(lambda: not embedded.running(), what="the server to stop", timeout=60)
        embedded.start()
        return True

    # How ------------------------------------------------------------------------------------

    def _with_actor(
        self, work: Callable[[Actor], object], among: list[Actor] | None = None
    ) -> bool:
        free = self._cast.free() if among is None else among
        if not free:
            return False
        work(self._chance.choice(free))
        return True

    def _after(
        self,
        seconds: float,
        undo: Callable[[], object],
        actor: Actor | None = None,
        undoing: list[tuple[float, int, Callable[[], object]]] | None = None,
    ) -> None:
        at = time.monotonic() + seconds
        if actor is not None:
            actor.busy_until = at
        undoing = self._undoing if undoing is None else undoing
        heapq.heappush(undoing, (at, next(self._numbers), undo))

    def _arm(self, proxy: Proxy, rule: Rule, actor: Actor | None) -> None:
        """Let a rule bite once."""
        bitten = False

        def once(message: Message) -> Fault | None:
            nonlocal bitten
            fault = None if bitten else rule(message)
            bitten = fault is not None or bitten
            return fault

        proxy.rule = once
        self._after(ARMED, proxy.heal, actor)

    def _note(self, kind: str, actor: Actor) -> None:
        """What it has in hand, so that it can be seen when others have it."""
        now, led = self._ground.sql(
            "SELECT clock_timestamp(), holder = %s FROM rush.master_token", actor.name
        )[0]
        held = self._ground.sql(
            "SELECT run_id, job, round, token FROM rush.run_state WHERE worker = %s AND state = 'Running'",
            actor.name,
        )
        self.strikes.append(Strike(kind=kind, at=now, held=held, led=bool(led)))

    def _thaw_backend(self, pid: int) -> None:
        self._frozen_backends.discard(pid)
        _continue(pid)


def _name(fault: Callable[[], bool]) -> str:
    return fault.__name__.strip("_").replace("_", " ")


def _reply_of_a_commit(message: Message) -> Fault | None:
    return LOSE if message.commits and message.query in COMMITS else None


def _continue(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
