"""
What all of the master's tasks have in common.

A task is one transaction of set-based statements. Its first statement is the fence: it
takes FOR KEY SHARE on the master's token in this term, so that a new term cannot begin
while the transaction is open. A transaction of an old term finds no row, and is rolled
back. The fence is sent together with what follows it and its answer is looked at before
the commit: what an old term has written by then goes with the rollback.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rush.domain.records import Handed
from rush.store import master_token
from rush.store.master_token import TermOver
from rush.store.session import Session

#: No task takes more rows than this at once; it is called again while there are more.
BATCH = 2000


@dataclass(slots=True, kw_only=True)
class Round:
    """One round of the master's loop: its session and term, and whom to ring afterwards."""

    session: Session
    term: int
    workers: set[int] = field(default_factory=set[int])
    #: What has been handed out, and nobody has been told.
    handed: list[Handed] = field(default_factory=list[Handed])
    #: The sets of queues that workers serve, where somebody has looked just now.
    queue_sets: list[str] | None = None
    #: Runs have come to rest, or new ones have begun: watchers want to know.
    watchers: bool = False
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
