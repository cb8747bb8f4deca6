"""
What was refused, and what was committed without anybody hearing of it.

A refused write touches no row, so no table can tell of it. Proxies see it in the answer: a fenced
statement that changed nothing, or less than it was given. An outcome that was reported too late
travels in a batch with others, and its refusal may mean that it had been accepted before; of those
the workers' logs tell.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.chaos.proxy import Message, Proxy

#: Fenced statements, and what it is that was refused when they match no row.
FENCED = {
    "complete_within": "a job's own transaction",
    "heartbeat": "a heartbeat of a registration that is over",
    "renew": "a renewal of a term that is over",
    "fence": "a master's transaction in a term that is over",
}
#: Fenced statements about several things, and what it is that was refused when they touch fewer.
BATCHED = {
    "append_log": "lines of an attempt that was overtaken",
    "give_back": "a job given back that others have",
}
#: What a worker logs for each outcome that was refused and is not in the archive.
OVERTAKEN = "another attempt has overtaken this one; its outcome was not accepted"

#: What commits by itself. In a transaction it is the COMMIT.
COMMITS = frozenset({
    "COMMIT", "INSERT", "submit", "register", "note_session", "heartbeat", "elect", "renew", "resign",
    "drain", "leave", "reloaded", "complete", "fail", "claim", "mark_running", "append_log",
    "give_back",
})  # fmt: skip


class Tally:
    """Counts over all proxies that it watches."""

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        #: Commits whose answer was lost: by statement.
        self.unknown: Counter[str] = Counter()
        #: Of those that were watched to their end, how many the server had done.
        self.done: Counter[str] = Counter()

    def watch(self, proxy: Proxy) -> None:
        proxy.watch = self._see
        proxy.unheard = self._lose
        proxy.done = self._find

    def _see(self, message: Message) -> None:
        if message.toward != "client":
            return
        if message.query in FENCED and message.kind == "C":
            self.refused[FENCED[message.query]] += message.body.endswith(b" 0\0")
        # What is said once more, after an error or on a new wire, has perhaps been done before.
        elif message.query in BATCHED and not message.first:
            done = _touched(message)
            if done is not None:
                self.refused[BATCHED[message.query]] += max(0, message.items - done)

    def _lose(self, session: str, queries: list[str]) -> None:
        self.unknown.update(query for query in queries if query in COMMITS)

    def _find(self, session: str, queries: list[str]) -> None:
        self.done.update(query for query in queries if query in COMMITS)

    def read_logs(self, folder: Path) -> None:
        """Count what workers have logged, once they have ended."""
        for path in folder.glob("*.log*"):
            late = path.read_text(errors="replace").count(OVERTAKEN)
            self.refused["an outcome of an attempt that was overtaken"] += late


def _touched(message: Message) -> int | None:
    """How many things an answer says were touched: `give_back` counts them in its only row."""
    match message.query, message.kind:
        case "give_back", "D":
            return int(message.body[6:])
        case "append_log", "C":
            return int(message.body[:-1].split()[-1])
        case _:
            return None
