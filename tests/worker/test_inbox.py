"""What a runner is told, when several of its threads want something."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from threading import Thread
from typing import Any

import pytest

from rush.worker.channel import Channel
from rush.worker.inbox import Inbox
from tests.support.waiting import wait_for


class Wire:
    """An inbox, its supervisor's end of the wire, and threads that want something of it."""

    def __init__(self) -> None:
        ours, theirs = map(Channel, socket.socketpair())
        self.supervisor = ours
        self.channel = theirs
        self.inbox = Inbox(theirs)

    @property
    def waiting(self) -> int:
        """How many threads wait for what another reads."""
        return len(self.inbox._sorted._waiters)  # pyright: ignore

    def wanted(self, find: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()

        def wait() -> None:
            try:
                future.set_result(find())
            except EOFError as error:
                future.set_exception(error)

        Thread(target=wait, daemon=True).start()
        return future


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.supervisor.close()
    made.channel.close()


def test_whoever_reads_sorts_for_all(wire: Wire) -> None:
    """One thread waits for an answer that never comes; another has its job, and a third its answer."""
    never = wire.wanted(lambda: wire.inbox.answer(1))
    wait_for(lambda: wire.inbox.descriptors == (), what="it to read")
    body = wire.wanted(lambda: wire.inbox.body(2))
    answer = wire.wanted(lambda: wire.inbox.answer(3))
    wait_for(lambda: wire.waiting == 2, what="the others to wait for it")

    for number in range(50):
        wire.supervisor.send(["define", number, {}], ["rouse"])
    wire.supervisor.send(["job", 2, "b"], ["answer", 3, "a", None])

    assert body.result(timeout=10) == "b"
    assert answer.result(timeout=10) == ("a", None)
    assert len(wire.inbox.defined) == 50
    assert not never.done()


def test_bodies_of_what_was_taken_back_are_passed_over(wire: Wire) -> None:
    """They come in the order of their tokens, and some tokens never come."""
    wire.supervisor.send(["job", 1, "a"], ["job", 2, "b"], ["job", 3, "c"])

    assert wire.inbox.body(2) == "b"
    assert wire.inbox.body(3) == "c"


def test_who_has_a_job_already_is_not_roused(wire: Wire) -> None:
    """It was heard of too late: nothing is rehearsed while a job waits."""
    wire.supervisor.send(["rouse"])
    wire.inbox.look()
    assert wire.inbox.roused

    wire.supervisor.send(["job", 1, "a"])
    assert wire.inbox.body(1) == "a"
    assert not wire.inbox.roused


def test_a_look_does_not_wait(wire: Wire) -> None:
    """Who only wants to know what is here takes that in; where another reads, it is left to it."""
    assert not wire.inbox.is_cancelled(1)
    wire.supervisor.send(["cancel", 1])
    assert wire.inbox.is_cancelled(1)

    wire.inbox.forget(1)
    assert not wire.inbox.is_cancelled(1)
    wire.wanted(lambda: wire.inbox.answer(1))
    wait_for(lambda: wire.inbox.descriptors == (), what="it to read")
    wire.supervisor.send(["cancel", 2])
    wait_for(lambda: wire.inbox.is_cancelled(2), what="the other to have read it")


def test_all_who_wait_hear_of_the_end(wire: Wire) -> None:
    """The supervisor is gone: nobody waits for what cannot come."""
    waiting = [wire.wanted(lambda: wire.inbox.answer(1)) for _ in range(3)]
    wait_for(lambda: wire.inbox.descriptors == (), what="one to read")

    wire.supervisor.close()

    for each in waiting:
        with pytest.raises(EOFError):
            each.result(timeout=10)
