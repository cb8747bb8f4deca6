"""The wire and the baton between a supervisor and a runner."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from rush.worker.channel import Baton, Channel


def test_messages_arrive_whole_and_in_order() -> None:
    """However they are cut on the way, messages come out as they went in."""
    ours, theirs = map(Channel, socket.socketpair())
    ours.send(["log", 1, "ü\n\x1b"], ["end", 1, {"a": [None, 1.5]}])

    assert theirs.receive() == ["log", 1, "ü\n\x1b"]
    assert list(theirs.incoming()) == [["end", 1, {"a": [None, 1.5]}]]
    assert list(theirs.incoming()) == []
    assert not theirs.closed
    ours.close()
    with pytest.raises(EOFError):
        theirs.receive()
    theirs.close()


def test_posting_never_waits() -> None:
    """More than the wire takes is kept and sent by `flush`, while the other end reads."""
    ours, theirs = map(Channel, socket.socketpair())
    messages = [["job", number, "x" * 10_000] for number in range(200)]

    ours.post(messages)
    assert ours.unsent > 0
    received = []
    while len(received) < len(messages):
        ours.flush()
        received += theirs.incoming()

    assert received == messages
    assert ours.unsent == 0
    ours.close()
    theirs.close()


def test_what_was_sent_before_the_end_is_heard() -> None:
    """That nothing can be sent any more is not yet the end."""
    ours, theirs = map(Channel, socket.socketpair())
    theirs.send(["end", 1])
    theirs.close()

    ours.post([["job", 2]])
    assert (ours.broken, ours.closed, ours.unsent) == (True, False, 0)
    assert list(ours.incoming()) == [["end", 1]]
    assert list(ours.incoming()) == []
    assert ours.closed
    ours.close()


def test_each_token_is_taken_by_one() -> None:
    """A token is taken by the runner or taken back by the supervisor, never by both, never by neither."""
    baton = Baton.pipe()
    given = range(20_000)
    by_runner: list[int] = []
    by_supervisor: list[int] = []

    def take() -> None:
        while len(by_runner) + len(by_supervisor) < len(given):
            if (token := baton.take()) is not None:
                by_runner.append(token)

    runner = threading.Thread(target=take)
    runner.start()
    for start in range(0, len(given), 250):
        baton.give(given[start : start + 250])
        by_supervisor += baton.take_back()
    runner.join(timeout=10)
    by_supervisor += baton.take_back()

    assert sorted(by_runner + by_supervisor) == list(given)
    assert by_supervisor == sorted(by_supervisor)
    baton.close()


def test_a_baton_tells_what_nobody_has_taken() -> None:
    """How many tokens lie in the pipe, whoever asks."""
    baton = Baton.pipe()
    assert baton.waiting() == 0

    baton.give([7, 8, 9])
    assert baton.waiting() == 3
    assert baton.take() == 7
    assert Baton(baton.reading).waiting() == 2
    baton.close()


def test_a_closed_baton_ends_it() -> None:
    """When the supervisor closes its end, what lies in the pipe is still taken, then comes the end."""
    baton = Baton.pipe()
    baton.give([7])
    reading = Baton(baton.reading)
    assert baton.writing is not None
    os.close(baton.writing)

    assert reading.take() == 7
    with pytest.raises(EOFError):
        reading.take()
    reading.close()
