"""
A campaign: workers, people, a nemesis, and the question whether all was kept.

    lay the scene ─ for so many seconds let things break ─ heal ─ wait until all has come to
    rest ─ end the workers ─ read the history

The verdict is that of the harness's own tables as much as of Rush's. `Report` says what was done
and what was found; it counts as a campaign only when enough was really broken.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from tests.chaos.cast import Cast, descriptors
from tests.chaos.crowd import PIPELINES, Crowd
from tests.chaos.ground import Ground
from tests.chaos.history import CONSERVATION, violations
from tests.chaos.nemesis import Nemesis, Strike
from tests.chaos.proxy import Network
from tests.chaos.scene import INDEXES, lay
from tests.chaos.tally import Tally
from tests.support.project import project
from tests.support.server import Server

SHORT_LEASE = {"worker_lease": 2.0, "master_expiry": 2.0, "poll_interval": 1.0, "kill_grace": 1.0}
#: Without these the harness itself would end what it has broken often enough.
ALWAYS = {"poison_limit": 100, "log_level": "WARNING", "stop_grace": 5.0}

#: In what the default settings say.
DEFAULT_LEASE = 15.0
#: Between two faults, in seconds, with that lease: for a lease after each outage nobody is judged.
DEFAULT_PAUSE = (1.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done."""

    seed: int
    #: For how long things break, in seconds.
    seconds: float
    workers: int = 8
    slots: int = 2
    #: About how many runs are in flight.
    backlog: int = 3000
    #: Between two faults, in seconds, at least and at most; and between two freezes.
    pause: tuple[float, float] = (0.3, 1.7)
    freeze_pause: tuple[float, float] = (0.2, 1.5)
    #: Both are so many times as long.
    pace: float = 1.0
    #: The settings as they come, instead of a lease of two seconds.
    defaults: bool = False

    @property
    def lease(self) -> float:
        return DEFAULT_LEASE if self.defaults else SHORT_LEASE["worker_lease"]


@dataclass(slots=True, kw_only=True)
class Report:
    """What was done, and what was found. Times are in seconds."""

    seed: int
    seconds: float = 0.0
    server: str = ""
    faults: dict[str, int] = field(default_factory=dict)
    #: Workers that were frozen for longer than their lease.
    freezes: int = 0
    #: Workers that were declared dead.
    deaths: int = 0
    people: dict[str, int] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    transactional_effects: int = 0
    refused_stale_writes: dict[str, int] = field(default_factory=dict)
    unknown_commits: dict[str, int] = field(default_factory=dict)
    #: Of those that were watched to their end, the ones that the server had done.
    unknown_commits_done: int = 0
    terms: int = 0
    workers_started: int = 0
    unheard_requests: int = 0
    #: From healing to rest.
    drained_in: float = 0.0
    #: From a fault until everything that its victim ran is free for others, or over: by kind.
    recovery: dict[str, dict[str, float]] = field(default_factory=dict)
    snapshots: int = 0
    violations: list[str] = field(default_factory=list)

    def floors(self) -> list[str]:
        """Why this is no campaign that counts: what was not broken often enough."""
        short = [f"{kind}: {n} of 20" for kind, n in self.faults.items() if n < 20]
        for what, count in (
            ("refused stale writes", sum(self.refused_stale_writes.values())),
            ("unknown commits", sum(self.unknown_commits.values())),
        ):
            if count < 100:
                short.append(f"{what}: {count} of 100")
        return short


@contextmanager
def campaign(folder: Path, server: Server, plan: Plan) -> Iterator[Campaign]:
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        url = stack.enter_context(server.database())
        settings = ALWAYS | ({} if plan.defaults else SHORT_LEASE)
        rush = stack.enter_context(project(folder, url, **settings))
        if plan.defaults:
            (folder / "rush.toml").write_text(
                "\n".join(f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
                          for name, value in ALWAYS.items())
            )  # fmt: skip
        lay(rush, PIPELINES)
        rush.connection.close()
        tally = Tally()
        cast = Cast(rush, network, url, workers=plan.workers, slots=plan.slots)
        people = network.proxy(url)
        for proxy in (people, *(actor.proxy for actor in cast.actors)):
            tally.watch(proxy)
        crowd = Crowd(url, people, plan.seed, backlog=plan.backlog)
        nemesis = Nemesis(plan.seed, server, url, cast, people, lease=plan.lease)
        yield Campaign(plan, folder, url, cast, crowd, nemesis, tally)


class Campaign:
    """One campaign."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        url: str,
        cast: Cast,
        crowd: Crowd,
        nemesis: Nemesis,
        tally: Tally,
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._url = url
        self._cast = cast
        self._crowd = crowd
        self._nemesis = nemesis
        self._tally = tally
        self._ground = Ground(url)
        self._looked_at = 0.0
        self._budget: dict[int, int] = {}
        self.report = Report(seed=plan.seed)

    def run(self) -> Report:
        try:
            self._rage()
            self._come_to_rest()
            self._look_at_rest()
            self._end()
            self._read()
        finally:
            self._nemesis.heal()
            self._nemesis.close()
            self._ground.close()
        return self.report

    # What happens ---------------------------------------------------------------------------

    def _rage(self) -> None:
        chance, pace = random.Random(f"pace {self._plan.seed}"), self._plan.pace
        # Everybody is there before anything breaks.
        while self._ground.one("SELECT count(*) FROM rush.worker") < self._plan.workers:
            self._tend()
            time.sleep(0.05)
        self._crowd.start()
        began = strike_at = freeze_at = time.monotonic()
        try:
            while time.monotonic() - began < self._plan.seconds:
                self._tend()
                self._nemesis.undo_due()
                if time.monotonic() >= strike_at:
                    self._nemesis.strike()
                    strike_at = time.monotonic() + chance.uniform(*self._plan.pause) * pace
                if time.monotonic() >= freeze_at:
                    self._nemesis.freeze()
                    freeze_at = time.monotonic() + chance.uniform(*self._plan.freeze_pause) * pace
                time.sleep(0.02)
        finally:
            self._nemesis.heal()
            self._crowd.stop()
        self.report.seconds = time.monotonic() - began

    def _come_to_rest(self) -> None:
        """I15: once all is healed, everything ends within a bound."""
        healed = time.monotonic()
        bound = 90.0 + 4 * self._plan.lease + self._plan.backlog / 10
        while self._ground.one(
            "SELECT (SELECT count(*) FROM rush.run WHERE state = 'Running' OR cancelling)"
            " + (SELECT count(*) FROM rush.run_request WHERE status = 'Pending')"
        ):
            self._tend()
            if time.monotonic() - healed > bound:
                self._say(f"I15 not at rest {bound:g} s after the last fault: {self._live()}")
                break
            time.sleep(0.05)
        self.report.drained_in = time.monotonic() - healed

    def _tend(self) -> None:
        """Start who has been killed, and look at the counts of all runs in one snapshot."""
        now = time.monotonic()
        if now - self._looked_at < 0.5:
            return
        self._looked_at = now
        self._cast.keep_alive(
            dict(
                self._ground.sql(
                    "SELECT name, pid FROM rush.worker WHERE last_seen > started_at + interval '0.1 s'"
                )
            )
        )
        wrong = self._ground.sql(CONSERVATION)
        self.report.snapshots += 1
        if wrong:
            self._say(f"I12 in a snapshot (run, state, open, live, finished): {wrong[:3]}")

    def _look_at_rest(self) -> None:
        """I16: sessions, locks and files, with nothing going on."""
        budget = self._plan.workers * (3 + self._plan.slots)
        sessions = self._ground.sql(
            "SELECT application_name, state, clock_timestamp() - state_change FROM pg_stat_activity"
            " WHERE application_name LIKE 'rush %%' AND datname = current_database()"
        )
        if len(sessions) > budget:
            self._say(f"I16 {len(sessions)} sessions, and {budget} are enough: {sessions}")
        idle = [
            s for s in sessions if (s[1] or "").startswith("idle in") and s[2].total_seconds() > 5
        ]
        if idle:
            self._say(f"I16 idle in transaction: {idle}")
        if locks := self._ground.sql("SELECT * FROM pg_locks WHERE locktype = 'advisory'"):
            self._say(f"I16 advisory locks: {locks}")
        # A runner has about 12, a supervisor about 8 a runner and a few of its own.
        most = 40 + 12 * self._plan.slots
        for actor in self._cast.actors:
            if actor.lives and (files := descriptors(actor.pid)) > most:
                self._say(f"I16 {actor.name} has {files} files open, and {most} are enough")

    def _end(self) -> None:
        """I16, I17: everybody ends when asked, has not ended before, and leaves nobody behind."""
        for actor in self._cast.actors:
            for surprise in actor.surprises:
                self._say(f"I17 {surprise}")
            if problem := actor.end(30):
                self._say(f"I17 {problem}")
        until = time.monotonic() + 5
        while (left := self._cast.left_over()) and time.monotonic() < until:
            time.sleep(0.05)
        if left:
            self._say(f"I16 processes left over: {left}")

    # What is found --------------------------------------------------------------------------

    def _read(self) -> None:
        report = self.report
        for statement in INDEXES.split(";")[:-1]:
            self._ground.sql(statement)
        with psycopg.connect(self._url, autocommit=True) as connection:
            for violation in violations(connection):
                self._say(violation)
        for problem in self._crowd.found_wrong():
            self._say(problem)
        self._tally.read_logs(self._folder / "logs")
        report.server = self._ground.one("SHOW server_version")
        report.faults = {kind: self._nemesis.did[kind] for kind in sorted(self._nemesis.kinds)}
        report.freezes = sum(strike.kind == "freeze" for strike in self._nemesis.strikes)
        report.deaths = self._ground.one("SELECT count(*) FROM chaos.action WHERE what = 'bury'")
        report.people = dict(sorted(self._crowd.did.items()))
        report.runs = self._by_state("SELECT state, count(*) FROM rush.run GROUP BY 1")
        report.attempts = self._by_state(
            "SELECT state || coalesce(' (' || reason || ')', ''), count(*) FROM rush.archive GROUP BY 1"
        )
        report.transactional_effects = self._ground.one(
            "SELECT count(*) FROM public.effect WHERE inside"
        )
        report.refused_stale_writes = _counted(self._tally.refused)
        report.unknown_commits = _counted(self._tally.unknown)
        report.unknown_commits_done = self._tally.done.total()
        report.terms = self._ground.one("SELECT count(*) FROM rush.master_term")
        report.workers_started = sum(actor.starts for actor in self._cast.actors)
        report.unheard_requests = len(self._crowd.unheard)
        report.recovery = self._recoveries()
        self._look_for_secrets()
        if report.violations:
            self._keep_tables()

    def _recoveries(self) -> dict[str, dict[str, float]]:
        times: dict[str, list[float]] = {}
        for strike in self._nemesis.strikes:
            seconds = [self._let_go(strike, *held) for held in strike.held]
            if seconds:
                times.setdefault(f"jobs, {strike.kind}", []).append(max(seconds))
            if strike.led:
                led = self._ground.one(
                    "SELECT extract(epoch FROM min(elected_at) - %s)::float8 FROM rush.master_term"
                    " WHERE elected_at > %s",
                    strike.at,
                    strike.at,
                )
                times.setdefault(f"master, {strike.kind}", []).append(led or 0.0)
        return {kind: _spread(each) for kind, each in sorted(times.items())}

    def _let_go(self, strike: Strike, run: int, job: str, round: int, token: int) -> float:
        """Seconds until it was free for others, or over."""
        return self._ground.one(
            "SELECT coalesce(extract(epoch FROM min(at) - %s)::float8, 0) FROM chaos.event"
            " WHERE run_id = %s AND job = %s AND round = %s AND at > %s"
            " AND (what = 'gone' OR token IS DISTINCT FROM %s)",
            strike.at,
            run,
            job,
            round,
            strike.at,
            token,
        )

    def _look_for_secrets(self) -> None:
        """I18, I19: the password is nowhere that people read, and logs are where they belong."""
        secret = (urlsplit(self._url).password or "").encode()
        for path in self._folder.rglob("*"):
            if path.is_file() and path.parent.name != "jobs" and secret in path.read_bytes():
                self._say(f"I18 the password is in {path.name}")
        for table, column in (("log", "lines"), ("archive", "error"), ("archive", "traceback")):
            if self._ground.one(
                f"SELECT count(*) FROM rush.{table} WHERE strpos({column}, %s) > 0", secret.decode()
            ):
                self._say(f"I18 the password is in {table}.{column}")
        expected = {"rush.toml", "jobs", "logs"}
        strays = [
            path.name for path in self._folder.iterdir()
            if path.name not in expected and path.suffix != ".out"
        ]  # fmt: skip
        if strays:
            self._say(f"I19 files outside of the log folder: {strays}")

    def _keep_tables(self) -> None:
        """What was found wrong can be looked into when the server is gone."""
        tables = ("chaos.event", "chaos.action", "public.effect", "rush.archive", "rush.run",
                  "rush.run_state", "rush.run_request", "rush.worker", "rush.master_term")  # fmt: skip
        with psycopg.connect(self._url) as connection, connection.cursor() as cursor:
            for table in tables:
                statement = f"COPY (SELECT * FROM {table}) TO STDOUT (FORMAT csv, HEADER)"
                with (
                    cursor.copy(statement.encode()) as copy,
                    (self._folder / f"{table}.csv").open("wb") as file,
                ):
                    file.writelines(copy)

    def _by_state(self, statement: str) -> dict[str, int]:
        return dict(sorted(self._ground.sql(statement)))

    def _live(self) -> Any:
        return self._ground.sql(
            "SELECT r.id, r.pipeline, r.state, r.open, r.cancelling, s.job, s.state, s.worker, s.ready_at"
            " FROM rush.run r LEFT JOIN rush.run_state s ON s.run_id = r.id"
            " WHERE r.state = 'Running' OR r.cancelling ORDER BY r.id LIMIT 5"
        )

    def _say(self, violation: str) -> None:
        if len(self.report.violations) < 50:
            self.report.violations.append(violation)


def _spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "times": len(ordered),
        "median": round(statistics.median(ordered), 2),
        "p90": round(ordered[math.ceil(0.9 * len(ordered)) - 1], 2),
        "worst": round(ordered[-1], 2),
    }


def _counted(counter: Counter[str]) -> dict[str, int]:
    return {what: count for what, count in sorted(counter.items()) if count}
