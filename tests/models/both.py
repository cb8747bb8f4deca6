"""
The database and its model, side by side: each word is said to both, what comes back is what the
model expects, and afterwards the tables hold what the model says.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import psycopg
import pytest

from rush.client import Client
from rush.domain.records import Claim, Outcome, OutcomeState
from rush.domain.states import JobState, allowed
from rush.errors import RefusedError
from rush.master import assign, finish, requests, retries, waiting
from rush.master.tasks import Round
from rush.master.timeouts import Timeouts
from rush.store import held, master_token, pipelines, workers
from rush.store import requests as asking
from rush.store.master_token import TermOver
from rush.store.workers import Identity, Registration
from tests.models.model import (
    EXPIRY,
    GRACE,
    LEASE,
    POISON_LIMIT,
    Holder,
    Key,
    Model,
    Request,
    Token,
)
from tests.models.world import Tables, World
from tests.support.kernel import attempt_of, outcome


class Held(NamedTuple):
    """A claim, and who got it."""

    who: Registration
    claim: Claim


class Report(NamedTuple):
    """What a worker says in one go, once or again."""

    who: Registration
    outcomes: tuple[Outcome, ...]
    want: int
    claim_id: int


class Term(NamedTuple):
    """A term, who holds it, and what its master remembers."""

    number: int
    holder: Registration
    timeouts: Timeouts


class Both:
    """All verbs. Time goes on a little with each, so that no two things are at one instant."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.empty()
        self.model = Model(world.dawn, world.read().token[0])
        self.model.generations = world.last("generation")
        self.model.floor = world.last("token")
        #: Every term so far, and every claim by its token.
        self.terms: list[Term] = []
        self.claims: dict[int, Held] = {}
        #: Whose completion is written and not yet committed.
        self.parked: Held | None = None
        #: Whether the last word came out as the model has it.
        self.agree = False
        self._payloads: dict[str, tuple[str, int]] = {}
        self._claim_ids = itertools.count(1)
        self._states: dict[tuple[int, str, int], str] = {}
        self._deaths = 0

    def wait(self, seconds: float) -> None:
        self.agree = False
        self.model.step(seconds + 0.01)
        self.world.set_clock(self.model.now)

    # People -----------------------------------------------------------------------------------

    def ask(
        self,
        pipeline: str,
        job: str | None = None,
        instance: int | None = None,
        action: str = "start",
    ) -> None:
        self.wait(0)
        asked = asking.submit(
            self.world.first, pipeline=pipeline, job=job, jobinstance=instance, action=action
        )
        assert asked is not None
        self.model.requests[asked] = Request(pipeline, job, instance, action)

    def ask_with_a_key(self, key: str, pipeline: str, value: int) -> None:
        self.wait(0)
        client = Client(self.world.connection)
        payload = (pipeline, value)
        if self._payloads.get(key, payload) != payload:
            with pytest.raises(RefusedError):
                client.submit(pipeline, params={"x": value}, idempotency_key=key)
            return
        asked = client.submit(pipeline, params={"x": value}, idempotency_key=key).request_id
        assert asked is not None
        if key in self.model.keys:
            assert asked == self.model.keys[key], "the same key is the same request"
            return
        self.model.keys[key] = asked
        self._payloads[key] = payload
        self.model.requests[asked] = Request(pipeline, None, None, "start")

    def pause(self, pipeline: str | None, paused: bool) -> None:
        """One pipeline, or all of them."""
        self.wait(0)
        if pipeline is None:
            pipelines.set_all_paused(self.world.first, paused)
            self.model.all_paused = paused
        else:
            pipelines.set_paused(self.world.first, pipeline, paused)
            self.model.paused[pipeline] = paused

    # A worker, of itself ------------------------------------------------------------------------

    def register(
        self,
        name: str,
        session: str = "first",
        *,
        slots: int,
        pid: int = 1,
        dead_generation: int | None = None,
    ) -> Registration | None:
        self.wait(0)
        session = self.free(session)
        identity = Identity(
            name=name,
            slots=slots,
            queues=("default",),
            host="here",
            boot_id="boot",
            pid=pid,
            version="0",
            code=None,
        )
        may = self.model.may_register(name, pid, dead_generation)
        who = workers.register(
            self.world.session(session), identity, lease=LEASE, dead_generation=dead_generation
        )
        assert (who is not None) == may
        if who is not None:
            self.model.register(name, who.generation, slots, pid, session)
        return who

    def heartbeat(self, who: Registration, session: str = "first") -> None:
        self.wait(0)
        row = workers.heartbeat(
            self.world.session(self.free(session)), who, lease=LEASE, progress={}
        )
        worker = self.model.alive(who.name, who.generation)
        assert (row is not None) == (worker is not None)
        if worker is not None:
            worker.lease_until, worker.seen = self.model.now + LEASE, self.model.now

    def note_session(self, who: Registration, session: str) -> None:
        """It has connected again."""
        self.wait(0)
        session = self.free(session)
        workers.note_session(self.world.session(session), who)
        worker = self.model.workers.get(who.name)
        if worker is not None and worker.generation == who.generation:
            worker.session = session

    def drain(self, who: Registration, session: str) -> None:
        self.wait(0)
        workers.drain(self.world.session(self.free(session)), who.name, who.generation)
        worker = self.model.alive(who.name, who.generation)
        if worker is not None:
            worker.state = "Draining"

    def leave(self, who: Registration, session: str) -> None:
        self.wait(0)
        workers.leave(self.world.session(self.free(session)), who)
        worker = self.model.workers.get(who.name)
        if worker is not None and worker.generation == who.generation:
            del self.model.workers[who.name]

    # A worker, of what it holds -----------------------------------------------------------------

    def report(self, said: Report, *, idle: bool = True) -> list[Held]:
        """Outcomes, and what is wanted then. Returns what was got; nothing where it had to wait."""
        self.wait(0)
        model, who = self.model, said.who
        name, generation = who.name, who.generation
        claims = {state: claims_of(said, state) for state in ("Complete", "Failed", "Cancelled")}
        held_before = self._held(who)

        answer = self._say(
            who,
            [o.claim for o in said.outcomes] if model.alive(name, generation) else [],
            lambda: held.report(
                self.world.first,
                who,
                said.outcomes,
                keep=said.want,
                want=said.want,
                idle=idle,
                claim_id=said.claim_id,
            )(),
        )
        if answer is None:
            return []

        given = self._given()
        accepted = model.fail(name, generation, claims["Failed"])
        accepted += model.fail(name, generation, claims["Cancelled"], cancelled=True)
        accepted += model.complete(name, generation, claims["Complete"], said.want, given)
        refused = {o.claim.token for o in said.outcomes} - set(accepted)
        assert sorted(answer.refused) == sorted(refused)
        self.world.tally["outcomes accepted"] += len(accepted)
        self.world.tally["outcomes refused"] += len(refused)

        room = said.want - sum(holder.claim_id == said.claim_id for _, holder in self._held(who))
        if not model.takes(name, generation):
            room = 0
        model.hand_out(model.ready(given_back=idle), given, max(0, room))
        assert known(who, answer.claims) == self._held(who) - held_before
        return self._kept(who, answer.claims)

    def say(self, about: Held, state: OutcomeState, *, want: int = 0) -> list[Held]:
        """One outcome."""
        return self.report(self.written(about.who, [outcome(about.claim, state)], want))

    def claim(self, who: Registration, want: int, *, idle: bool = True) -> list[Held]:
        return self.report(self.written(who, [], want), idle=idle)

    def written(self, who: Registration, outcomes: Sequence[Outcome], want: int) -> Report:
        """A report that nobody has heard yet."""
        return Report(who, tuple(outcomes), want, next(self._claim_ids))

    def look(self, who: Registration) -> list[Held]:
        """What it holds: that is how a worker gets what the master has assigned."""
        self.wait(0)
        found = held.held(self.world.first, who)
        assert known(who, found) == self._held(who)
        return self._kept(who, found)

    def begin(self, about: Held) -> None:
        """A runner has begun it."""
        self.wait(0)
        who, claim = about
        job = self.model.of(who.name, who.generation, claim)

        def word() -> bool:
            held.mark_running(self.world.first, who, [(claim, time.monotonic())])
            return True

        # What runs already is not marked again, and so waits for nobody.
        if self._say(who, [claim] if job and not job.begun else [], word):
            self.model.mark_running(who.name, who.generation, claim)

    def give_back(self, who: Registration, claims: Sequence[Claim]) -> None:
        self.wait(0)
        given = self._say(who, claims, lambda: held.give_back(self.world.first, who, claims))
        if given is not None:
            assert given == self.model.give_back(who.name, who.generation, claims)

    def complete_within(self, about: Held, *, commits: bool) -> None:
        self.wait(0)
        mine = self.holds(about)
        with self.world.second.connection.transaction():
            assert self._write_and_complete(about) == mine
            if not (mine and commits):
                raise psycopg.Rollback
        if mine and commits:
            self.model.complete_within(about.claim)

    def park(self, about: Held) -> None:
        """All is written, and not committed: everything else goes on around it."""
        if not self.holds(about):
            return
        self.wait(0)
        self.world.second.connection.execute("BEGIN")
        assert self._write_and_complete(about)
        self.parked = about
        self.model.parked = (about.claim.run_id, about.claim.job)

    def commit_parked(self) -> None:
        self.wait(0)
        assert self.parked is not None
        self.world.second.connection.execute("COMMIT")
        self.model.complete_within(self.parked.claim)
        self.parked = self.model.parked = None

    def kill(self, session: str) -> None:
        """A session ends, with what is parked on it, and as a sign of its workers' death."""
        self.wait(0)
        self.world.kill(session)
        if session == "second":
            self.parked = self.model.parked = None
        for each in (*self.model.workers.values(), self.model.token):
            if each.session == session:
                each.session = ""

    # A master ---------------------------------------------------------------------------------

    def elect(self, who: Registration, *, believes_gone: bool = False) -> Term | None:
        self.wait(0)
        token, worker = self.model.token, self.model.alive(who.name, who.generation)
        free = token.until < self.model.now or (believes_gone and not token.session)
        may = worker is not None and worker.state == "Alive" and free
        gone_term = token.term if believes_gone else None
        number = master_token.elect(self.world.first, who, expiry=EXPIRY, gone_term=gone_term)
        assert number == (token.term + 1 if may else None), "terms rise, and have one holder"
        if number is None:
            return None
        self.model.token = Token(number, who.name, self.model.now + EXPIRY, "first")
        timeouts = Timeouts(
            grace=GRACE,
            poison_limit=POISON_LIMIT,
            gone_for=0.0,
            outage_grace=0.0,
            in_contact_since=0.0,
        )
        self.terms.append(Term(number, who, timeouts))
        return self.terms[-1]

    def renew(self, term: Term) -> None:
        self.wait(0)
        token = self.model.token
        mine = term.number == token.term and token.until >= self.model.now
        assert master_token.renew(self.world.first, term.holder, term.number, expiry=EXPIRY) == mine
        if mine:
            token.until, token.session = self.model.now + EXPIRY, "first"

    def resign(self, term: Term) -> None:
        self.wait(0)
        master_token.resign(self.world.first, term.holder, term.number)
        if term.number == self.model.token.term:
            self.model.token.until = 0.0

    def bury(self, term: Term) -> None:
        if self._acts(term, term.timeouts.bury):
            before = self._dead()
            self.model.bury({row[0]: row[1] for row in self.world.read().workers})
            self._deaths += self._dead() - before

    def release(self, term: Term) -> None:
        if self._acts(term, finish.release):
            self.model.release()

    def sweep(self, term: Term) -> None:
        if self._acts(term, finish.sweep):
            self.model.sweep()

    def fail_overdue(self, term: Term) -> None:
        if self._acts(term, term.timeouts.fail_overdue):
            self.model.fail_overdue()

    def retry(self, term: Term) -> None:
        if self._acts(term, lambda round: retries.retry(round, poison_limit=POISON_LIMIT)):
            self.model.retry()

    def decide(self, term: Term, own: Registration | None = None, room: int = 0) -> list[Held]:
        """Judge the requests. What is new may be handed to the master's own worker at once."""
        handed: list[Claim] = []

        def judge(round: Round) -> None:
            round.own, round.room = own, room
            all_plain = requests.admit(round)
            handed.extend(each.claim for each in round.handed)
            if not all_plain:
                requests.take(round)

        before = self.model.ready()
        open_to = own is not None and not before and self.model.is_next(own.name, own.generation)
        if not self._acts(term, judge):
            assert not handed
            return []
        rows = self.world.read().requests
        made = {row[0]: row[2] for row in rows if row[1] == "Accepted"}
        all_plain = self.model.admit_plain(made)
        new = {key: rank for key, rank in self.model.ready().items() if key not in before}
        self.model.hand_out(new, self._given(), room if open_to else 0)
        if not all_plain:
            self.model.take(made, {row[0]: row[3] for row in rows})
        if own is None:
            return []
        self.world.tally["first jobs handed to the master's own worker"] += len(handed)
        return self._kept(own, handed)

    def apply_pauses(self, term: Term) -> None:
        if self._acts(term, waiting.Pauses().apply):
            self.model.apply_pauses()

    def wake(self, term: Term) -> None:
        if self._acts(term, waiting.wake):
            self.model.wake()

    def assign(self, term: Term) -> None:
        ready, seats = self.model.ready(), self.model.seats()
        if self._acts(term, assign.assign):
            given = self._given()
            self.model.hand_out(ready, given, sum(seats.values()))
            for name, free in seats.items():
                assert sum(holder.worker == name for holder in given.values()) <= free

    def forget_dead(self, term: Term) -> None:
        if self._acts(term, _forget_dead):
            self.model.forget_dead()

    # What there is ------------------------------------------------------------------------------

    def holds(self, about: Held) -> bool:
        return self.model.of(about.who.name, about.who.generation, about.claim) is not None

    def current(self) -> list[Held]:
        """The claims that hold something now, as far as anybody has heard of them."""
        tokens = [job.holder.token for _, job in self.model.jobs() if job.holder]
        return [self.claims[token] for token in tokens if token in self.claims]

    def is_at_rest(self) -> bool:
        """Whether all that was asked for is decided, and has ended."""
        runs = self.model.runs.values()
        going = [run for run in runs if run.state == "Running" or run.cancelling]
        return not going and not self.model.pending()

    def free(self, session: str) -> str:
        """That session, or the one on which nothing is parked."""
        return "first" if self.parked else session

    def check(self) -> None:
        """The tables hold what the model says."""
        model, tables = self.model, self.world.read()
        runs = model.runs.items()
        same_rows(
            "runs",
            ((n, r.pipeline, r.instance, r.state, r.round, r.cancelling) for n, r in runs),
            ((*row[:5], row[7]) for row in tables.runs),
        )
        # What is swept from a run that is being cancelled is not counted any more.
        same_rows(
            "open and stuck",
            ((n, run.open, run.stuck) for n, run in runs if not run.cancelling),
            ((row[0], *row[5:7]) for row in tables.runs if not row[7]),
        )
        self._check_jobs(tables)
        archive = ((n, *over) for n, run in runs for over in run.archive)
        finished = ((n, *each) for n, run in runs for each in run.finished)
        asked = ((n, r.status, r.run) for n, r in model.requests.items())
        entered = ((n, w.generation, w.state) for n, w in model.workers.items())
        same_rows("archive", archive, tables.archive)
        same_rows("finished", finished, tables.finished)
        same_rows("requests", asked, (row[:3] for row in tables.requests))
        same_rows("workers", entered, (row[:3] for row in tables.workers))
        for name, _, _, lease_until in tables.workers:
            assert same_time(lease_until, model.workers[name].lease_until)
        term, holder, until = tables.token
        assert (term, holder) == (model.token.term, model.token.holder)
        assert same_time(until, model.token.until)
        assert sorted(tables.effects) == sorted(model.effects)
        self.agree = True

    def _check_jobs(self, tables: Tables) -> None:
        jobs = self.model.jobs()
        nobody = (None, None, None, None)
        modelled = (
            (*key, j.round, j.state, j.attempt, j.retries, j.losses, j.paused, j.given_back)
            + (j.holder or nobody)
            for key, j in jobs
        )
        same_rows("jobs", modelled, (row[:13] for row in tables.jobs))
        times = {(row[0], row[1]): row[13:] for row in tables.jobs}
        for key, job in jobs:
            ready_at, deadline_at = times[key]
            assert same_time(ready_at, job.ready_at), key
            assert not job.begun or same_time(deadline_at, job.deadline_at), key
        # Counts that are still to come down.
        going = {n for n, r in self.model.runs.items() if r.state == "Running" and not r.cancelling}
        counts = [row for row in tables.counts if row[2] and row[0] in going]
        missing = ((n, job, len(self.model.runs[n].missing[job])) for n, job, _ in counts)
        same_rows("counts", missing, counts)
        self._check_steps()

    def _check_steps(self) -> None:
        """From state to state only as the list of transitions has it."""
        now = {(n, name, job.round): job.state for (n, name), job in self.model.jobs()}
        for key, state in now.items():
            before = self._states.get(key)
            if before != state:
                assert allowed(before and JobState(before), JobState(state)), (key, before, state)
        self._states = now

    def count(self) -> None:
        """What has come about in a story."""
        tally, model = self.world.tally, self.model
        requests = Counter(request.status for request in model.requests.values())
        tally["stories"] += 1
        tally["requests accepted"] += requests["Accepted"]
        tally["requests refused"] += requests["Rejected"]
        tally["later rounds"] += sum(run.round - 1 for run in model.runs.values())
        tally["deaths of workers"] += self._deaths
        tally["terms"] += len(self.terms)
        tally["completions within transactions"] += len(model.effects)
        for run in model.runs.values():
            tally[f"runs {run.state}"] += 1
            for over in run.archive:
                tally[f"attempts {over.state}"] += 1

    # How it is done -----------------------------------------------------------------------------

    def _acts(self, term: Term, task: Callable[[Round], object]) -> bool:
        """A master acts in a term. In an old one nothing comes of it."""
        self.wait(0)
        round = Round(session=self.world.first, term=term.number)
        if term.number == self.model.token.term:
            task(round)
            self.world.tally["acts of a master"] += 1
            return True
        self.world.tally["acts of an old master"] += 1
        with pytest.raises(TermOver):
            task(round)
        return False

    def _say(self, who: Registration, claims: Sequence[Claim], word: Callable[[], Any]) -> Any:
        """Say it. None: it has to wait for what is parked, and nothing comes of it."""
        if not self.model.waits(who.name, who.generation, claims):
            return word()
        self.world.tally["words that had to wait"] += 1
        with pytest.raises(psycopg.errors.LockNotAvailable):
            word()
        return None

    def _write_and_complete(self, about: Held) -> bool:
        who, claim = about
        connection = self.world.second.connection
        connection.execute(
            "INSERT INTO public.effect (run_id, job, round, token, inside) VALUES (%s, %s, %s, %s, true)",
            [claim.run_id, claim.job, claim.round, claim.token],
        )
        return held.complete_within(
            connection,
            "rush",
            worker=who.name,
            generation=who.generation,
            code="c0de",
            attempt=attempt_of(claim),
            result=json.dumps(claim.token),
        )

    def _held(self, who: Registration) -> set[tuple[Key, Holder]]:
        held_by = self.model.held_by(who.name, who.generation)
        return {(key, job.holder) for key, job in held_by if job.holder}

    def _given(self) -> dict[Key, Holder]:
        """What has a holder that the model does not know of."""
        there = {(row[0], row[1]): Holder(*row[9:13]) for row in self.world.read().jobs if row[9]}
        holders = {key: job.holder for key, job in self.model.jobs()}
        return {key: holder for key, holder in there.items() if holders.get(key) != holder}

    def _kept(self, who: Registration, claims: Iterable[Claim]) -> list[Held]:
        """What a worker has got, in an order that is always the same."""
        got = [Held(who, claim) for claim in sorted(claims, key=lambda claim: claim.key)]
        self.claims |= {each.claim.token: each for each in got}
        return got

    def _dead(self) -> int:
        return sum(worker.state == "Dead" for worker in self.model.workers.values())


def _forget_dead(round: Round) -> None:
    with round.transaction() as session:
        workers.forget_dead(session)


def known(who: Registration, claims: Iterable[Claim]) -> set[tuple[Key, Holder]]:
    return {
        ((c.run_id, c.job), Holder(who.name, who.generation, c.token, c.claim_id)) for c in claims
    }


def claims_of(said: Report, state: str) -> list[Claim]:
    return [each.claim for each in said.outcomes if each.state == state]


def same_rows(what: str, modelled: Iterable[Any], found: Iterable[Any]) -> None:
    said, there = Counter(map(tuple, modelled)), Counter(map(tuple, found))
    assert said == there, f"{what}: only in the model {said - there}, only there {there - said}"


def same_time(one: float, other: float) -> bool:
    """Instants, but for what it takes to say something."""
    return abs(one - other) < 0.005
