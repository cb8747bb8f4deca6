"""
The protocol against its model: whatever is said, by whom and how late, the tables hold what the
model says.

One thread speaks for everybody: people, workers, masters of this term and of old ones.
Nothing that was ever given out is used up: claims, terms and reports are kept, and said again
when they have long been overtaken.
"""

from __future__ import annotations

import os
from typing import Any

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

from rush.domain.records import Claim
from rush.store.workers import Registration
from tests.models.both import Both, Held, Report, Term
from tests.models.model import DAY, EXPIRY, GRAPHS, LEASE
from tests.models.world import World, opened
from tests.support.history import wrongs
from tests.support.kernel import outcome
from tests.support.server import Server

#: How many stories are told where nobody says.
EXAMPLES = 30

NAMES = st.sampled_from(["one", "two"])
SESSIONS = st.sampled_from(["first", "second"])
PIPELINES = st.sampled_from(sorted(GRAPHS))
JOBS = st.sampled_from([None, *"abdrstu"])

#: What a worker says of a job, of itself, and what a master does, in its order.
OF_A_JOB = ("begin", "complete", "complete", "fail", "complete_within", "park")
OF_ITSELF = ("heartbeat", "heartbeat", "note_session", "drain", "leave")
TASKS = (
    "bury",
    "release",
    "sweep",
    "fail_overdue",
    "retry",
    "decide",
    "apply_pauses",
    "wake",
    "assign",
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
        self.both = Both(self.world)

    @invariant()
    def check(self) -> None:
        self.both.check()

    # How it begins ----------------------------------------------------------------------------

    @initialize(target=registrations)
    def first_worker(self) -> Any:
        return self.both.register("one", slots=3)

    @initialize(target=terms, who=registrations)
    def first_term(self, who: Registration) -> Any:
        return self.both.elect(who)

    @initialize(
        target=claims,
        who=registrations,
        term=terms,
        asked=st.lists(PIPELINES, min_size=1, max_size=2),
        want=st.integers(1, 3),
    )
    def first_claims(self, who: Registration, term: Term, asked: list[str], want: int) -> Any:
        for pipeline in asked:
            self.both.ask(pipeline)
        self.both.decide(term)
        return multiple(*self.both.claim(who, want))

    # What people do -------------------------------------------------------------------------

    @rule(pipeline=PIPELINES, runs=st.integers(1, 2))
    def ask(self, pipeline: str, runs: int) -> None:
        """The shortest form: the next run."""
        for _ in range(runs):
            self.both.ask(pipeline)

    @rule(
        pipeline=st.sampled_from([*sorted(GRAPHS), "nobody"]),
        job=JOBS,
        instance=st.none() | st.integers(1, 4),
    )
    def ask_for(self, pipeline: str, job: str | None, instance: int | None) -> None:
        """A run of a certain number, from a certain job: a new one, or one more round."""
        self.both.ask(pipeline, job, instance)

    @precondition(lambda self: self.both.model.runs)
    @rule(data=st.data(), at_once=st.booleans())
    def ask_again(self, data: st.DataObject, at_once: bool) -> None:
        """A re-run of what there is."""
        run = data.draw(st.sampled_from(list(self.both.model.runs.values())))
        stuck = [name for name, job in run.live.items() if job.state == "Stuck"]
        job = data.draw(st.sampled_from([*stuck, None, *run.graph]))
        self.both.ask(run.pipeline, job, run.instance)
        if at_once:
            self.both.decide(self.both.terms[-1])

    @precondition(lambda self: self.both.model.runs)
    @rule(data=st.data(), then=st.sampled_from([(), ("decide",), ("decide", "sweep")]))
    def cancel(self, data: st.DataObject, then: tuple[str, ...]) -> None:
        run = data.draw(st.sampled_from(list(self.both.model.runs.values())))
        self.both.ask(run.pipeline, None, run.instance, action="cancel")
        for task in then:
            getattr(self.both, task)(self.both.terms[-1])
            self.both.check()

    @rule(key=st.sampled_from(["k1", "k2"]), pipeline=PIPELINES, value=st.integers(1, 2))
    def ask_with_a_key(self, key: str, pipeline: str, value: int) -> None:
        """The same key twice is the same request, or refused when it is for something else."""
        self.both.ask_with_a_key(key, pipeline, value)

    @rule(pipeline=st.none() | PIPELINES, paused=st.booleans())
    def pause(self, pipeline: str | None, paused: bool) -> None:
        self.both.pause(pipeline, paused)

    @rule(seconds=st.sampled_from([1.0, 30.0, 45.0, 65.0, 130.0, 1.1 * DAY]))
    def wait(self, seconds: float) -> None:
        self.both.wait(seconds)

    @rule(session=SESSIONS)
    def kill(self, session: str) -> None:
        self.both.kill(session)

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
        old = self.both.model.workers.get(name)
        dead = old.generation if old and finds_dead else None
        who = self.both.register(name, session, slots=slots, pid=pid, dead_generation=dead)
        return multiple() if who is None else who

    @rule(who=registrations, word=st.sampled_from(OF_ITSELF), session=SESSIONS)
    def speak_of_itself(self, who: Registration, word: str, session: str) -> None:
        getattr(self.both, word)(who, session)

    @rule(target=claims, who=registrations, want=st.integers(1, 3), idle=st.booleans())
    def claim(self, who: Registration, want: int, idle: bool) -> Any:
        return multiple(*self.both.claim(who, want, idle=idle))

    @rule(target=claims, who=registrations)
    def look(self, who: Registration) -> Any:
        return multiple(*self.both.look(who))

    @rule(about=claims)
    def begin(self, about: Held) -> None:
        self.both.begin(about)

    @rule(about=st.lists(claims, min_size=1, max_size=3))
    def give_back(self, about: list[Held]) -> None:
        self.both.give_back(about[0].who, of_one(about))

    @rule(
        target=claims,
        about=st.lists(claims, min_size=1, max_size=3),
        good=st.lists(st.booleans(), min_size=3, max_size=3),
        want=st.integers(0, 2),
    )
    def report(self, about: list[Held], good: list[bool], want: int) -> Any:
        """Some are complete, some have failed; and there is room for more."""
        return multiple(*self.both.report(self._written(about, good, want)))

    @rule(target=claims, about=claims, want=st.integers(0, 2))
    def complete(self, about: Held, want: int) -> Any:
        return multiple(*self.both.say(about, "Complete", want=want))

    @rule(about=claims)
    def fail(self, about: Held) -> None:
        self.both.say(about, "Failed")

    @rule(about=claims)
    def stop(self, about: Held) -> None:
        """A worker has killed what was cancelled. What is not, nobody stops."""
        run = self.both.model.runs.get(about.claim.run_id)
        if not self.both.holds(about) or (run and run.cancelling):
            self.both.say(about, "Cancelled")

    @rule(
        target=reports,
        about=st.lists(claims, min_size=1, max_size=2),
        good=st.lists(st.booleans(), min_size=2, max_size=2),
        want=st.integers(0, 1),
    )
    def write(self, about: list[Held], good: list[bool], want: int) -> Report:
        """A report that is on its way: it may arrive at any time, and more than once."""
        return self._written(about, good, want)

    @rule(target=claims, said=reports)
    def arrive(self, said: Report) -> Any:
        return multiple(*self.both.report(said))

    @rule(target=claims, who=registrations, about=claims)
    def speak_as_another(self, who: Registration, about: Held) -> Any:
        """Somebody speaks of what another was given."""
        return multiple(*self.both.say(Held(who, about.claim), "Complete"))

    @precondition(lambda self: self.both.current())
    @rule(target=claims, data=st.data(), word=st.sampled_from(OF_A_JOB))
    def speak_of_what_is_held(self, data: st.DataObject, word: str) -> Any:
        """So that not all that is said is out of date."""
        about = data.draw(st.sampled_from(self.both.current()))
        if word in ("complete", "fail"):
            state = "Complete" if word == "complete" else "Failed"
            return multiple(*self.both.say(about, state, want=1))
        if word == "begin":
            self.both.begin(about)
        elif self.both.parked is None and word == "park":
            self.both.park(about)
        elif self.both.parked is None:
            self.both.complete_within(about, commits=True)
        return multiple()

    @precondition(lambda self: self.both.parked is None)
    @rule(about=claims, commits=st.booleans())
    def complete_within(self, about: Held, commits: bool) -> None:
        self.both.complete_within(about, commits=commits)

    @precondition(lambda self: self.both.parked is None)
    @rule(about=claims)
    def park(self, about: Held) -> None:
        self.both.park(about)

    @precondition(lambda self: self.both.parked is not None)
    @rule()
    def commit_parked(self) -> None:
        self.both.commit_parked()

    def _written(self, about: list[Held], good: list[bool], want: int) -> Report:
        outcomes = [
            outcome(claim, "Complete" if fine else "Failed")
            for claim, fine in zip(of_one(about), good, strict=False)
        ]
        return self.both.written(about[0].who, outcomes, want)

    # Masters ----------------------------------------------------------------------------------

    @rule(target=terms, who=registrations, believes_gone=st.booleans())
    def elect(self, who: Registration, believes_gone: bool) -> Any:
        return self._elected(who, believes_gone=believes_gone)

    @rule(target=terms, who=registrations)
    def take_over(self, who: Registration) -> Any:
        """The master has not been heard of for longer than its lease."""
        self.both.wait(EXPIRY + 1)
        return self._elected(who)

    @rule(term=terms, renews=st.booleans())
    def keep_term(self, term: Term, renews: bool) -> None:
        (self.both.renew if renews else self.both.resign)(term)

    @rule(term=terms, task=st.sampled_from(TASKS))
    def act(self, term: Term, task: str) -> None:
        """One of the master's tasks, in a term that may be over."""
        getattr(self.both, task)(term)

    @rule(target=claims, term=terms, own=registrations, asked=PIPELINES, room=st.integers(1, 3))
    def make_and_hand_out(self, term: Term, own: Registration, asked: str, room: int) -> Any:
        """Requests become runs, whose first jobs are the master's own worker's at once."""
        self.both.ask(asked)
        return multiple(*self.both.decide(term, own, room))

    @precondition(lambda self: len(self.both.terms) > 1)
    @rule(data=st.data(), task=st.sampled_from(TASKS))
    def act_too_late(self, data: st.DataObject, task: str) -> None:
        """Somebody who has been master, and does not know that he is no more."""
        at = data.draw(st.integers(0, len(self.both.terms) - 2))
        getattr(self.both, task)(self.both.terms[at])

    @rule(term=terms)
    def lead(self, term: Term) -> None:
        """A whole round of the master in force."""
        if term == self.both.terms[-1]:
            self._round(term)

    def _elected(self, who: Registration, *, believes_gone: bool = False) -> Any:
        term = self.both.elect(who, believes_gone=believes_gone)
        return multiple() if term is None else term

    def _round(self, term: Term) -> None:
        for task in TASKS:
            getattr(self.both, task)(term)
            self.both.check()

    # How it ends ------------------------------------------------------------------------------

    def teardown(self) -> None:
        """All are let go on: then every request is decided, and every run ends."""
        both = self.both
        if not both.agree:
            self.world.kill("second")
            return
        if both.parked is not None:
            both.commit_parked()
        for pipeline in (None, *GRAPHS):
            both.pause(pipeline, False)
        both.wait(LEASE + EXPIRY + 1)
        who = both.register("last", slots=9)
        assert who is not None
        term = both.elect(who)
        assert term is not None
        for _ in range(60):
            if both.is_at_rest():
                break
            self._round(term)
            both.heartbeat(who)
            self._work_off(who)
        assert both.is_at_rest()
        both.count()
        # A run may well be Stuck here, and then its job is left.
        may_be = ["I1 every run ends, none is Stuck", "I12 nothing is left over"]
        assert wrongs(self.world.connection, but=may_be) == []

    def _work_off(self, who: Registration) -> None:
        self.both.claim(who, 9)
        for about in self.both.look(who):
            self.both.say(about, "Cancelled" if about.claim.cancelling else "Complete")
            self.both.check()
        self.both.wait(LEASE - 1)


def of_one(about: list[Held]) -> list[Claim]:
    """The claims of one worker, each job once."""
    return list({each.claim.key: each.claim for each in about if each.who == about[0].who}.values())


@pytest.mark.timeout(0)
def test_the_tables_hold_what_the_model_says(server: Server) -> None:
    """
    After every step of every story; and in the end all that was asked for is decided and has
    ended, with a history in which nothing is lost and nothing is done twice.
    """
    profile = settings(
        max_examples=int(os.environ.get("RUSH_MODEL_EXAMPLES", EXAMPLES)),
        stateful_step_count=50,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    with server.database() as url, opened(url) as world:
        told = type("Protocol", (Protocol,), {"world": world})
        run_state_machine_as_test(told, settings=profile)
        for what, times in sorted(world.tally.items()):
            print(f"{times:>9,}  {what}")
