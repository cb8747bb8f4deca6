"""Workers: registration, leases, death (`workers.sql`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import errors as pg

from rush.store.session import Session, array


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """One worker's entry in the table: the name, and which entry under that name."""

    id: int
    name: str
    generation: int
    #: The database's clock at that moment.
    now: datetime
    #: How many writes had been refused under this name until then.
    stale_writes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a worker is and what it offers."""

    name: str
    slots: int
    queues: tuple[str, ...]
    host: str
    boot_id: str
    pid: int
    version: str
    code: str | None


def register(
    session: Session, identity: Identity, *, lease: float, dead_generation: int | None = None
) -> Registration | None:
    """
    Enter the table, with a lease of so many seconds. None: the name is taken by a live worker.
    `dead_generation` is a registration of this host whose process is known to be gone.
    """
    row = session.one(
        "register",
        name=identity.name,
        slots=identity.slots,
        queues=array(identity.queues),
        host=identity.host,
        boot_id=identity.boot_id,
        pid=identity.pid,
        version=identity.version,
        code=identity.code,
        lease=lease,
        dead_generation=dead_generation,
        pooled=session.pooled,
    )
    if row is None:
        return None
    return Registration(
        id=row.id,
        name=identity.name,
        generation=row.generation,
        now=row.now,
        stale_writes=row.stale_writes,
    )


def timeline(session: Session) -> str | None:
    """
    The server's timeline. Another one than before means that a standby has been promoted, or a backup
    restored: what was committed last may be gone. None: this server does not tell.
    """
    try:
        return session.one("timeline").timeline
    except (pg.InsufficientPrivilege, pg.FeatureNotSupported, pg.ObjectNotInPrerequisiteState):
        return None


def worker(session: Session, name: str) -> Any:
    return session.one("worker", name=name)


def heartbeat(
    session: Session,
    registration: Registration,
    *,
    lease: float,
    progress: dict[int, list[float | None]],
    stale_writes: int = 0,
) -> Any:
    """
    Renew the lease, and say how many writes have been refused under this name in all. None: this
    registration is over.
    """
    return session.one(
        "heartbeat",
        name=registration.name,
        generation=registration.generation,
        lease=lease,
        progress=json.dumps(progress) if progress else None,
        stale_writes=stale_writes,
    )


def note_session(session: Session, registration: Registration) -> None:
    session.run(
        "note_session",
        name=registration.name,
        generation=registration.generation,
        pooled=session.pooled,
    )


def drain(session: Session, name: str, generation: int | None = None) -> int | None:
    """Let a worker take no more jobs. Returns its id; None: there is no such worker alive."""
    row = session.one("drain", name=name, generation=generation)
    return None if row is None else row.id


def request_reload(session: Session, name: str | None) -> list[Any]:
    """Ask workers (one, or all for None) to replace their runners."""
    return session.many("request_reload", name=name)


def reloaded(session: Session, registration: Registration, code: str | None) -> None:
    session.run("reloaded", name=registration.name, generation=registration.generation, code=code)


def leave(session: Session, registration: Registration, *, stale_writes: int = 0) -> None:
    session.run(
        "leave",
        name=registration.name,
        generation=registration.generation,
        stale_writes=stale_writes,
    )


def declare_dead(
    session: Session,
    gone: Sequence[tuple[str, int]],
    *,
    leases: bool = True,
    now: datetime | None = None,
) -> list[str]:
    """
    Declare dead those named with their generation and, unless leases are not to be judged,
    those whose lease is over. Returns their names.
    """
    rows = session.many(
        "declare_dead",
        names=array(name for name, _ in gone),
        generations=array(generation for _, generation in gone),
        leases=leases,
        now=now,
    )
    return [row.name for row in rows]


def end_jobs(session: Session, names: Sequence[str]) -> None:
    """End the sessions that jobs of these workers have open."""
    session.run("end_jobs", names=array(names))


def sessions_gone(session: Session) -> list[tuple[str, int]]:
    """Registrations whose database session is no more."""
    return [(row.name, row.generation) for row in session.many("sessions_gone")]


def workers_alive(session: Session) -> Any:
    return session.one("workers_alive")


def forget_dead(session: Session) -> None:
    session.run("forget_dead")
