"""
Two masters and a token with a lease: election and fencing alone, as small as they can be.

Whatever is sent arrives when it likes, or never; so does every answer. Whoever is not heard
of for a while is frozen: that needs no event of its own. The database's clock goes on in ticks,
and the masters' clocks with it: they measure durations only.

A guard that is left out is named in `without`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

#: How long the lease is, and how many ticks there are, in ticks.
LEASE, HORIZON = 2, 8

GUARDS = {
    "a transaction holds KEY SHARE on the term": "an old term has written after a new one began",
    "a transaction looks whether its term holds": "an old term has written after a new one began",
    "an election raises the term": "two masters have one term",
    "an election waits for the end of the lease": "two masters trust their lease",
    "a renewal names its term": "two masters trust their lease",
    "a resignation names its term": "two masters trust their lease",
    "trust counts from the start of a renewal": "two masters trust their lease",
}


class Message(NamedTuple):
    """A statement under way to the database, or its answer on the way back."""

    what: str
    began: int
    term: int
    answer: bool = False


class Master(NamedTuple):
    #: The term it believes to be its own; 0: none.
    term: int = 0
    trusted_until: int = 0
    message: Message | None = None
    #: It has looked whether it trusts its lease, and is about to write.
    decided: bool = False
    #: The term of its open transaction.
    writing: int | None = None


class World(NamedTuple):
    """What there is at an instant: the token's row, and the masters."""

    now: int
    term: int
    expires: int
    masters: tuple[Master, Master]
    #: What must never be, said when it has happened.
    wrong: str | None = None


def begin() -> World:
    """The first master has just been elected."""
    return World(0, 1, LEASE, (Master(1, LEASE), Master()))


def what_is_wrong(world: World, *, early: bool = False) -> str | None:
    """What must not be. With the early sign believed, the lease is patience and promises nothing."""
    first, second = world.masters
    if world.wrong is not None:
        return world.wrong
    if first.term == second.term != 0:
        return "two masters have one term"
    if not early and trusts(world, first) and trusts(world, second):
        return "two masters trust their lease"
    return None


def trusts(world: World, master: Master) -> bool:
    return master.term != 0 and world.now < master.trusted_until


class Rules:
    """What may happen next, with one guard left out, or none; `early`: dead sessions are believed."""

    def __init__(self, without: str = "", *, early: bool = False) -> None:
        assert without in ("", *GUARDS)
        self._without = without
        self._early = early

    def __call__(self, world: World) -> Iterator[tuple[str, World]]:
        if world.now < HORIZON:
            yield "a tick", world._replace(now=world.now + 1)
        for at, master in enumerate(world.masters):
            for event, after, changed in self._of(world, master):
                yield f"{event} ({at})", _put(after, at, changed)

    def _guarded(self, guard: str) -> bool:
        return guard != self._without

    def _of(self, world: World, master: Master) -> Iterator[tuple[str, World, Master]]:
        if master.writing is not None:
            yield from self._writing(world, master, master.writing)
        elif master.decided:
            yield from self._write(world, master)
        elif trusts(world, master):
            yield "is about to write", world, master._replace(decided=True)
        if master.message is None:
            yield from self._send(world, master)
        elif master.message.answer:
            yield from self._hear(world, master, master.message)
        else:
            yield from self._arrive(world, master, master.message)
            # It may be on its way for ever.

    def _send(self, world: World, master: Master) -> Iterator[tuple[str, World, Master]]:
        def sends(what: str) -> Master:
            return master._replace(message=Message(what, world.now, master.term))

        if master.term == 0 or not trusts(world, master):
            yield "stands for election", world, sends("elect")._replace(term=0)
        if master.term != 0:
            yield "renews", world, sends("renew")
            yield "resigns", world, sends("resign")._replace(term=0)

    def _arrive(
        self, world: World, master: Master, message: Message
    ) -> Iterator[tuple[str, World, Master]]:
        """The statement arrives, and is committed at once."""
        heard = master._replace(message=message._replace(answer=True, term=0))
        if message.what == "elect":
            if self._held_up(world):
                return
            waits = self._guarded("an election waits for the end of the lease")
            if waits and world.expires >= world.now and not self._early:
                yield "is not elected", world, heard
                return
            term = world.term + self._guarded("an election raises the term")
            won = message._replace(answer=True, term=term)
            elected = world._replace(term=term, expires=world.now + LEASE)
            yield "is elected", elected, master._replace(message=won)
            return
        named = self._guarded(
            f"a {'renewal' if message.what == 'renew' else 'resignation'} names its term"
        )
        mine = world.term == message.term or not named
        if message.what == "resign":
            after = world._replace(expires=-1) if mine else world
            yield "has resigned", after, master._replace(message=None)
        elif mine and world.expires >= world.now:
            renewed = world._replace(expires=world.now + LEASE)
            yield "is renewed", renewed, master._replace(message=message._replace(answer=True))
        else:
            yield "is not renewed", world, heard

    def _hear(
        self, world: World, master: Master, message: Message
    ) -> Iterator[tuple[str, World, Master]]:
        quiet = master._replace(message=None)
        if message.term == 0:
            yield "hears no", world, quiet._replace(term=0)
            return
        start = self._guarded("trust counts from the start of a renewal")
        since = message.began if start else world.now
        yield (
            "hears yes",
            world,
            quiet._replace(term=message.term, trusted_until=since + LEASE),
        )

    def _write(self, world: World, master: Master) -> Iterator[tuple[str, World, Master]]:
        """A transaction begins with the fence."""
        asked = master._replace(decided=False)
        looks = self._guarded("a transaction looks whether its term holds")
        if master.term != 0 and (world.term == master.term or not looks):
            yield "begins to write", world, asked._replace(writing=master.term)
        else:
            yield "finds its term over", world, asked._replace(term=0)

    def _writing(
        self, world: World, master: Master, term: int
    ) -> Iterator[tuple[str, World, Master]]:
        over = master._replace(writing=None)
        late = "an old term has written after a new one began" if term < world.term else None
        yield "commits", world._replace(wrong=late), over
        yield "is killed", world, over._replace(term=0, message=None)

    def _held_up(self, world: World) -> bool:
        """Whether a take-over waits for a transaction of the term in force."""
        if not self._guarded("a transaction holds KEY SHARE on the term"):
            return False
        return any(master.writing is not None for master in world.masters)


def _put(world: World, at: int, master: Master) -> World:
    first, second = world.masters
    return world._replace(masters=(master, second) if at == 0 else (first, master))
