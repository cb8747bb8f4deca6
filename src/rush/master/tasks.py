"""
What all of the master's tasks have in common.

A task is one transaction of set-based statements. Its first statement is the fence: it
takes FOR KEY SHARE on the master's token in this term, so that a new term cannot begin
while the transaction is open. A transaction of an old term finds no row, and is rolled
back. The fence is sent together with what follows it and its answer is looked at before
the commit: what an old term has written by then goes with the rollback. Where nothing is
looked at before the end, a term that is over is an error of the fence itself, so that fence,
statements and commit are one round trip (`Round.sending`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rush.domain.looks import Line
from rush.domain.records import Handed
from rush.store import master_token
from rush.store.master_token import TermOver
from rush.store.session import Session
from rush.store.workers import Registration

#: No task takes more rows than this at once; it is called again while there are more.
BATCH = 2000


@dataclass(slots=True, kw_only=True)
class Round:
    """One round of the master's loop: its session and term, and whom to ring afterwards."""

    session: Session
    term: int
    #: The worker of the master's own process, and how many new jobs it takes at once.
    own: Registration | None = None
    room: int = 0
    workers: set[int] = field(default_factory=set[int])
    #: What has been handed out, and nobody has been told.
    handed: list[Handed] = field(default_factory=list[Handed])
    #: The sets of queues that workers serve, where somebody has looked just now.
    queue_sets: list[str] | None = None
    #: Where to look for what is Ready.
    line: Line = field(default_factory=Line)
    #: Runs have come to rest, or new ones have begun: watchers want to know.
    watchers: bool = False
    #: After which ids to look for requests and for what is finished.
    requested_after: int = 0
    finished_after: int = 0
    #: As many runs were made as the worker has room for, all of them its own; there are more to make.
    filled: bool = False
    #: The first jobs of versions that were compiled.
    compiled: list[int] = field(default_factory=list[int])
    #: Tell the worker of the master's own process that something may come.
    rouse: Callable[[], None] = lambda: None
    #: A task has left something undone: the next round comes at once.
    more: bool = False

    @contextmanager
    def transaction(self) -> Generator[Session]:
        """A fenced transaction. Raises TermOver when this term is."""
        with self.session.transaction():
            held = master_token.fence(self.session, self.term)
            yield self.session
            if not held():
                raise TermOver(f"term {self.term} is over")

    @contextmanager
    def sending(self, *, meanwhile: Callable[[], None] = lambda: None) -> Generator[Session]:
        """
        The same in one round trip, for what looks at no answer before its end. `meanwhile` is called
        while the server is at it.
        """
        with self.session.sending():
            insisted = master_token.insist(self.session, self.term)
            yield self.session
        meanwhile()
        insisted()
