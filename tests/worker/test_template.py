"""The template that runners are forked from."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from rush.worker.runner import die_with_parent
from rush.worker.template import Child, Template
from tests.support.waiting import wait_for


class Fork:
    """A runner that has been told nothing yet: it waits for its greeting."""

    def __init__(self, template: Template) -> None:
        self.wire, theirs = socket.socketpair()
        self.baton, baton = os.pipe()
        lifeline, self.life = os.pipe()
        output = os.open(os.devnull, os.O_WRONLY)
        self.child: Child = template.fork((theirs.fileno(), baton, lifeline, output))
        theirs.close()
        for descriptor in (baton, lifeline, output):
            os.close(descriptor)

    def close(self) -> None:
        self.child.kill(signal.SIGKILL)
        wait_for(self.child.has_ended, what="the end of a runner")
        self.child.reap()
        self.wire.close()
        os.close(self.baton)
        os.close(self.life)


@pytest.fixture
def template() -> Iterator[Template]:
    made = Template()
    yield made
    made.close()


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


def is_gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_runners_lead_groups_of_their_own(template: Template):
    """Killing a runner's group ends it, and nobody else."""
    one, other = Fork(template), Fork(template)
    assert os.getpgid(one.child.pid) == one.child.pid
    assert parent_of(one.child.pid) == parent_of(other.child.pid)

    one.child.kill(signal.SIGKILL)
    wait_for(one.child.has_ended, what="the end of a runner")

    assert one.child.reap() == -signal.SIGKILL
    assert not other.child.has_ended()
    one.close()
    other.close()


def test_a_runner_keeps_its_number_until_it_is_reaped(template: Template):
    """Its end is told as often as it is asked for, and the number is free after that only."""
    fork = Fork(template)
    fork.wire.shutdown(socket.SHUT_RDWR)
    wait_for(fork.child.has_ended, what="the end of a runner whose wire is cut")

    assert os.getpgid(fork.child.pid) == fork.child.pid
    assert fork.child.has_ended()
    fork.child.reap()

    assert not os.path.exists(f"/proc/{fork.child.pid}")
    fork.close()


def test_a_template_that_was_killed_is_made_anew(template: Template):
    """Runners die with their template, and the next one has another."""
    one = Fork(template)
    os.kill(parent_of(one.child.pid), signal.SIGKILL)
    # Whoever asks for it is told so anyway, since nobody can know: look at the process itself.
    wait_for(lambda: is_gone(one.child.pid), what="the end of its runner")

    assert one.child.reap() == -signal.SIGKILL
    other = Fork(template)
    assert not other.child.has_ended()
    one.close()
    other.close()


def test_a_template_that_is_frozen_is_killed(template: Template, monkeypatch: pytest.MonkeyPatch):
    """Nobody waits for ever for one that does not answer: it goes, and its runners go with it."""
    monkeypatch.setattr("rush.worker.template.PATIENCE", 0.2)
    one = Fork(template)
    os.kill(parent_of(one.child.pid), signal.SIGSTOP)

    other = Fork(template)

    assert one.child.has_ended()
    assert not other.child.has_ended()
    one.close()
    other.close()


def test_a_runner_dies_when_its_lifeline_does(template: Template):
    """Whoever holds the other end of the lifeline is the supervisor: it dies with it."""
    fork = Fork(template)
    os.close(fork.life)
    fork.life = os.open(os.devnull, os.O_RDONLY)

    wait_for(fork.child.has_ended, what="the end of a runner without a supervisor")
    fork.close()


def test_a_runner_notices_that_its_template_has_died_already():
    """One whose template was killed before the kernel had been asked to tell of it ends by itself."""
    pid = os.fork()
    if pid == 0:
        die_with_parent(os.getpid())
        os._exit(0)

    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
