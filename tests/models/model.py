"""
The protocol in plain Python: what the tables must hold after whatever has been said.

It is written from the contract and not from the statements: what a job waits for is a set of
names where the tables count, a run's counts are what there is of it. Where the database may choose
(which of the Ready jobs, which token), the choice is looked at and taken over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rush.domain.records import Claim

POISON_LIMIT = 3
#: In seconds: leases, and how long beyond its deadline a job is left to its own worker.
LEASE, EXPIRY, GRACE = 60.0, 40.0, 5.0
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class JobRule:
    """A job of a definition."""

    before: tuple[str, ...] = ()
    retry_limit: int = 1
    gap: float = 60.0
    timeout: float = 120.0
    priority: int = 0


Graph = Mapping[str, JobRule]

GRAPHS: Mapping[str, Graph] = {
    "chain": {"a": JobRule(), "b": JobRule(("a",), retry_limit=0), "c": JobRule(("b",), gap=0)},
    "diamond": {
        "a": JobRule(gap=0),
        "b": JobRule(("a",), retry_limit=0),
        "c": JobRule(("a",)),
        "d": JobRule(("b", "c")),
    },
    "mixed": {
        "r": JobRule(priority=1, retry_limit=0),
        "s": JobRule(retry_limit=0),
        "t": JobRule(("s",), priority=1),
        "u": JobRule(("r", "t"), retry_limit=0),
        "v": JobRule(("u",)),
    },
}


def successors(graph: Graph, job: str) -> list[str]:
    return [name for name, rule in graph.items() if job in rule.before]


def closure(graph: Graph, jobs: Iterable[str]) -> set[str]:
    """These, and all that come after them."""
    found: set[str] = set()
    todo = list(jobs)
    while todo:
        if (job := todo.pop()) not in found:
            found.add(job)
            todo += successors(graph, job)
    return found


def ancestors(graph: Graph, job: str) -> set[str]:
    return {other for other in graph if other != job and job in closure(graph, [other])}


def handed_on(graph: Graph, job: str) -> str | None:
    """What only this job holds back, where there is nothing else after it."""
    match successors(graph, job):
        case [only] if len(graph[only].before) == 1:
            return only
        case _:
            return None


def ends_chain(graph: Graph, job: str) -> bool:
    """Whether a plain chain ends with it."""
    plain = all(len(r.before) <= 1 and len(successors(graph, n)) <= 1 for n, r in graph.items())
    return plain and sum(not r.before for r in graph.values()) == 1 and not successors(graph, job)


def _is_misshapen(request: Request) -> bool:
    """Whether it is refused whatever there is."""
    if request.action == "cancel":
        return request.instance is None or request.job is not None
    if request.pipeline not in GRAPHS:
        return True
    return request.job is not None and request.job not in GRAPHS[request.pipeline]


class Holder(NamedTuple):
    worker: str
    generation: int
    token: int
    claim_id: int


@dataclass(slots=True)
class Job:
    """A live job."""

    round: int
    state: str
    attempt: int
    ready_at: float
    paused: bool
    retries: int = 0
    losses: int = 0
    given_back: bool = False
    failed_at: float = 0.0
    deadline_at: float = 0.0
    holder: Holder | None = None

    @property
    def begun(self) -> bool:
        return self.state == "Running"

    def let_go(self) -> Holder:
        assert self.holder is not None
        holder, self.holder = self.holder, None
        return holder


class Over(NamedTuple):
    """An attempt that is over."""

    job: str
    round: int
    attempt: int
    state: str
    token: int | None


@dataclass(slots=True)
class Run:
    pipeline: str
    instance: int
    state: str = "Running"
    round: int = 1
    cancelling: bool = False
    live: dict[str, Job] = field(default_factory=dict[str, Job])
    #: Over, and not yet consumed by the master.
    finished: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    #: What a job that is to come still waits for.
    missing: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    #: The rounds that jobs to come will have, and their attempts before.
    rounds: dict[str, int] = field(default_factory=dict[str, int])
    attempts: dict[str, int] = field(default_factory=dict[str, int])
    archive: list[Over] = field(default_factory=list[Over])

    @property
    def graph(self) -> Graph:
        return GRAPHS[self.pipeline]

    @property
    def open(self) -> int:
        return len(self.live) + len(self.finished)

    @property
    def stuck(self) -> int:
        return sum(job.state == "Stuck" for job in self.live.values())

    def rests(self) -> None:
        """It ends, or is Stuck, when nothing else is left of it."""
        if self.state == "Running" and not self.cancelling and self.open == self.stuck:
            self.state = "Stuck" if self.stuck else "Complete"


@dataclass(slots=True)
class Request:
    pipeline: str
    job: str | None
    instance: int | None
    action: str
    status: str = "Pending"
    run: int | None = None

    @property
    def plain(self) -> bool:
        return self.action == "start" and self.job is None and self.instance is None


@dataclass(slots=True)
class Worker:
    generation: int
    slots: int
    pid: int
    state: str
    lease_until: float
    seen: float
    #: Which of the connections its lease was last noted on; "": it is gone.
    session: str


@dataclass(slots=True)
class Token:
    term: int = 0
    holder: str | None = None
    #: 0: it has been resigned.
    until: float = 0.0
    session: str = ""
    #: Sessions that this term's master does not believe to be a sign of death.
    disbelieved: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])


Key = tuple[int, str]


@dataclass
class Model:
    """All that there is."""

    now: float
    term: int
    paused: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(GRAPHS, False))
    all_paused: bool = False
    runs: dict[int, Run] = field(default_factory=dict[int, Run])
    requests: dict[int, Request] = field(default_factory=dict[int, Request])
    keys: dict[str, int] = field(default_factory=dict[str, int])
    workers: dict[str, Worker] = field(default_factory=dict[str, Worker])
    effects: list[int] = field(default_factory=list[int])
    #: A job whose completion is written and not yet committed.
    parked: Key | None = None
    given: set[int] = field(default_factory=set[int])
    #: Tokens that are given out now are above this.
    floor: int = 0
    generations: int = 0

    def __post_init__(self) -> None:
        self.token = Token(self.term)

    # Who is who ---------------------------------------------------------------------------

    def alive(self, name: str, generation: int) -> Worker | None:
        worker = self.workers.get(name)
        if worker is None or worker.generation != generation or worker.state == "Dead":
            return None
        return worker

    def takes(self, name: str, generation: int) -> bool:
        worker = self.alive(name, generation)
        return worker is not None and worker.state == "Alive" and not self.all_paused

    def held_by(self, name: str, generation: int) -> list[tuple[Key, Job]]:
        return [
            (key, job)
            for key, job in self.jobs()
            if job.holder is not None and job.holder[:2] == (name, generation)
        ]

    def jobs(self) -> list[tuple[Key, Job]]:
        return [((n, name), job) for n, run in self.runs.items() for name, job in run.live.items()]

    def of(self, name: str, generation: int, claim: Claim) -> Job | None:
        """The job of a claim, if it is still this worker's."""
        run = self.runs.get(claim.run_id)
        job = run.live.get(claim.job) if run else None
        fence = Holder(name, generation, claim.token, claim.claim_id)
        return job if job and job.round == claim.round and job.holder == fence else None

    def waits(self, name: str, generation: int, claims: Sequence[Claim]) -> bool:
        """Whether a word about these claims waits for a completion that is not committed."""
        return any(
            self.parked == (c.run_id, c.job) and self.of(name, generation, c) for c in claims
        )

    # Workers ------------------------------------------------------------------------------

    def may_register(self, name: str, pid: int, dead_generation: int | None) -> bool:
        old = self.workers.get(name)
        return (
            old is None
            or old.state == "Dead"
            or old.lease_until < self.now
            or old.pid == pid
            or old.generation == dead_generation
        )

    def register(self, name: str, generation: int, slots: int, pid: int, session: str) -> None:
        assert generation > self.generations, "generations rise"
        self.generations = generation
        self.workers[name] = Worker(
            generation, slots, pid, "Alive", self.now + LEASE, self.now, session
        )

    def ready(self, *, given_back: bool = True) -> dict[Key, int]:
        """What may be handed out, with its priority."""
        return {
            (n, name): self.runs[n].graph[name].priority
            for (n, name), job in self.jobs()
            if job.state == "Ready" and job.holder is None and (given_back or not job.given_back)
        }

    def hand_out(self, among: Mapping[Key, int], taken: Mapping[Key, Holder], room: int) -> None:
        """Take over whom the database has chosen: as many as there is room for, urgent ones first."""
        assert len(taken) == min(room, len(among)), (taken, among, room)
        assert taken.keys() <= among.keys()
        left = [among[key] for key in among.keys() - taken.keys()]
        assert not left or not taken or max(left) <= min(among[key] for key in taken)
        for (run, name), holder in taken.items():
            self.give(self.runs[run].live[name], holder)

    def give(self, job: Job, holder: Holder) -> None:
        assert job.holder is None, "a job has one holder"
        assert holder.token > self.floor, "tokens rise"
        assert holder.token not in self.given, "a token is given once"
        assert self.alive(holder.worker, holder.generation), "the dead are given nothing"
        self.given.add(holder.token)
        job.holder = holder

    def step(self, seconds: float) -> None:
        """Time goes on. What is given out from here on has higher tokens than all before."""
        self.now += seconds
        self.floor = max(self.given, default=self.floor)

    # What a worker says ---------------------------------------------------------------------

    def complete(
        self,
        name: str,
        generation: int,
        claims: Sequence[Claim],
        keep: int,
        given: dict[Key, Holder],
    ) -> list[int]:
        """
        These are complete. What is handed on is taken out of what the database has `given`.
        Returns the tokens that are accepted.
        """
        accepted: list[int] = []
        if not self.alive(name, generation):
            return accepted
        follow: list[tuple[int, Run, str]] = []
        for place, claim in enumerate(sorted(claims, key=lambda c: c.key), start=1):
            if (job := self.of(name, generation, claim)) is None:
                continue
            run = self.runs[claim.run_id]
            accepted.append(claim.token)
            self._over(run, claim.job, job, "Complete")
            after = handed_on(run.graph, claim.job)
            first = job.round == 1 and not run.cancelling
            if first and ends_chain(run.graph, claim.job) and run.state == "Running":
                run.rests()
            elif first and after is not None:
                run.missing[after].discard(claim.job)
                follow.append((place, run, after))
            else:
                run.finished.append((claim.job, job.round))
        urgent = max(self.ready().values(), default=-math.inf)
        for place, run, after in follow:
            self._release(run, after, round=1, attempt=0)
            mine = (
                self.takes(name, generation)
                and place <= keep
                and not self.paused[run.pipeline]
                and run.graph[after].priority >= urgent
            )
            if mine:
                self.give(run.live[after], given.pop((self.number(run), after)))
        return accepted

    def fail(
        self, name: str, generation: int, claims: Sequence[Claim], *, cancelled: bool = False
    ) -> list[int]:
        accepted: list[int] = []
        if not self.alive(name, generation):
            return accepted
        for claim in claims:
            if (job := self.of(name, generation, claim)) is None:
                continue
            run = self.runs[claim.run_id]
            accepted.append(claim.token)
            if cancelled:
                self._over(run, claim.job, job, "Cancelled")
            else:
                self._failed(run, claim.job, job, counts=True)
        return accepted

    def mark_running(self, name: str, generation: int, claim: Claim) -> None:
        job = self.of(name, generation, claim)
        if job is not None and job.state == "Ready":
            rule = self.runs[claim.run_id].graph[claim.job]
            job.state, job.attempt = "Running", job.attempt + 1
            job.deadline_at = self.now + rule.timeout

    def give_back(self, name: str, generation: int, claims: Sequence[Claim]) -> int:
        given = 0
        for claim in claims:
            if (job := self.of(name, generation, claim)) is not None:
                given += 1
                job.let_go()
                job.attempt -= job.begun
                job.given_back = True
                self._ready_or_waiting(self.runs[claim.run_id], job)
        return given

    def complete_within(self, claim: Claim) -> None:
        """The completion is committed together with what the job wrote."""
        run = self.runs[claim.run_id]
        job = run.live[claim.job]
        self._over(run, claim.job, job, "Complete")
        run.finished.append((claim.job, job.round))
        self.effects.append(claim.token)

    # What the master does ---------------------------------------------------------------------

    def release(self) -> None:
        for run in self.runs.values():
            taken, run.finished = run.finished, []
            if not taken or run.state != "Running":
                continue
            rounds: dict[str, int] = {}
            for job, round in taken:
                for after in successors(run.graph, job):
                    run.missing[after].discard(job)
                    rounds[after] = max(round, rounds.get(after, 0))
            for after, round in rounds.items():
                if run.missing[after]:
                    run.rounds[after] = max(round, run.rounds.get(after, 0))
                    continue
                if len(run.graph[after].before) > 1:
                    round = max(round, run.rounds.get(after, 0))
                attempt = run.attempts.get(after, 0) if round > 1 else 0
                if run.cancelling:
                    run.archive.append(Over(after, round, attempt, "Cancelled", None))
                else:
                    self._release(run, after, round=round, attempt=attempt)
            run.rests()

    def fail_overdue(self) -> None:
        for (number, name), job in self.jobs():
            if job.begun and job.deadline_at < self.now - GRACE and self.parked != (number, name):
                self._failed(self.runs[number], name, job, counts=False)

    def bury(self, generations: Mapping[str, int]) -> None:
        """Whose lease is over is dead, and whose session alone has gone. Death raises generations."""
        gone = {
            (name, worker.generation)
            for name, worker in self.workers.items()
            if worker.state != "Dead" and not worker.session
        }
        if len(gone) > 1:
            self.token.disbelieved = gone
        else:
            self.token.disbelieved &= gone
        for name, worker in self.workers.items():
            signed = (name, worker.generation) in gone - self.token.disbelieved
            if worker.state != "Dead" and (worker.lease_until < self.now or signed):
                assert generations[name] > self.generations, "generations rise"
                worker.state, worker.generation = "Dead", generations[name]
        self.generations = max([self.generations, *generations.values()])
        self._inherit()

    def _inherit(self) -> None:
        for (number, name), job in self.jobs():
            if job.holder is None or self.parked == (number, name):
                continue
            if self.alive(job.holder.worker, job.holder.generation):
                continue
            run = self.runs[number]
            job.losses += 1
            job.given_back = True
            if job.begun or job.losses >= POISON_LIMIT:
                self._failed(run, name, job, counts=False)
            else:
                job.let_go()
                self._ready_or_waiting(run, job)

    def forget_dead(self) -> None:
        holders = {job.holder.worker for _, job in self.jobs() if job.holder}
        for name, worker in list(self.workers.items()):
            old = worker.state == "Dead" and worker.seen < self.now - DAY
            if old and name not in holders:
                del self.workers[name]

    def retry(self) -> None:
        for (number, name), job in self.jobs():
            run = self.runs[number]
            if job.state != "Failed" or run.cancelling:
                continue
            rule = run.graph[name]
            if job.retries < rule.retry_limit and job.losses < POISON_LIMIT:
                job.state, job.retries = "Waiting", job.retries + 1
                job.ready_at = job.failed_at + rule.gap
                job.paused = self.paused[run.pipeline]
            else:
                job.state = "Stuck"
        for run in self.runs.values():
            if run.stuck:
                run.rests()

    def wake(self) -> None:
        for _, job in self.jobs():
            if job.state == "Waiting" and not job.paused and job.ready_at <= self.now:
                job.state = "Ready"

    def apply_pauses(self) -> None:
        for (number, _), job in self.jobs():
            if not self.paused[self.runs[number].pipeline]:
                job.paused = False
            elif job.state in ("Ready", "Waiting") and job.holder is None and not job.paused:
                job.state, job.paused = "Waiting", True

    def sweep(self) -> None:
        for run in self.runs.values():
            if not run.cancelling:
                continue
            for name in [name for name, job in run.live.items() if job.holder is None]:
                job = run.live.pop(name)
                run.archive.append(Over(name, job.round, job.attempt, "Cancelled", None))
            if not run.open:
                run.state, run.cancelling = "Cancelled", False

    def seats(self) -> dict[str, int]:
        """The free slots of the workers that take jobs."""
        return {
            name: max(0, worker.slots - len(self.held_by(name, worker.generation)))
            for name, worker in self.workers.items()
            if self.takes(name, worker.generation)
        }

    def is_next(self, name: str, generation: int) -> bool:
        """Whether what is made now may be this worker's: no other one has a free slot."""
        others = [free for other, free in self.seats().items() if other != name]
        return self.takes(name, generation) and not any(others)

    # Requests -----------------------------------------------------------------------------

    def pending(self) -> dict[int, Request]:
        return {
            n: self.requests[n]
            for n in sorted(self.requests)
            if self.requests[n].status == "Pending"
        }

    def run_of(self, request: Request) -> tuple[int, Run] | None:
        for number, run in self.runs.items():
            if (run.pipeline, run.instance) == (request.pipeline, request.instance):
                return number, run
        return None

    def last(self, pipeline: str) -> int:
        return max((r.instance for r in self.runs.values() if r.pipeline == pipeline), default=0)

    def number(self, run: Run) -> int:
        return next(number for number, other in self.runs.items() if other is run)

    def admit_plain(self, made: Mapping[int, int]) -> bool:
        """
        The plain requests at the head of the line become runs, `made` of requests. Whether these
        are all that there are.
        """
        for number, request in self.pending().items():
            if not request.plain or request.pipeline not in GRAPHS:
                return False
            request.instance = self.last(request.pipeline) + 1
            self._begin(number, request, made[number])
        return bool(made)

    def take(self, made: Mapping[int, int], numbers: Mapping[int, int]) -> None:
        """Judge each request; of several about one run, the first. `numbers` are what runs are called."""
        batch = self.pending()
        about = [(request.pipeline, request.instance) for request in batch.values()]
        verdicts = [
            (number, request, self.run_of(request), self._judge(request))
            for at, (number, request) in enumerate(batch.items())
            if request.instance is None or about[at] not in about[:at] or _is_misshapen(request)
        ]
        for number, request, _, verdict in verdicts:
            if verdict == "start":
                given = numbers[number]
                assert request.instance in (None, given)
                assert request.instance is not None or given > self.last(request.pipeline)
                request.instance = given
                self._begin(number, request, made[number])
        for _, request, found, verdict in verdicts:
            if verdict == "refuse":
                request.status, request.run = "Rejected", found and found[0]
            elif found is not None:
                request.status, request.run = "Accepted", found[0]
                if verdict == "cancel":
                    found[1].cancelling = True
                else:
                    found[1].state, found[1].round = "Running", found[1].round + 1
                    self._open_round(found[1], request.job)

    def _judge(self, request: Request) -> str:
        found = self.run_of(request)
        run = found and found[1]
        if _is_misshapen(request):
            return "refuse"
        if request.action == "cancel":
            return "cancel" if run and run.state in ("Running", "Stuck") else "refuse"
        if run is None:
            return "start"
        stuck = request.job in run.live and run.live[request.job].state == "Stuck"
        if run.cancelling or (run.state == "Running" and not stuck):
            return "refuse"
        if request.job is not None and ancestors(run.graph, request.job) & run.live.keys():
            return "refuse"
        return "again"

    def _begin(self, number: int, request: Request, run_id: int) -> None:
        assert run_id not in self.runs
        request.status, request.run = "Accepted", run_id
        assert request.instance is not None
        run = self.runs[run_id] = Run(request.pipeline, request.instance)
        run.missing = {name: set(rule.before) for name, rule in run.graph.items()}
        if request.job is not None:
            self._open_round(run, request.job)
            return
        for name, rule in run.graph.items():
            if not rule.before:
                self._release(run, name, round=1, attempt=0)

    def _open_round(self, run: Run, start: str | None) -> None:
        graph = run.graph
        unmet = closure(graph, [*run.live, *(name for name, _ in run.finished)])
        stopped = [
            n for n in graph if run.round > 1 and self._was_cancelled(run, n) and n not in unmet
        ]
        affected = closure(graph, [*(graph if start is None else [start]), *stopped])
        for name in affected:
            run.live.pop(name, None)
            run.missing[name] = set(graph[name].before) & (affected | unmet)
            run.rounds[name] = run.round
            begun = [over.attempt for over in run.archive if over.job == name]
            run.attempts[name] = max(begun, default=0) if run.round > 1 else 0
        for name in graph:
            if name in affected and not run.missing[name]:
                self._release(run, name, round=run.round, attempt=run.attempts[name])
            elif name not in affected and run.round == 1:
                run.archive.append(Over(name, 1, 0, "Skipped", None))

    def _was_cancelled(self, run: Run, name: str) -> bool:
        """Whether the last that is known of a job is that it was stopped."""
        ends = [over for over in run.archive if over.job == name]
        newest = max((over.round for over in ends), default=0)
        states = [over.state for over in ends if over.round == newest]
        return states[-1:] == ["Cancelled"]

    # A job's steps ------------------------------------------------------------------------

    def _release(self, run: Run, name: str, *, round: int, attempt: int) -> None:
        assert name not in run.live, "a job is released once"
        job = Job(round, "Ready", attempt, self.now, False)
        self._ready_or_waiting(run, job)
        run.live[name] = job

    def _ready_or_waiting(self, run: Run, job: Job) -> None:
        job.paused = self.paused[run.pipeline]
        job.state = "Waiting" if job.paused else "Ready"

    def _over(self, run: Run, name: str, job: Job, state: str) -> None:
        token = job.let_go().token
        attempt = job.attempt + (not job.begun)
        run.archive.append(Over(name, job.round, attempt, state, token))
        del run.live[name]

    def _failed(self, run: Run, name: str, job: Job, *, counts: bool) -> None:
        """`counts`: an attempt that nobody has marked as begun has been one all the same."""
        token = job.let_go().token
        job.attempt += counts and not job.begun
        run.archive.append(Over(name, job.round, job.attempt, "Failed", token))
        job.state, job.failed_at, job.paused = "Failed", self.now, False
