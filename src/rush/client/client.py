"""What can be asked of Rush, for and about runs, pipelines and workers: `Client`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rush.client.checks import (
    MAX_ID,
    MAX_INSTANCE,
    check_number,
    checked_instance,
    checked_key,
    checked_params,
    number_within,
    plain_mapping,
)
from rush.client.deeds import Deeds
from rush.client.run import Run
from rush.domain.deeds import Doer
from rush.domain.names import NAME_PATTERN, Guesses, check_name, check_text, fault_of_name, quoted
from rush.domain.rows import (
    DefinitionRow,
    PipelineRow,
    RequestRow,
    RunRow,
    Standing,
    VersionRow,
    WorkerRow,
)
from rush.domain.states import RunState, WorkerState
from rush.errors import ConfigurationError, NotFoundError
from rush.store import attention, overview, run_reads, run_search, workers
from rush.store.session import Connection, Session, channel

_RUN_NAME = re.compile(rf"(?P<pipeline>{NAME_PATTERN})/(?P<jobinstance>\d+)", re.ASCII)
_RUN_ID = re.compile(r"\d+", re.ASCII)


class Client(Deeds):
    """
    Asks for runs and reads them, in the schema that Rush's tables are in.

    `database` is a URL, or an open connection of the caller's, which stays the caller's.
    `settle` is done to each session that the client opens. `doer` is who does what is done,
    else the user that this process runs as. Raises ConfigurationError for a URL or a schema's
    name that cannot be right.
    """

    def __init__(
        self,
        database: str | Connection,
        schema: str = "rush",
        *,
        name: str = "rush client",
        settle: Callable[[Session], None] = Session.settle_plans,
        doer: Doer | None = None,
    ) -> None:
        super().__init__(database, schema, name=name, settle=settle, doer=doer)

    # Runs -------------------------------------------------------------------------------

    def submit(
        self,
        pipeline: str,
        *,
        job: str | None = None,
        jobinstance: int | None = None,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Run:
        """
        Ask for a run of a pipeline: from the beginning, or from `job` on.

        `jobinstance` is the number that the run shall have, else the next one; that of a
        run that has ended makes it run again. The same `idempotency_key` with the same
        request gives the run that was asked for first. Raises ConfigurationError for what
        cannot be asked for, RefusedError for a key that was used for something else. The
        master's own refusal comes when the run is waited for.

        With a connection of the client's own, an outage is sat out for half a minute, and
        however it ends nothing is asked for twice.
        """
        request_id = self.ask(
            key=checked_key(idempotency_key),
            action="start",
            pipeline=check_name(pipeline, "pipeline"),
            job=None if job is None else check_name(job, "job"),
            jobinstance=checked_instance(jobinstance),
            params=checked_params(params),
        )
        return Run(self, pipeline, request_id=request_id)

    def run(self, ref: str | int) -> Run:
        """
        The run with an id, or with a name like `etl/7`.

        Raises NotFoundError where there is none, ConfigurationError where it is neither.
        """
        row = self.read(run_reads.run, self._run_id(str(ref)))
        if row is None:
            raise NotFoundError(f"there is no run {ref}")
        return Run(self, row.pipeline, run_id=row.id)

    def runs(
        self,
        *,
        pipeline: str | None = None,
        state: RunState | None = None,
        limit: int = 50,
        before: int | None = None,
        unresolved: bool = False,
    ) -> list[RunRow]:
        """
        Runs, the newest first; those with an id below `before`; only those with something Stuck
        that nobody has looked at, if they are to be `unresolved`. Raises ConfigurationError for a
        name that no pipeline can have, and for numbers that are none.
        """
        if pipeline is not None:
            check_name(pipeline, "pipeline")
        check_number(limit, "limit", 1)
        if before is not None:
            check_number(before, "before", 0)
        if unresolved:
            states = () if state is None else (state,)
            like = run_search.RunFilter(pipeline=pipeline, states=states, unresolved=True)
            return self.read(run_search.find_runs, like, limit=limit, before=before).runs
        return self.read(
            run_reads.list_runs, pipeline=pipeline, state=state, limit=limit, before=before
        )

    def acknowledge(self, run_ids: Sequence[int], *, why: str = "") -> list[int]:
        """
        Say that somebody has looked at what is Stuck of these runs. Returns those of them that
        needed it.
        """
        with self.deed("acknowledge", f"{len(run_ids)} runs", {"runs": run_ids}, why=why):
            return self.write(attention.acknowledge, run_ids, who=self._doer.who, why=why)

    def last_request(self, pipeline: str, jobinstance: int | None = None) -> RequestRow | None:
        """What was asked for last about a pipeline, or about one run of it."""
        return self.read(run_reads.last_request, pipeline, jobinstance)

    def _run_id(self, ref: str) -> int:
        name = _RUN_NAME.fullmatch(ref)
        if name is None and not _RUN_ID.fullmatch(ref):
            raise ConfigurationError(f"a run is named by its id or like etl/7, not {quoted(ref)}")
        found = None
        if name is None:
            found = number_within(ref, MAX_ID)
        elif (number := number_within(name["jobinstance"], MAX_INSTANCE)) is not None:
            found = self.read(run_reads.run_id_of, name["pipeline"], number)
        if found is None:
            raise NotFoundError(f"there is no run {quoted(ref)[1:-1]}")
        return found

    # Pipelines --------------------------------------------------------------------------

    def pipelines(self) -> list[PipelineRow]:
        """Every pipeline, with its newest version and its last runs."""
        return self.read(overview.pipelines)

    def pipeline(self, name: str) -> DefinitionRow:
        """A pipeline's definition. Raises NotFoundError, with what was probably meant."""
        check_text(name, "pipeline")
        row = None if fault_of_name(name) else self.read(overview.pipeline, name)
        if row is None:
            raise self._no_pipeline(name)
        return row

    def versions(self, name: str) -> list[VersionRow]:
        """Every version of a pipeline's definition, the newest first."""
        return self.read(overview.versions, self.pipeline(name).name)

    def apply(self, name: str, definition: Mapping[str, Any], *, why: str = "") -> tuple[bool, int]:
        """
        Put a definition under a pipeline's name.

        Returns whether that has made a new version, and the number of the one in force.
        Raises DefinitionError with every problem in it, and then changes nothing. What changes
        nothing is no deed.
        """
        # Only who applies a definition pays for what checks it.
        from rush.domain.definition import parse_definition
        from rush.store import pipelines

        check_name(name, "pipeline")
        plain = plain_mapping(definition)
        parse_definition(plain)
        if (version := self.read(pipelines.in_force, name, plain)) is not None:
            return False, version
        with self.deed("apply", name, why=why):
            return self.write(pipelines.apply, name, plain)

    def pause(self, pipeline: str | None, *, why: str = "") -> None:
        """Hand out no more jobs of a pipeline, or (None) of any. What runs goes on."""
        self._switch("pause", pipeline, True, why=why)

    def resume(self, pipeline: str | None, *, why: str = "") -> None:
        """Take back what `pause` with the same argument did."""
        self._switch("resume", pipeline, False, why=why)

    def _switch(self, action: str, pipeline: str | None, paused: bool, *, why: str) -> None:
        if pipeline is not None:
            check_text(pipeline, "pipeline")
            if fault_of_name(pipeline):
                raise self._no_pipeline(pipeline)
        with self.deed(action, pipeline or "everything", why=why):
            self._set_paused(pipeline, paused)

    def _set_paused(self, pipeline: str | None, paused: bool) -> None:
        if pipeline is None:
            self.write(Session.run, "set_all_paused", paused=paused)
            return
        if not self.write(Session.many, "set_paused", name=pipeline, paused=paused):
            raise self._no_pipeline(pipeline)

    def _no_pipeline(self, name: str) -> NotFoundError:
        meant = Guesses(row.name for row in self.pipelines()).ending(name)
        return NotFoundError(f"there is no pipeline {quoted(name)}{meant}")

    # Workers ----------------------------------------------------------------------------

    def workers(self) -> list[WorkerRow]:
        """Every worker, with what it runs."""
        return self.read(overview.workers)

    def standing(self) -> Standing:
        """Who is master, whether everything is paused, and how many workers could take a job."""
        return self.read(overview.standing)

    def drain(self, worker: str, *, why: str = "") -> None:
        """Let a worker take no more jobs. Raises NotFoundError for one that is not alive."""
        check_text(worker, "worker")
        if fault_of_name(worker):
            raise self._not_alive(worker)
        with self.deed("drain", f"worker {worker}", why=why):
            self._drain(worker)

    def _drain(self, worker: str) -> None:
        worker_id = self.write(workers.drain, worker)
        if worker_id is not None:
            self._ring(worker_id)
        elif not any(
            row.name == worker and row.state is WorkerState.Draining for row in self.workers()
        ):
            raise self._not_alive(worker)

    def reload(self, worker: str | None = None, *, why: str = "") -> list[str]:
        """
        Let workers, one or all that are alive, load the project's code anew. Returns who they are.

        Raises NotFoundError for one that is not alive.
        """
        if worker is not None:
            check_text(worker, "worker")
            if fault_of_name(worker):
                raise self._not_alive(worker)
        with self.deed("reload", f"worker {worker}" if worker else "all workers", why=why):
            return self._reload(worker)

    def _reload(self, worker: str | None) -> list[str]:
        asked = self.write(workers.request_reload, worker)
        if worker is not None and not asked:
            raise self._not_alive(worker)
        self._ring(*(row.id for row in asked))
        return [row.name for row in asked]

    def _ring(self, *worker_ids: int) -> None:
        if worker_ids:
            names = [channel(self._schema, "worker", worker_id) for worker_id in worker_ids]
            self.write(Session.notify, *names)

    def _not_alive(self, name: str) -> NotFoundError:
        alive = [row.name for row in self.workers() if row.state is not WorkerState.Dead]
        return NotFoundError(f"no worker {quoted(name)} is alive{Guesses(alive).ending(name)}")
