"""
What can be done by way of the pages and the API. Both come here.

Each thing that is done has a row in `audit`, which is there before it is done, and says
afterwards what came of it. Each gives back a sentence that says so too.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from rush.client import Client, Run
from rush.domain.phrases import listed
from rush.errors import ConfigurationError, DatabaseError, RushError
from rush.store import audit, run_search
from rush.store.run_search import Found, RunFilter
from rush.web.guard import Visitor
from rush.web.redaction import has_hidden, redacted

#: How long the master's verdict is waited for, in seconds.
PATIENCE = 1.5
#: How many runs are acted on at once, at the most.
MOST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Doer:
    """Who does something, and why."""

    client: Client
    visitor: Visitor
    why: str = ""

    @contextmanager
    def deed(
        self, action: str, target: str, detail: Mapping[str, Any] | None = None
    ) -> Generator[None]:
        """Something that is done in the block, noted before and after."""
        deed = self.client.write(
            audit.begin_deed,
            who=self.visitor.name,
            via=self.visitor.via,
            action=action,
            target=target,
            detail=redacted(detail),
            why=self.why,
        )
        try:
            yield
        except RushError as error:
            with suppress(DatabaseError):
                self.client.write(audit.end_deed, deed, f"failed: {error}")
            raise
        self.client.write(audit.end_deed, deed, "done")


# Runs ---------------------------------------------------------------------------------------


def submit(
    doer: Doer,
    pipeline: str,
    *,
    params: Mapping[str, Any] | None = None,
    job: str | None = None,
    jobinstance: int | None = None,
    idempotency_key: str | None = None,
) -> Run:
    """Ask for a run, and wait a little for the master to take it. Raises RefusedError."""
    detail = {"params": params, "job": job, "jobinstance": jobinstance}
    with doer.deed("run", pipeline, {name: value for name, value in detail.items() if value}):
        # A typing error is found out before the master does.
        doer.client.pipeline(pipeline)
        run = doer.client.submit(
            pipeline,
            params=params,
            job=job,
            jobinstance=jobinstance,
            idempotency_key=idempotency_key,
        )
        _hear_verdict(doer.client, run)
    return run


def retry(doer: Doer, ref: str | int, *, job: str | None, from_beginning: bool) -> str:
    run = doer.client.run(ref)
    name = run.name
    detail = {"job": job} if job else {"from_beginning": True} if from_beginning else None
    with doer.deed("retry", name, detail):
        starts = run.retry(job, from_beginning=from_beginning)
        decided = _hear_verdict(doer.client, run)
    place = f"from {listed(list(starts))}" if starts else "from the beginning"
    return f"{name} runs again {place}" if decided else _undecided(name)


def cancel(doer: Doer, ref: str | int) -> str:
    run = doer.client.run(ref)
    name = run.name
    with doer.deed("cancel", name):
        run.cancel()
        decided = _hear_verdict(doer.client, run)
    return f"{name} is being cancelled" if decided else _undecided(name)


def retry_found(doer: Doer, found: RunFilter | Sequence[int]) -> str:
    """Run again what is Stuck of many runs."""
    with doer.deed("retry", _many(found), _detail(found)):
        done: Found = doer.client.write(run_search.retry_stuck, found, most=MOST)
    return _said(done, "Stuck", "to run again what is Stuck of")


def cancel_found(doer: Doer, found: RunFilter | Sequence[int]) -> str:
    """Cancel those of many runs that are not over."""
    with doer.deed("cancel", _many(found), _detail(found)):
        done: Found = doer.client.write(run_search.cancel, found, most=MOST)
    return _said(done, "to be cancelled", "to cancel")


# Pipelines and workers ----------------------------------------------------------------------


def pause(doer: Doer, pipeline: str | None) -> str:
    with doer.deed("pause", pipeline or "everything"):
        doer.client.pause(pipeline)
    return f"{pipeline or 'Everything'} is paused; what runs goes on"


def resume(doer: Doer, pipeline: str | None) -> str:
    with doer.deed("resume", pipeline or "everything"):
        doer.client.resume(pipeline)
    return f"{pipeline or 'Everything'} goes on"


def apply(doer: Doer, pipeline: str, definition: Mapping[str, Any]) -> tuple[bool, int]:
    """Put a definition under a name. Raises DefinitionError, and ConfigurationError for one with holes."""
    with doer.deed("apply", pipeline):
        if has_hidden(definition):
            raise ConfigurationError(
                "the definition has values that were hidden when it was shown: put them in again"
            )
        return doer.client.apply(pipeline, definition)


def drain(doer: Doer, worker: str) -> str:
    with doer.deed("drain", f"worker {worker}"):
        doer.client.drain(worker)
    return f"{worker} takes no more jobs; what it runs goes on"


def reload(doer: Doer, worker: str | None) -> str:
    with doer.deed("reload", f"worker {worker}" if worker else "all workers"):
        names = doer.client.reload(worker)
    return f"{listed(names)} will load the code anew" if names else "No worker is alive"


# What they rest on --------------------------------------------------------------------------


def _hear_verdict(client: Client, run: Run) -> bool:
    """Whether the master has decided. Raises RefusedError with its reason."""
    return run.wait_for_verdict(PATIENCE if client.standing().master else 0)


def _undecided(name: str) -> str:
    return f"It is asked for, about {name}; there is no answer of a master yet"


def _many(found: RunFilter | Sequence[int]) -> str:
    return "runs that match" if isinstance(found, RunFilter) else f"{len(found)} runs"


def _detail(found: RunFilter | Sequence[int]) -> dict[str, Any]:
    if isinstance(found, RunFilter):
        return {"filter": found.said()}
    return {"runs": list(found)}


def _said(done: Found, state: str, to_do: str) -> str:
    runs = "1 run" if done.runs == 1 else f"{done.runs:,} runs"
    if not done.runs:
        return f"None of these runs is {state}"
    more = ", as many as at once is possible: do it again for the rest" if done.cut else ""
    return f"It is asked {to_do} {runs}{more}"
