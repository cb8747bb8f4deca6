"""Definitions, as written and as compiled (`pipelines.sql`)."""

from __future__ import annotations

import json
from typing import Any

from rush.domain.definition import Definition
from rush.domain.graph import compile_graph
from rush.store.session import Session, array


def apply(session: Session, name: str, definition: dict[str, Any]) -> tuple[bool, int]:
    """Put a definition under its name. Returns whether it has changed, and its version."""
    row = session.one("apply", name=name, definition=json.dumps(definition, allow_nan=False))
    return row.changed, row.version


def in_force(session: Session, name: str, definition: dict[str, Any]) -> int | None:
    """The version that is this very definition and would not change; None: it would."""
    row = session.one("in_force", name=name, definition=json.dumps(definition, allow_nan=False))
    return None if row is None else row.version


def pipeline(session: Session, name: str) -> Any:
    return session.one("pipeline", name=name)


def set_paused(session: Session, name: str, paused: bool) -> bool:
    """Pause or resume a pipeline. Returns whether there is one of that name."""
    return bool(session.many("set_paused", name=name, paused=paused))


def set_all_paused(session: Session, paused: bool) -> None:
    session.run("set_all_paused", paused=paused)


def uncompiled(session: Session, *, limit: int) -> list[Any]:
    """Versions that nobody has compiled: id, pipeline, version, definition (as text)."""
    return session.many("uncompiled", limit=limit)


def refuse_version(session: Session, version_id: int, error: str) -> None:
    session.run("refuse_version", version_id=version_id, error=error)


def compile_version(session: Session, version_id: int, definition: Definition) -> int | None:
    """
    Store a definition's jobs and edges; what a worker may do by itself is decided in this.
    Returns the id of the first job; None where somebody has compiled it already.
    """
    compiled = compile_graph(definition)
    nodes = compiled.jobs
    jobs = [definition.jobs[node.position] for node in nodes]
    row = session.one(
        "compile_version",
        version_id=version_id,
        roots=sum(not node.predecessors for node in nodes),
        positions=array(node.position for node in nodes),
        names=array(job.name for job in jobs),
        class_names=array(job.class_name for job in jobs),
        timeouts=array(job.timeout_minutes * 60 for job in jobs),
        retry_gaps=array(job.retry_gap_minutes * 60 for job in jobs),
        retry_limits=array(job.retry_limit for job in jobs),
        queues=array(job.queue for job in jobs),
        priorities=array(
            definition.priority if job.priority is None else job.priority for job in jobs
        ),
        isolations=array(job.isolation for job in jobs),
        lost_contacts=array(job.on_lost_contact for job in jobs),
        params=array(json.dumps({**definition.params, **job.params}) for job in jobs),
        predecessors=array(len(node.predecessors) for node in nodes),
        hand_offs=array(node.hand_off_to for node in nodes),
        ends=array(node.ends_run for node in nodes),
        from_positions=array(node.position for node in nodes for _ in node.successors),
        to_positions=array(successor for node in nodes for successor in node.successors),
    )
    return row.first
