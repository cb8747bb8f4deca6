"""
What can be done by way of the pages and the API. Both come here.

Each thing that is done is a deed of the client (`Client.deed`): a row in `audit`, which is there
before it is done, and says afterwards what came of it. Each gives back a sentence that says so too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from rush.client import Client, Run
from rush.domain.phrases import listed
from rush.domain.redaction import has_hidden
from rush.errors import ConfigurationError, NotFoundError, RefusedError
from rush.store import run_search
from rush.store.run_search import Found, RunFilter

#: How long the master's verdict is waited for, in seconds.
PATIENCE = 1.5
#: How many runs are acted on at once, at the most.
MOST = 10_000
#: How many jobs are run again at once, each by a request of its own.
MOST_ONE_BY_ONE = 500

Runs = RunFilter | Sequence[int]


# Runs ---------------------------------------------------------------------------------------


def submit(
    client: Client,
    pipeline: str,
    *,
    params: Mapping[str, Any] | None = None,
    job: str | None = None,
    jobinstance: int | None = None,
    idempotency_key: str | None = None,
    why: str = "",
) -> Run:
    """Ask for a run, and wait a little for the master to take it. Raises RefusedError."""
    asked = {"params": params, "job": job, "jobinstance": jobinstance}
    detail = {name: value for name, value in asked.items() if value}
    with client.deed("run", pipeline, detail or None, why=why):
        # A typing error is found out before the master does.
        client.pipeline(pipeline)
        run = client.submit(
            pipeline,
            params=params,
            job=job,
            jobinstance=jobinstance,
            idempotency_key=idempotency_key,
        )
        _hear_verdict(client, run)
    return run


def retry(
    client: Client,
    ref: str | int,
    *,
    job: str | None,
    from_beginning: bool,
    params: Mapping[str, Any] | None = None,
    why: str = "",
) -> str:
    run = client.run(ref)
    name = run.name
    asked = {"job": job, "from_beginning": from_beginning, "params": params}
    detail = {name: value for name, value in asked.items() if value}
    with client.deed("retry", name, detail or None, why=why):
        starts = run.retry(job, from_beginning=from_beginning, params=params)
        decided = _hear_verdict(client, run)
    place = f"from {listed(list(starts))}" if starts else "from the beginning"
    return f"{name} runs again {place}" if decided else _undecided(name)


def cancel(client: Client, ref: str | int, *, why: str = "") -> str:
    run = client.run(ref)
    name = run.name
    with client.deed("cancel", name, why=why):
        run.cancel()
        decided = _hear_verdict(client, run)
    return f"{name} is being cancelled" if decided else _undecided(name)


def acknowledge(client: Client, ref: str | int, *, why: str = "") -> str:
    run = client.run(ref)
    run.acknowledge(why=why)
    return f"{run.name} needs attention no more"


def retry_found(client: Client, found: Runs, *, why: str = "") -> str:
    """Run again what is Stuck of many runs."""
    with client.deed("retry", _many(found), _detail(found), why=why):
        done = client.write_requests(run_search.retry_stuck, found, most=MOST)
    return _said(done, "Stuck", "It is asked to run again what is Stuck of")


def retry_from(client: Client, runs: Sequence[int], jobs: Sequence[str], *, why: str = "") -> str:
    """Run again some jobs, and all that depends on them, of each of some runs that has them."""
    if len(runs) * len(jobs) > MOST_ONE_BY_ONE:
        raise ConfigurationError(f"that is more than {MOST_ONE_BY_ONE} jobs at once: choose fewer")
    asked = 0
    with client.deed("retry", _many(runs), {"runs": list(runs), "jobs": list(jobs)}, why=why):
        for run_id in runs:
            for job in jobs:
                with suppress(NotFoundError):
                    client.run(run_id).retry(job)
                    asked += 1
    return f"It is asked to run {'1 job' if asked == 1 else f'{asked:,} jobs'} again"


def cancel_found(client: Client, found: Runs, *, why: str = "") -> str:
    """Cancel those of many runs that are not over."""
    with client.deed("cancel", _many(found), _detail(found), why=why):
        done = client.write_requests(run_search.cancel, found, most=MOST)
    return _said(done, "to be cancelled", "It is asked to cancel")


def acknowledge_found(client: Client, found: Runs, *, why: str = "") -> str:
    """Say that somebody has looked at what is Stuck of many runs."""
    with client.deed("acknowledge", _many(found), _detail(found), why=why):
        who = client.doer.who
        done = client.write(run_search.acknowledge, found, most=MOST, who=who, why=why)
    return _said(done, "Stuck and unresolved", "Attention is no more needed by")


# Pipelines and workers ----------------------------------------------------------------------


def pause(client: Client, pipeline: str | None, *, why: str = "") -> str:
    client.pause(pipeline, why=why)
    return f"{pipeline or 'Everything'} is paused; what runs goes on"


def resume(client: Client, pipeline: str | None, *, why: str = "") -> str:
    client.resume(pipeline, why=why)
    return f"{pipeline or 'Everything'} goes on"


def apply(
    client: Client, pipeline: str, definition: Mapping[str, Any], *, why: str = ""
) -> tuple[bool, int]:
    """Put a definition under a name. Raises DefinitionError, and ConfigurationError for one with holes."""
    if has_hidden(definition):
        raise ConfigurationError(
            "the definition has values that were hidden when it was shown: put them in again"
        )
    return client.apply(pipeline, definition, why=why)


def drain(client: Client, worker: str, *, why: str = "") -> str:
    client.drain(worker, why=why)
    return f"{worker} takes no more jobs; what it runs goes on"


def reload(client: Client, worker: str | None, *, why: str = "") -> str:
    names = client.reload(worker, why=why)
    return f"{listed(names)} will load the code anew" if names else "No worker is alive"


def pause_many(client: Client, pipelines: Sequence[str], *, why: str = "") -> str:
    _each(client, pipelines, pause, why)
    return f"{_names(pipelines)} paused; what runs goes on"


def resume_many(client: Client, pipelines: Sequence[str], *, why: str = "") -> str:
    _each(client, pipelines, resume, why)
    return f"{_names(pipelines)} not paused any more"


def drain_many(client: Client, workers: Sequence[str], *, why: str = "") -> str:
    _each(client, workers, drain, why)
    return f"{_names(workers)} draining; what they run goes on"


def reload_many(client: Client, workers: Sequence[str], *, why: str = "") -> str:
    _each(client, workers, reload, why)
    return f"{_names(workers)} loading the code anew"


# What they rest on --------------------------------------------------------------------------


def _hear_verdict(client: Client, run: Run) -> bool:
    """Whether the master has decided. Raises RefusedError with its reason."""
    return run.wait_for_verdict(PATIENCE if client.standing().master else 0)


def _undecided(name: str) -> str:
    return f"It is asked for, about {name}; there is no answer of a master yet"


def _each(client: Client, names: Sequence[str], do: Callable[..., str], why: str) -> None:
    """Do something to each, as a deed of its own. Raises RefusedError for those that could not be."""
    refused: list[str] = []
    for name in names:
        try:
            do(client, name, why=why)
        except (NotFoundError, RefusedError) as error:
            refused.append(str(error))
    if refused:
        rest = f"; done with {len(names) - len(refused)} of {len(names)}"
        raise RefusedError(f"{'; '.join(refused[:3])}{rest}")


def _names(names: Sequence[str]) -> str:
    return f"{listed(names)} {'is' if len(names) == 1 else 'are'}"


def _many(found: Runs) -> str:
    return "runs that match" if isinstance(found, RunFilter) else f"{len(found)} runs"


def _detail(found: Runs) -> dict[str, Any]:
    if isinstance(found, RunFilter):
        return {"filter": found.said()}
    return {"runs": list(found)}


def _said(done: Found, state: str, doing: str) -> str:
    runs = "1 run" if done.runs == 1 else f"{done.runs:,} runs"
    if not done.runs:
        return f"None of these runs is {state}"
    more = ", as many as at once is possible: do it again for the rest" if done.cut else ""
    return f"{doing} {runs}{more}"
