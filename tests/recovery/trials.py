"""
What is tried, once each time it is called: something happens to a worker, and the clock runs
until others have what it had. Times are in seconds, by the database's clock.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable

from tests.chaos.cast import Actor
from tests.chaos.proxy import Fault
from tests.recovery.stage import PATIENCE, Stage, Trial
from tests.support.waiting import wait_for

Strike = Callable[[Actor], object]

#: Longer than anything here lasts.
FOR_EVER = 3600.0
#: In each direction, between each worker and the server.
LATENCY = 0.2


def kill_worker(stage: Stage) -> dict[str, float]:
    return _strike_a_worker(stage, _kill)


def kill_master(stage: Stage) -> dict[str, float]:
    return _strike_the_master(stage, _kill)


def freeze_worker(stage: Stage) -> dict[str, float]:
    return _strike_a_worker(stage, lambda actor: actor.freeze(runners=True))


def freeze_master(stage: Stage) -> dict[str, float]:
    return _strike_the_master(stage, lambda actor: actor.freeze(runners=True))


def cut_off_worker(stage: Stage) -> dict[str, float]:
    return _strike_a_worker(stage, _swallow)


def cut_off_master(stage: Stage) -> dict[str, float]:
    return _strike_the_master(stage, _swallow)


def leave(stage: Stage) -> dict[str, float]:
    """SIGTERM to a worker that runs nothing: until it is gone."""
    stage.gather()
    actor = random.choice(stage.others())
    began = time.monotonic()
    actor.leave(away=0)
    _wait_for_end(actor)
    return {"gone": time.monotonic() - began}


def leave_as_master(stage: Stage) -> dict[str, float]:
    """SIGTERM to the master: until another has done its first task."""
    stage.gather()
    master = stage.master()
    assert master is not None
    since = stage.now()
    master.leave(away=PATIENCE)
    seconds = stage.led_again(master, since)
    _wait_for_end(master)
    master.start_at = 0.0
    return {"led again": seconds}


def leave_with_jobs(stage: Stage) -> dict[str, float]:
    """A second SIGTERM means now: until what it ran has begun elsewhere."""
    stage.gather()
    until = stage.hold()
    actor = next(each for each in stage.others() if stage.held_by(each))
    held = stage.held_by(actor)
    actor.leave(away=PATIENCE)
    wait_for(lambda: stage.drains(actor), what="the first to be heeded", timeout=PATIENCE)
    since = stage.now()
    actor.leave(away=PATIENCE)
    seconds = stage.begun_again(held, since)
    _wait_for_end(actor)
    actor.start_at = 0.0
    stage.let_go(until)
    return {"begun again": seconds}


def calm(stage: Stage) -> dict[str, float]:
    """Two minutes with both cores busy and 200 ms to the server and back each: who is declared dead?"""
    stage.gather()
    deaths, terms, attempts = stage.deaths(), stage.terms(), stage.attempts()
    for actor in stage.cast.actors:
        actor.proxy.latency = LATENCY
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            stage.let_go(stage.hold())
    finally:
        for process in busy:
            process.kill()
            process.wait()
        for actor in stage.cast.actors:
            actor.proxy.heal()
    return {
        "declared dead": stage.deaths() - deaths,
        "new terms": stage.terms() - terms,
        "jobs begun": stage.attempts() - attempts,
    }


def outage(stage: Stage) -> dict[str, float]:
    """Two minutes without a server, while jobs run: how many are declared dead, how many run again?"""
    stage.gather()
    until = stage.hold()
    deaths, attempts = stage.deaths(), stage.attempts()
    stage.without_server(120)
    back = stage.now()
    stage.ground.sql("INSERT INTO rush.run_request (pipeline) VALUES ('short')")
    led = wait_for(
        lambda: stage.ground.one("SELECT min(at) FROM chaos.action WHERE at > %s", back),
        what="a master", timeout=PATIENCE,
    )  # fmt: skip
    # Long enough for every lease to be judged.
    wait_for(lambda: (stage.now() - back).total_seconds() > 45, what="a while", timeout=PATIENCE)
    found = {
        "declared dead": stage.deaths() - deaths,
        # The run that was asked for afterwards is one.
        "run again": stage.attempts() - attempts - 1,
        "led again": (led - back).total_seconds(),
    }
    stage.let_go(until)
    return found


#: By name: what is tried, and how often.
TRIALS: dict[str, tuple[Trial, int]] = {
    "kill worker": (kill_worker, 100),
    "kill master": (kill_master, 100),
    "freeze worker": (freeze_worker, 10),
    "freeze master": (freeze_master, 10),
    "cut off worker": (cut_off_worker, 10),
    "cut off master": (cut_off_master, 10),
    "leave": (leave, 10),
    "leave as master": (leave_as_master, 10),
    "leave with jobs": (leave_with_jobs, 10),
    "calm": (calm, 1),
    "outage": (outage, 1),
}


def _strike_a_worker(stage: Stage, strike: Strike) -> dict[str, float]:
    """Until all that it ran has begun elsewhere."""
    stage.gather()
    until = stage.hold()
    actor = random.choice([each for each in stage.others() if stage.held_by(each)])
    held, since = stage.held_by(actor), stage.now()
    strike(actor)
    seconds = stage.begun_again(held, since)
    _mend(actor)
    stage.let_go(until)
    return {"begun again": seconds}


def _strike_the_master(stage: Stage, strike: Strike) -> dict[str, float]:
    """Until another has done its first task; and until what it ran as a worker has begun elsewhere."""
    stage.gather()
    until = stage.hold()
    master = stage.master()
    assert master is not None
    held, since = stage.held_by(master), stage.now()
    strike(master)
    found = {"led again": stage.led_again(master, since)}
    if held:
        found["begun again"] = stage.begun_again(held, since)
    _mend(master)
    stage.let_go(until)
    return found


def _kill(actor: Actor) -> None:
    actor.kill(away=PATIENCE)


def _swallow(actor: Actor) -> None:
    """Everything that is sent to it or from it is held back, and nobody is told."""
    actor.proxy.stall(FOR_EVER)
    actor.proxy.rule = lambda message: Fault(kind="stall", seconds=FOR_EVER)


def _mend(actor: Actor) -> None:
    actor.thaw()
    actor.proxy.heal()
    actor.start_at = 0.0


def _wait_for_end(actor: Actor) -> None:
    wait_for(lambda: not actor.lives, what=f"{actor.name} to end", timeout=PATIENCE)
