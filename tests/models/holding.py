"""
Two workers and a job: holding, reporting and dying alone, as small as they can be.

The first worker may be started again under its name while its first process is frozen, and
the server may fail over to a standby that lacks the last commits. A worker's transaction
begins (it looks, and takes its locks) and commits; in between, and between what somebody
knows and what he does, anything may happen.

Guards that are left out are named in `without`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

NOT_HELD = "somebody has reported what he did not hold"
DEAD = "a dead worker has written"
TWICE = "a token was begun twice"
TAKEN = "a job was taken from its holder"

GUARDS = {
    "a report names its attempt": NOT_HELD,
    "a deadline passes by a report that is under way": NOT_HELD,
    "a report looks whether its worker is alive": DEAD,
    "a claim looks whether its worker is alive": DEAD,
    "a transaction holds KEY SHARE on its worker": DEAD,
    "a registration raises the generation": TWICE,
    "a claim takes only what is free": TAKEN,
    "a claim passes by what is locked": TAKEN,
}

#: Needed only when a standby takes over that has not heard all: sequences go back then.
FAILOVER_GUARDS = {"an attempt has a random claim id": NOT_HELD}


class Hold(NamedTuple):
    """What the job's row says of its holder."""

    name: int
    generation: int
    token: int
    claim_id: int


class Database(NamedTuple):
    """What is committed."""

    #: Of each name: its generation, and whether it is alive.
    workers: tuple[tuple[int, bool], tuple[int, bool]] = ((1, True), (2, True))
    generation: int = 2
    token: int = 0
    hold: Hold | None = None
    over: bool = False


class Process(NamedTuple):
    """A worker's process, and what it believes."""

    name: int
    generation: int
    runs: Hold | None = None
    #: What it has begun last: it begins nothing twice.
    known: Hold | None = None
    #: What has ended, and is still to be reported.
    says: Hold | None = None
    #: Its open transaction: "claim", "report" or nothing.
    doing: str = ""


class World(NamedTuple):
    database: Database
    processes: tuple[Process, ...]
    begun: frozenset[int] = frozenset()
    claims: int = 0
    #: What a standby has heard.
    standby: Database | None = None
    #: What must never be, said when it has happened.
    wrong: str | None = None


def begin() -> World:
    return World(Database(), (Process(0, 1), Process(1, 2)))


def what_is_wrong(world: World) -> str | None:
    return world.wrong


class Rules:
    """What may happen next, with one guard left out, or none."""

    def __init__(self, without: str = "", *, failover: bool = False) -> None:
        assert without in ("", *GUARDS, *FAILOVER_GUARDS)
        self._without = without
        self._failover = failover

    def __call__(self, world: World) -> Iterator[tuple[str, World]]:
        for at, process in enumerate(world.processes):
            for event, after, changed in self._of(world, process):
                processes = (*after.processes[:at], changed, *after.processes[at + 1 :])
                yield f"{event} ({at})", after._replace(processes=processes)
        yield from self._master(world)
        if len(world.processes) == 2 and not self._worker_is_locked(world, 0):
            database = self._registered(world.database, 0)
            again = Process(0, database.workers[0][0])
            yield (
                "the first worker is started again",
                world._replace(database=database, processes=(*world.processes, again)),
            )
        if self._failover:
            yield from self._fail_over(world)

    def _guarded(self, guard: str) -> bool:
        return guard != self._without

    # Workers ------------------------------------------------------------------------------

    def _of(self, world: World, process: Process) -> Iterator[tuple[str, World, Process]]:
        if process.doing == "claim":
            yield from self._commit_claim(world, process)
        elif process.doing == "report":
            yield from self._commit_report(world, process)
        else:
            yield from self._begin_claim(world, process)
            yield from self._begin_report(world, process)
            yield from self._look(world, process)
            yield from self._register_anew(world, process)
        if process.runs is not None:
            yield "has run it", world, process._replace(runs=None, says=process.runs)

    def _begin_claim(self, world: World, process: Process) -> Iterator[tuple[str, World, Process]]:
        database = world.database
        if database.over or process.runs is not None:
            return
        if self._guarded("a claim looks whether its worker is alive") and not alive(world, process):
            return
        if self._guarded("a claim takes only what is free") and database.hold is not None:
            return
        if self._guarded("a claim passes by what is locked") and self._job_is_locked(world):
            return
        yield "begins to claim", world, process._replace(doing="claim")

    def _commit_claim(self, world: World, process: Process) -> Iterator[tuple[str, World, Process]]:
        wrong = self._written(world, process)
        if world.database.hold is not None:
            wrong = TAKEN
        database = world.database
        token = database.token + 1
        hold = Hold(process.name, process.generation, token, world.claims)
        after = world._replace(
            database=database._replace(hold=hold, token=token), claims=world.claims + 1, wrong=wrong
        )
        # Heard or not: it takes what it finds when it looks.
        yield "has claimed", after, process._replace(doing="")

    def _look(self, world: World, process: Process) -> Iterator[tuple[str, World, Process]]:
        """It reads what it holds, and begins what it has not begun."""
        hold = world.database.hold
        if hold is None or process.runs is not None or process.known == hold:
            return
        if (hold.name, hold.generation) != (process.name, process.generation):
            return
        # After a failover what was begun may have to be begun again.
        wrong = TWICE if hold.token in world.begun and not self._failover else None
        after = world._replace(begun=world.begun | {hold.token}, wrong=wrong)
        yield "begins to run", after, process._replace(runs=hold, known=hold)

    def _begin_report(self, world: World, process: Process) -> Iterator[tuple[str, World, Process]]:
        said = process.says
        if said is None or self._job_is_locked(world):
            return
        looks = self._guarded("a report looks whether its worker is alive")
        if (alive(world, process) or not looks) and self._matches(world.database.hold, said):
            yield "begins to report", world, process._replace(doing="report")
        else:
            yield "is refused", world, process._replace(says=None)

    def _commit_report(
        self, world: World, process: Process
    ) -> Iterator[tuple[str, World, Process]]:
        wrong = self._written(world, process)
        if world.database.hold != process.says:
            wrong = NOT_HELD
        after = world._replace(database=world.database._replace(hold=None, over=True), wrong=wrong)
        done = process._replace(doing="")
        yield "has reported", after, done._replace(says=None)
        yield "has reported, unheard", after, done

    def _register_anew(
        self, world: World, process: Process
    ) -> Iterator[tuple[str, World, Process]]:
        if world.database.workers[process.name][1]:
            return
        database = self._registered(world.database, process.name)
        anew = Process(process.name, database.workers[process.name][0])
        yield "registers anew", world._replace(database=database), anew

    def _matches(self, hold: Hold | None, said: Hold) -> bool:
        if hold is None or not self._guarded("a report names its attempt"):
            return hold is not None and hold[:2] == said[:2]
        if not self._guarded("an attempt has a random claim id"):
            return hold[:3] == said[:3]
        return hold == said

    def _written(self, world: World, process: Process) -> str | None:
        return None if alive(world, process) else DEAD

    # The master, and people ------------------------------------------------------------------

    def _master(self, world: World) -> Iterator[tuple[str, World]]:
        database = world.database
        for name in (0, 1):
            if database.workers[name][1] and not self._worker_is_locked(world, name):
                dead = _worker(database, name, database.generation + 1, alive=False)
                hold = database.hold
                if hold is not None and hold.name == name and not self._job_is_locked(world):
                    dead = dead._replace(hold=None)
                yield f"worker {name} is declared dead", world._replace(database=dead)
        if database.hold is None:
            return
        locked = self._job_is_locked(world)
        freed = world._replace(database=database._replace(hold=None))
        if not locked or not self._guarded("a deadline passes by a report that is under way"):
            yield "its deadline has passed", freed
        if not locked and database.workers[database.hold.name] != (database.hold.generation, True):
            yield "what nobody alive holds is taken back", freed

    def _registered(self, database: Database, name: int) -> Database:
        raises = self._guarded("a registration raises the generation")
        generation = database.generation + 1 if raises else database.workers[name][0]
        return _worker(database, name, generation, alive=True)

    def _fail_over(self, world: World) -> Iterator[tuple[str, World]]:
        if world.standby is None:
            yield "a standby hears all so far", world._replace(standby=world.database)
        elif world.standby != world.database:
            cut = tuple(process._replace(doing="") for process in world.processes)
            yield (
                "the standby takes over",
                world._replace(database=world.standby, processes=cut),
            )

    # Locks ------------------------------------------------------------------------------

    def _job_is_locked(self, world: World) -> bool:
        return any(process.doing for process in world.processes)

    def _worker_is_locked(self, world: World, name: int) -> bool:
        if not self._guarded("a transaction holds KEY SHARE on its worker"):
            return False
        return any(process.doing and process.name == name for process in world.processes)


def alive(world: World, process: Process) -> bool:
    return world.database.workers[process.name] == (process.generation, True)


def _worker(database: Database, name: int, generation: int, *, alive: bool) -> Database:
    first, second = database.workers
    this = (generation, alive)
    return database._replace(
        workers=(this, second) if name == 0 else (first, this),
        generation=max(database.generation, generation),
    )
