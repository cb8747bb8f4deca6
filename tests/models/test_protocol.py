"""
The protocol against its model: whatever is said, by whom and how late, the tables hold what the
model says.

One thread speaks for everybody: people, workers, masters of this term and of old ones.
Nothing that was ever given out is used up: claims, terms and reports are kept, and said again
when they have long been overtaken.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rush.client import Client
from rush.domain.records import Claim, Outcome
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
    DAY,
    EXPIRY,
    GRACE,
    GRAPHS,
    LEASE,
    POISON_LIMIT,
    Holder,
    Key,
    Model,
    Request,
    Token,
)
from tests.models.world import Tables, World, opened
from tests.support.history import wrongs
from tests.support.kernel import outcome
from tests.support.server import Server

NAMES = st.sampled_from(["one", "two"])
SESSIONS = st.sampled_from(["first", "second"])
PIPELINES = st.sampled_from(sorted(GRAPHS))
JOBS = st.sampled_from([None, *"abdrstu"])
PLAIN = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)


class Held(NamedTuple):
    """A claim, and who got it."""

    who: Registration
    claim: Claim


class Report(NamedTuple):
    """What a worker has said, to be said again."""

    who: Registration
    outcomes: tuple[Outcome, ...]
    want: int
    claim_id: int


class Term(NamedTuple):
    """A term, and what its master remembers."""

    number: int
    timeouts: Timeouts


Task = Callable[[Round], object]

#: What a worker says of a job.
WORDS = ("begin", "complete", "complete", "fail", "complete_within", "park")
#: In the master's order.
TASKS = (
    *(
        "bury",
        "release",
        "sweep",
        "fail_overdue",
        "retry",
        "decide",
        "apply_pauses",
        "wake",
        "assign",
    ),
    "forget_dead",
)


class Protocol(RuleBasedStateMachine):
    """Everybody's moves. `world` is put in place by whoever runs it."""

    world: World

    registrations = Bundle("registrations")
    claims = Bundle("claims")
    reports = Bundle("reports")
    terms = Bundle("terms")

    def __init__(self) -> None:
        super().__init__()
        self.world.empty()
        self.model = Model(self.world.dawn, self.world.read().token[0])
        self.model.generations = self.world.last("generation")
        self.model.floor = self.world.last("token")
        self.claim_ids = itertools.count(1)
        self.states: dict[tuple[int, str, int], str] = {}
        self.deaths = 0
        self.terms_so_far: list[Term] = []
        #: By token.
        self.handed: dict[int, Held] = {}
        self.payloads: dict[str, tuple[str, int]] = {}
        self.parked: Held | None = None
        self.sound = False
        self.check()

    # How it begins ----------------------------------------------------------------------------

    @initialize(target=registrations)
    def first_worker(self) -> Any:
        return self._register("one", "first", slots=3, pid=1, dead_generation=None)

    @initialize(target=terms, who=registrations)
    def first_term(self, who: Registration) -> Any:
        return self._elect(who, None)

    @initialize(
        target=claims,
        who=registrations,
        term=terms,
        asked=st.lists(PIPELINES, min_size=1, max_size=2),
        want=st.integers(1, 3),
    )
    def first_claims(self, who: Registration, term: Term, asked: list[str], want: int) -> Any:
        for pipeline in asked:
            self._ask(pipeline)
        self.decide(term)
        return self._report(who, (), want, next(self.claim_ids))

    # What people do -------------------------------------------------------------------------

    @rule(pipeline=PIPELINES, runs=st.integers(1, 2))
    def ask(self, pipeline: str, runs: int) -> None:
        """The shortest form: the next run."""
        for _ in range(runs):
            self._ask(pipeline)

    @rule(
        pipeline=st.sampled_from([*sorted(GRAPHS), "nobody"]),
        job=JOBS,
        instance=st.none() | st.integers(1, 4),
    )
    def ask_for(self, pipeline: str, job: str | None, instance: int | None) -> None:
        """A run of a certain number, from a certain job: a new one, or one more round."""
        self._ask(pipeline, job, instance)

    @precondition(lambda self: self.model.runs)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """A re-run of what there is."""
        run = self.model.runs[data.draw(st.sampled_from(sorted(self.model.runs)))]
        stuck = [name for name, job in run.live.items() if job.state == "Stuck"]
        job = data.draw(st.sampled_from([*stuck, None, *run.graph]))
        self._ask(run.pipeline, job, run.instance)

    @precondition(lambda self: self.model.runs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        run = self.model.runs[data.draw(st.sampled_from(sorted(self.model.runs)))]
        self._ask(run.pipeline, None, run.instance, action="cancel")

    @rule(key=st.sampled_from(["k1", "k2"]), pipeline=PIPELINES, value=st.integers(1, 2))
    def ask_with_a_key(self, key: str, pipeline: str, value: int) -> None:
        """The same key twice is the same request, or refused when it is for something else."""
        self._begin()
        client = Client(self.world.connection)
        known = self.model.keys.get(key)
        payload = (pipeline, value)
        if known is not None and self.payloads[key] != payload:
            with pytest.raises(RefusedError):
                client.submit(pipeline, params={"x": value}, idempotency_key=key)
            return
        asked = client.submit(pipeline, params={"x": value}, idempotency_key=key).request_id
        assert asked is not None
        if known is not None:
            assert asked == known
            return
        self.model.keys[key] = asked
        self.payloads[key] = payload
        self.model.requests[asked] = Request(pipeline, None, None, "start")

    @rule(pipeline=st.none() | PIPELINES, paused=st.booleans())
    def pause(self, pipeline: str | None, paused: bool) -> None:
        """One pipeline, or all of them."""
        self._begin()
        if pipeline is None:
            pipelines.set_all_paused(self.world.first, paused)
            self.model.all_paused = paused
        else:
            pipelines.set_paused(self.world.first, pipeline, paused)
            self.model.paused[pipeline] = paused

    @rule(seconds=st.sampled_from([1.0, 30.0, 45.0, 65.0, 130.0, 1.1 * DAY]))
    def wait(self, seconds: float) -> None:
        self._begin(seconds)

    # Workers ----------------------------------------------------------------------------------

    @rule(
        target=registrations,
        name=NAMES,
        session=SESSIONS,
        slots=st.integers(1, 3),
        pid=st.integers(1, 2),
        finds_dead=st.booleans(),
    )
    def register(self, name: str, session: str, slots: int, pid: int, finds_dead: bool) -> Any:
        """A worker enters, anew or under a name that another had or has."""
        old = self.model.workers.get(name)
        dead = old.generation if old and finds_dead else None
        return self._register(name, self._free(session), slots=slots, pid=pid, dead_generation=dead)

    @rule(
        who=registrations,
        word=st.sampled_from(["heartbeat", "heartbeat", "note_session", "drain", "leave"]),
        session=SESSIONS,
    )
    def speak_of_itself(self, who: Registration, word: str, session: str) -> None:
        getattr(self, word)(who, session)

    def heartbeat(self, who: Registration, session: str = "first") -> None:
        self._begin()
        row = workers.heartbeat(
            self.world.session(self._free(session)), who, lease=LEASE, progress={}
        )
        worker = self.model.alive(who.name, who.generation)
        assert (row is not None) == (worker is not None)
        if worker is not None:
            worker.lease_until, worker.seen = self.model.now + LEASE, self.model.now

    def note_session(self, who: Registration, session: str) -> None:
        """It has connected again."""
        self._begin()
        session = self._free(session)
        workers.note_session(self.world.session(session), who)
        worker = self.model.workers.get(who.name)
        if worker is not None and worker.generation == who.generation:
            worker.session = session

    def drain(self, who: Registration, session: str) -> None:
        self._begin()
        workers.drain(self.world.session(self._free(session)), who.name, who.generation)
        worker = self.model.alive(who.name, who.generation)
        if worker is not None:
            worker.state = "Draining"

    def leave(self, who: Registration, session: str) -> None:
        self._begin()
        workers.leave(self.world.session(self._free(session)), who)
        worker = self.model.workers.get(who.name)
        if worker is not None and worker.generation == who.generation:
            del self.model.workers[who.name]

    @rule(target=claims, who=registrations, want=st.integers(1, 3), idle=st.booleans())
    def claim(self, who: Registration, want: int, idle: bool) -> Any:
        return self._report(who, (), want, next(self.claim_ids), idle=idle)

    @rule(target=claims, who=registrations)
    def look(self, who: Registration) -> Any:
        """A worker reads what it holds: that is how it gets what the master has assigned."""
        self._begin()
        found = held.held(self.world.first, who)
        known = {(key, job.holder) for key, job in self.model.held_by(who.name, who.generation)}
        assert known == {((c.run_id, c.job), holder_of(who, c)) for c in found}
        return self._keep(who, found)

    @rule(about=claims)
    def begin(self, about: Held) -> None:
        """A runner has begun it."""
        self._begin()

        def say() -> None:
            held.mark_running(self.world.first, about.who, [(about.claim, time.monotonic())])

        job = self.model.of(about.who.name, about.who.generation, about.claim)
        if self._is_said(about.who, [about.claim] if job and not job.begun else [], say):
            self.model.mark_running(about.who.name, about.who.generation, about.claim)

    @rule(about=st.lists(claims, min_size=1, max_size=3))
    def give_back(self, about: list[Held]) -> None:
        self._begin()
        who, claims = about[0].who, unique(about)
        given: list[int] = []
        if self._is_said(
            who, claims, lambda: given.append(held.give_back(self.world.first, who, claims))
        ):
            assert given == [self.model.give_back(who.name, who.generation, claims)]

    @rule(
        target=claims,
        about=st.lists(claims, min_size=1, max_size=3),
        outcomes=st.lists(st.booleans(), min_size=3, max_size=3),
        want=st.integers(0, 2),
    )
    def report(self, about: list[Held], outcomes: list[bool], want: int) -> Any:
        """Some are complete, some have failed; and there is room for more."""
        said = tuple(
            outcome(claim, "Complete" if good else "Failed")
            for claim, good in zip(unique(about), outcomes, strict=False)
        )
        return self._report(about[0].who, said, want, next(self.claim_ids))

    @rule(target=claims, about=claims, want=st.integers(0, 2))
    def complete(self, about: Held, want: int) -> Any:
        return self._report(about.who, (outcome(about.claim),), want, next(self.claim_ids))

    @rule(about=claims)
    def fail(self, about: Held) -> None:
        self._report(about.who, (outcome(about.claim, "Failed"),), 0, next(self.claim_ids))

    @rule(about=claims)
    def stop(self, about: Held) -> None:
        """A worker has killed what was cancelled. What is not, nobody stops."""
        run = self.model.runs.get(about.claim.run_id)
        mine = self.model.of(about.who.name, about.who.generation, about.claim)
        if not mine or (run and run.cancelling):
            said = (outcome(about.claim, "Cancelled"),)
            self._report(about.who, said, 0, next(self.claim_ids))

    @rule(
        target=reports,
        about=st.lists(claims, min_size=1, max_size=2),
        good=st.booleans(),
        want=st.integers(0, 1),
    )
    def write(self, about: list[Held], good: bool, want: int) -> Report:
        """A report that is sent, and may arrive at any time, and more than once."""
        said = tuple(outcome(claim, "Complete" if good else "Failed") for claim in unique(about))
        return Report(about[0].who, said, want, next(self.claim_ids))

    @rule(target=claims, said=reports)
    def arrive(self, said: Report) -> Any:
        return self._report(said.who, said.outcomes, said.want, said.claim_id)

    @rule(target=claims, who=registrations, about=claims)
    def say_as_another(self, who: Registration, about: Held) -> Any:
        """Somebody speaks of what another was given."""
        return self._report(who, (outcome(about.claim),), 0, next(self.claim_ids))

    @precondition(lambda self: self.current())
    @rule(target=claims, data=st.data(), word=st.sampled_from(WORDS))
    def speak_of_what_is_held(self, data: st.DataObject, word: str) -> Any:
        """So that not all that is said is out of date."""
        about = data.draw(st.sampled_from(self.current()))
        if word in ("complete", "fail"):
            said = (outcome(about.claim, "Complete" if word == "complete" else "Failed"),)
            return self._report(about.who, said, 1, next(self.claim_ids))
        if word == "begin":
            self.begin(about)
        elif word == "park" and self.parked is None:
            self.park(about)
        elif self.parked is None:
            self.complete_within(about, True)
        return multiple()

    # Within a transaction ---------------------------------------------------------------------

    @precondition(lambda self: self.parked is None)
    @rule(about=claims, commits=st.booleans())
    def complete_within(self, about: Held, commits: bool) -> None:
        self._begin()
        connection = self.world.second.connection
        mine = self.model.of(about.who.name, about.who.generation, about.claim) is not None
        with connection.transaction():
            done = self._write_and_complete(about)
            assert done == mine
            if not (done and commits):
                raise psycopg.Rollback
        if mine and commits:
            self.model.complete_within(about.claim)

    @precondition(lambda self: self.parked is None)
    @rule(about=claims)
    def park(self, about: Held) -> None:
        """All is written, and not committed: everything else goes on around it."""
        if self.model.of(about.who.name, about.who.generation, about.claim) is None:
            return
        self._begin()
        self.world.second.connection.execute("BEGIN")
        assert self._write_and_complete(about)
        self.parked = about
        self.model.parked = (about.claim.run_id, about.claim.job)

    @precondition(lambda self: self.parked is not None)
    @rule()
    def commit_parked(self) -> None:
        self._begin()
        assert self.parked is not None
        self.world.second.connection.execute("COMMIT")
        self.model.complete_within(self.parked.claim)
        self.parked = self.model.parked = None

    @rule(session=SESSIONS)
    def kill(self, session: str) -> None:
        """A session ends, with what is parked on it, and as a sign of its workers' death."""
        self._begin()
        self.world.kill(session)
        if session == "second":
            self.parked = self.model.parked = None
        for worker in self.model.workers.values():
            if worker.session == session:
                worker.session = ""
        if self.model.token.session == session:
            self.model.token.session = ""

    # The master -------------------------------------------------------------------------------

    @rule(target=terms, who=registrations, believes_gone=st.booleans())
    def elect(self, who: Registration, believes_gone: bool) -> Any:
        return self._elect(who, self.model.token.term if believes_gone else None)

    @rule(target=terms, who=registrations)
    def take_over(self, who: Registration) -> Any:
        """The master has not been heard of for longer than its lease."""
        self.wait(EXPIRY + 1)
        return self._elect(who, None)

    @rule(term=terms, renews=st.booleans())
    def keep_term(self, term: Term, renews: bool) -> None:
        (self.renew if renews else self.resign)(term)

    @rule(term=terms, task=st.sampled_from(TASKS))
    def act(self, term: Term, task: str) -> None:
        """One of the master's tasks, in a term that may be long over."""
        getattr(self, task)(term)

    @precondition(lambda self: self.past)
    @rule(data=st.data(), task=st.sampled_from(TASKS))
    def act_too_late(self, data: st.DataObject, task: str) -> None:
        """Somebody who has been master, and does not know that he is no more."""
        getattr(self, task)(data.draw(st.sampled_from(self.past)))

    @rule(term=terms)
    def lead(self, term: Term) -> None:
        """A whole round of the master in force."""
        if term.number == self.model.token.term:
            self._round(term)

    def renew(self, term: Term) -> None:
        self._begin()
        token = self.model.token
        mine = term.number == token.term and token.until >= self.model.now
        assert master_token.renew(self.world.first, term.number, expiry=EXPIRY) == mine
        if mine:
            token.until, token.session = self.model.now + EXPIRY, "first"

    def resign(self, term: Term) -> None:
        self._begin()
        master_token.resign(self.world.first, term.number)
        if term.number == self.model.token.term:
            self.model.token.until = 0.0

    def decide(self, term: Term) -> None:
        """Judge the requests."""
        self._begin()
        if self._acts(term, lambda round: requests.admit(round) or requests.take(round)):
            rows = {row[0]: row for row in self.world.read().requests}
            made = {n: row[2] for n, row in rows.items() if row[1] == "Accepted"}
            numbers = {n: row[3] for n, row in rows.items()}
            assert self.model.admit_plain(made) or self.model.take(made, numbers) is None

    def release(self, term: Term) -> None:
        self._begin()
        if self._acts(term, finish.release):
            self.model.release()

    def sweep(self, term: Term) -> None:
        self._begin()
        if self._acts(term, finish.sweep):
            self.model.sweep()

    def retry(self, term: Term) -> None:
        self._begin()
        if self._acts(term, lambda round: retries.retry(round, poison_limit=POISON_LIMIT)):
            self.model.retry()

    def wake(self, term: Term) -> None:
        self._begin()
        if self._acts(term, waiting.wake):
            self.model.wake()

    def apply_pauses(self, term: Term) -> None:
        self._begin()
        if self._acts(term, waiting.Pauses().apply):
            self.model.apply_pauses()

    def fail_overdue(self, term: Term) -> None:
        self._begin()
        if self._acts(term, term.timeouts.fail_overdue):
            self.model.fail_overdue()

    def bury(self, term: Term) -> None:
        self._begin()
        if self._acts(term, term.timeouts.bury):
            before = [worker.state for worker in self.model.workers.values()].count("Dead")
            self.model.bury({row[0]: row[1] for row in self.world.read().workers})
            after = [worker.state for worker in self.model.workers.values()].count("Dead")
            self.deaths += after - before

    def forget_dead(self, term: Term) -> None:
        self._begin()
        if self._acts(term, self._forget):
            names = {job.holder.worker for _, job in self.model.jobs() if job.holder}
            for name, worker in list(self.model.workers.items()):
                if (
                    worker.state == "Dead"
                    and worker.seen < self.model.now - DAY
                    and name not in names
                ):
                    del self.model.workers[name]

    def assign(self, term: Term) -> None:
        self._begin()
        ready, seats = self.model.ready(), self.model.seats()
        if self._acts(term, assign.assign):
            given = self._given()
            self.model.hand_out(ready, given, sum(seats.values()))
            for name, free in seats.items():
                assert sum(holder.worker == name for holder in given.values()) <= free

    # What is true after every step ------------------------------------------------------------

    @invariant()
    def check(self) -> None:
        """The tables hold what the model says."""
        model, tables = self.model, self.world.read()
        runs = model.runs.items()
        agree(
            "runs",
            ((n, r.pipeline, r.instance, r.state, r.round, r.cancelling) for n, r in runs),
            ((*row[:5], row[7]) for row in tables.runs),
        )
        # What is swept from a run that is being cancelled is not counted any more.
        agree(
            "open and stuck",
            ((n, run.open, run.stuck) for n, run in runs if not run.cancelling),
            ((row[0], *row[5:7]) for row in tables.runs if not row[7]),
        )
        agree("archive", ((n, *over) for n, run in runs for over in run.archive), tables.archive)
        agree("finished", ((n, *each) for n, run in runs for each in run.finished), tables.finished)
        self._check_jobs(tables.jobs)
        agree(
            "counts",
            ((n, job, len(model.runs[n].missing[job])) for n, job, _ in self._counted(tables)),
            self._counted(tables),
        )
        agree(
            "requests",
            ((n, r.status, r.run) for n, r in model.requests.items()),
            (row[:3] for row in tables.requests),
        )
        agree(
            "workers",
            ((n, w.generation, w.state) for n, w in model.workers.items()),
            (row[:3] for row in tables.workers),
        )
        for name, _, _, lease_until in tables.workers:
            assert same(lease_until, model.workers[name].lease_until)
        term, holder, until = tables.token
        assert (term, holder) == (model.token.term, model.token.holder)
        assert same(until, model.token.until)
        assert sorted(tables.effects) == sorted(model.effects)
        self._check_steps()
        self.sound = True

    def _counted(self, tables: Tables) -> list[Any]:
        """The counts that are still to come down."""
        return [
            row
            for row in tables.counts
            if row[2] and self.model.runs[row[0]].state == "Running"
            if not self.model.runs[row[0]].cancelling
        ]

    def current(self) -> list[Held]:
        """The claims that hold something now."""
        tokens = [job.holder.token for _, job in self.model.jobs() if job.holder]
        return [self.handed[token] for token in tokens if token in self.handed]

    @property
    def past(self) -> list[Term]:
        """The terms that are over."""
        return self.terms_so_far[:-1]

    def _check_jobs(self, rows: list[Any]) -> None:
        found = {(row[0], row[1]): row[2:] for row in rows}
        assert found.keys() == {key for key, _ in self.model.jobs()}
        for key, job in self.model.jobs():
            *plain, ready_at, deadline_at = found[key]
            assert plain == [
                *(job.round, job.state, job.attempt, job.retries, job.losses),
                *(job.paused, job.given_back),
                *(job.holder or (None, None, None, None)),
            ], key
            assert same(ready_at, job.ready_at)
            assert not job.begun or same(deadline_at, job.deadline_at)

    def _check_steps(self) -> None:
        """From state to state only as the list of transitions has it."""
        now = {(n, name, job.round): job.state for (n, name), job in self.model.jobs()}
        for key, state in now.items():
            before = self.states.get(key)
            if before != state:
                assert allowed(before and JobState(before), JobState(state)), (key, before, state)
        self.states = now

    def teardown(self) -> None:
        """All are let go on: then every request is decided, and every run ends."""
        if not self.sound:
            self.world.kill("second")
            return
        if self.parked is not None:
            self.commit_parked()
        for name in (None, *GRAPHS):
            self.pause(name, False)
        self.wait(LEASE + EXPIRY + 1)
        who = self._register("last", "first", slots=9, pid=1, dead_generation=None)
        term = self._elect(who, None)
        for _ in range(60):
            if self._is_at_rest():
                break
            self._round(term)
            self.heartbeat(who, "first")
            self._work_off(who)
        assert self._is_at_rest()
        self._count()
        assert (
            wrongs(self.world.connection, but=["I1 every run ends, none is Stuck", "I12 nothing"])
            == []
        )

    def _round(self, term: Term) -> None:
        """All that a master does, as often as something is due."""
        for task in TASKS:
            getattr(self, task)(term)
            self.check()

    def _work_off(self, who: Registration) -> None:
        self.claim(who, 9, True)
        for claim in held.held(self.world.first, who):
            state = "Cancelled" if claim.cancelling else "Complete"
            self._report(who, (outcome(claim, state),), 0, next(self.claim_ids))
            self.check()
        self.wait(LEASE - 1)
        self.check()

    def _count(self) -> None:
        tally, model = self.world.tally, self.model
        tally["stories"] += 1
        tally["requests"] += len(model.requests)
        tally["requests refused"] += sum(r.status == "Rejected" for r in model.requests.values())
        tally["runs"] += len(model.runs)
        tally["later rounds"] += sum(run.round - 1 for run in model.runs.values())
        tally["deaths"] += self.deaths
        tally["terms"] += model.token.term - model.term
        tally["writes within transactions"] += len(model.effects)
        for run in model.runs.values():
            tally[f"runs {run.state}"] += 1
            for over in run.archive:
                tally[f"attempts {over.state}"] += 1

    def _is_at_rest(self) -> bool:
        ended = all(
            run.state != "Running" and not run.cancelling for run in self.model.runs.values()
        )
        return ended and not self.model.pending()

    # How it is done -----------------------------------------------------------------------------

    def _begin(self, seconds: float = 0.0) -> None:
        """Time goes on a little with each step, so that no two are at one instant."""
        self.sound = False
        self.model.step(seconds + 0.01)
        self.world.set_clock(self.model.now)

    def _free(self, session: str) -> str:
        """A session on which nothing is parked."""
        return "first" if self.parked else session

    def _ask(
        self,
        pipeline: str,
        job: str | None = None,
        instance: int | None = None,
        action: str = "start",
    ) -> None:
        self._begin()
        asked = asking.submit(
            self.world.first, pipeline=pipeline, job=job, jobinstance=instance, action=action
        )
        assert asked is not None
        self.model.requests[asked] = Request(pipeline, job, instance, action)

    def _register(
        self, name: str, session: str, *, slots: int, pid: int, dead_generation: int | None
    ) -> Any:
        self._begin()
        identity = Identity(
            name=name, slots=slots, queues=("default",), host="here", boot_id="boot", pid=pid,
            version="0", code=None,
        )  # fmt: skip
        may = self.model.may_register(name, pid, dead_generation)
        who = workers.register(
            self.world.session(session), identity, lease=LEASE, dead_generation=dead_generation
        )
        assert (who is not None) == may
        if who is None:
            return multiple()
        self.model.register(name, who.generation, slots, pid, session)
        return who

    def _elect(self, who: Registration, gone_term: int | None) -> Any:
        self._begin()
        token, worker = self.model.token, self.model.alive(who.name, who.generation)
        free = token.until < self.model.now or (gone_term == token.term and not token.session)
        may = worker is not None and worker.state == "Alive" and free
        term = master_token.elect(self.world.first, who, expiry=EXPIRY, gone_term=gone_term)
        assert term == (token.term + 1 if may else None), (
            "terms rise one by one, and have one holder"
        )
        if term is None:
            return multiple()
        self.model.token = Token(term, who.name, self.model.now + EXPIRY, "first")
        timeouts = Timeouts(grace=GRACE, poison_limit=POISON_LIMIT, gone_for=0.0, outage_grace=0.0)
        self.terms_so_far.append(Term(term, timeouts))
        return self.terms_so_far[-1]

    def _acts(self, term: Term, task: Task) -> bool:
        """A master acts in a term. In an old one nothing comes of it."""
        round = Round(session=self.world.first, term=term.number)
        if term.number == self.model.token.term:
            task(round)
            self.world.tally["acts of a master"] += 1
            return True
        self.world.tally["acts of an old master"] += 1
        with pytest.raises(TermOver):
            task(round)
        return False

    def _forget(self, round: Round) -> None:
        with round.transaction() as session:
            workers.forget_dead(session)

    def _report(
        self,
        who: Registration,
        said: tuple[Outcome, ...],
        want: int,
        claim_id: int,
        *,
        idle: bool = True,
    ) -> Any:
        self._begin()
        model, name, generation = self.model, who.name, who.generation
        answers: list[Any] = []

        def say() -> None:
            answers.append(
                held.report(
                    self.world.first, who, said, keep=want, want=want, idle=idle, claim_id=claim_id
                )
            )

        heard = [o.claim for o in said] if model.alive(name, generation) else []
        if not self._is_said(who, heard, say):
            return multiple()
        (answer,) = answers
        before = {(key, job.holder) for key, job in model.held_by(name, generation)}
        given = self._given()
        accepted = model.fail(name, generation, claims_of(said, "Failed"))
        accepted += model.fail(name, generation, claims_of(said, "Cancelled"), cancelled=True)
        accepted += model.complete(name, generation, claims_of(said, "Complete"), want, given)
        assert sorted(answer.refused) == sorted({o.claim.token for o in said} - set(accepted))
        self.world.tally["outcomes accepted"] += len(accepted)
        self.world.tally["outcomes refused"] += len(answer.refused)
        room = 0
        if model.takes(name, generation):
            mine = [job.holder for _, job in model.held_by(name, generation)]
            room = max(0, want - sum(holder.claim_id == claim_id for holder in mine if holder))
        model.hand_out(model.ready(given_back=idle), given, room)
        held_now = {(key, job.holder) for key, job in model.held_by(name, generation)}
        claimed = {((c.run_id, c.job), holder_of(who, c)) for c in answer.claims}
        assert claimed == held_now - before
        return self._keep(who, answer.claims)

    def _keep(self, who: Registration, claims: list[Claim]) -> Any:
        """What a worker has got, in an order that is always the same."""
        got = [Held(who, claim) for claim in sorted(claims, key=lambda claim: claim.key)]
        self.handed |= {each.claim.token: each for each in got}
        return multiple(*got)

    def _is_said(self, who: Registration, claims: list[Claim], say: Callable[[], object]) -> bool:
        """Say it, unless it has to wait for what is parked: then nothing comes of it."""
        if not self.model.waits(who.name, who.generation, claims):
            say()
            return True
        self.world.tally["words that had to wait"] += 1
        with pytest.raises(psycopg.errors.LockNotAvailable):
            say()
        return False

    def _write_and_complete(self, about: Held) -> bool:
        claim = about.claim
        self.world.second.connection.execute(
            "INSERT INTO public.effect (run_id, job, round, token, inside) VALUES (%s, %s, %s, %s, true)",
            [claim.run_id, claim.job, claim.round, claim.token],
        )
        return held.complete_within(
            self.world.second.connection, "rush", worker=about.who.name,
            generation=about.who.generation, code="c0de", attempt=claim, began=0,
            result=json.dumps(claim.token),
        )  # fmt: skip

    def _given(self) -> dict[Key, Holder]:
        """What has a holder that the model does not know of."""
        found: dict[Key, Holder] = {}
        for row in self.world.read().jobs:
            if row[9] is None:
                continue
            run = self.model.runs.get(row[0])
            job = run.live.get(row[1]) if run else None
            holder = Holder(*row[9:13])
            if job is None or job.holder != holder:
                found[row[0], row[1]] = holder
        return found


def agree(what: str, modelled: Iterable[Any], found: Iterable[Any]) -> None:
    said, there = Counter(map(tuple, modelled)), Counter(map(tuple, found))
    assert said == there, f"{what}: only in the model {said - there}, only there {there - said}"


def unique(about: list[Held]) -> list[Claim]:
    """The claims of one worker, each job once."""
    return list({each.claim.key: each.claim for each in about if each.who == about[0].who}.values())


def claims_of(said: tuple[Outcome, ...], state: str) -> list[Claim]:
    return [each.claim for each in said if each.state == state]


def holder_of(who: Registration, claim: Claim) -> Holder:
    return Holder(who.name, who.generation, claim.token, claim.claim_id)


def same(one: float, other: float) -> bool:
    return abs(one - other) < 0.005


def machine(world: World) -> type[Protocol]:
    return type("Protocol", (Protocol,), {"world": world})


@pytest.mark.timeout(0)
def test_the_tables_hold_what_the_model_says(server: Server) -> None:
    """
    After every step of every story, and at the end of each all that was asked for is decided, and
    has ended, with a history in which nothing is lost and nothing is done twice.
    """
    examples = int(os.environ.get("RUSH_MODEL_EXAMPLES", "30"))
    profile = settings(
        max_examples=examples,
        stateful_step_count=50,
        deadline=None,
        suppress_health_check=PLAIN,
        print_blob=True,
    )
    with server.database() as url, opened(url) as world:
        run_state_machine_as_test(machine(world), settings=profile)
        for what, times in sorted(world.tally.items()):
            print(f"{times:>9,}  {what}")
