"""One run, as who has asked for it, or has found it, sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

from rush.client.checks import checked_params
from rush.domain.log_lines import LogLine
from rush.domain.names import check_text, fault_of_name, quoted
from rush.domain.rows import AttemptRow, JobRow, RequestRow, RunRow
from rush.domain.states import JobState, RequestState, RunState
from rush.errors import GaveUpWaiting, NotFoundError, RefusedError
from rush.store import run_reads
from rush.store.bells import OnOutage
from rush.store.log_reader import LogReader

if TYPE_CHECKING:
    from rush.client.client import Client

#: The last lines of a job that committed by itself come a little after its end.
LAST_LINES = 0.5


class Run:
    """
    One execution of a pipeline, begun or only asked for. What it says is read anew each time.

    Reading raises RefusedError when the master has rejected the request, and
    NotFoundError when the run is no more.
    """

    def __init__(
        self,
        client: Client,
        pipeline: str,
        *,
        run_id: int | None = None,
        request_id: int | None = None,
    ) -> None:
        self.pipeline = pipeline
        #: The request that it began with, where that is how we know it.
        self.request_id = request_id
        self._client = client
        self._run_id = run_id
        #: Requests whose verdict is not known yet.
        self._undecided = [] if request_id is None else [request_id]

    def __repr__(self) -> str:
        return f"<Run {self.name}>"

    @property
    def name(self) -> str:
        """`etl/7`; while nobody has taken the request, `request 12`."""
        run_id = self.id
        return f"request {self.request_id}" if run_id is None else self._row().name

    @property
    def id(self) -> int | None:
        """None while nobody has taken the request."""
        self._without_run()
        return self._run_id

    @property
    def jobinstance(self) -> int | None:
        """Its number within the pipeline. None while nobody has taken the request."""
        row = self.read()
        return None if row is None else row.jobinstance

    @property
    def state(self) -> RunState | RequestState:
        """Running, Complete, Stuck or Cancelled; before that, Pending or Rejected."""
        request = self._without_run()
        return self._row().state if request is None else request.status

    def read(self) -> RunRow | None:
        """All that there is to say of the run itself. None while nobody has taken the request."""
        request = self._without_run()
        if request is not None:
            _raise_if_rejected(request)
            return None
        row = None if self._run_id is None else self._client.read(run_reads.run, self._run_id)
        if row is None:
            raise NotFoundError(f"there is no run {self._run_id}")
        return row

    def jobs(self) -> list[JobRow]:
        """Every job as it stands, each after those that it waits for."""
        run_id = self.id
        return [] if run_id is None else self._client.read(run_reads.jobs, run_id)

    def attempts(self, job: str | None = None) -> list[AttemptRow]:
        """What has been tried, in the order of time, with what is being tried now."""
        run_id = self.id
        return [] if run_id is None else self._client.read(run_reads.attempts, run_id, job=job)

    def result(self, job: str) -> Any:
        """
        What a job has returned. Raises NotFoundError where the pipeline has no such job, or
        it is not Complete.
        """
        check_text(job, "job")
        run_id = self.id
        found = None
        if run_id is not None and not fault_of_name(job):
            found = self._client.read(run_reads.result, run_id, job)
        if found is None:
            row = self._job(job)
            if row.state is not JobState.Complete:
                raise NotFoundError(
                    f"{job} of {self.name} has no result: it is {row.state or 'not begun'}"
                )
            return None
        return found[0]

    def logs(
        self,
        job: str | None = None,
        *,
        attempt: int | None = None,
        follow: bool = False,
        on_outage: OnOutage | None = None,
    ) -> Iterator[LogLine]:
        """
        What its jobs have logged and printed, in the order of time, each line exactly once.

        With `follow` it goes on until the run has ended; while the database is out of reach,
        `on_outage` is told. Raises NotFoundError for a job that the pipeline does not have.
        """
        if job is not None:
            self._job(job)
        reader = LogReader(job, attempt)

        def look() -> list[LogLine] | None:
            run_id = self.id
            return None if run_id is None else self._client.read(reader.more, run_id)

        if follow:
            yield from self._followed(look, on_outage)
        else:
            yield from chain.from_iterable(iter(look, None))

    def _followed(
        self, look: Callable[[], list[LogLine] | None], on_outage: OnOutage | None
    ) -> Iterator[LogLine]:
        with self._client.beats(on_outage=on_outage) as beats:

            def lines() -> Iterator[LogLine]:
                return chain.from_iterable(iter(lambda: beats.outlast(look), None))

            for _ in beats:
                over = beats.outlast(self.is_over)
                yield from lines()
                if over:
                    break
            with self._client.beats(LAST_LINES) as last:
                for _ in last:
                    yield from lines()

    def wait(self, timeout: float | None = None) -> Self:
        """
        Wait until nothing more happens to it: until it is Complete, Stuck or Cancelled.

        `timeout` is in seconds. Raises RefusedError with the master's reason, GaveUpWaiting
        when the time is over, and ConfigurationError within an open transaction. An outage of
        the database is sat out, for five minutes where there is no `timeout`; DatabaseError
        after that.
        """
        with self._client.beats(timeout) as beats:
            if any(beats.outlast(self.is_over) for _ in beats):
                return self
        state = self.state
        why = "; is a worker alive?" if state is RequestState.Pending else ""
        raise GaveUpWaiting(f"{self.name} is still {state} after {timeout:g} s{why}")

    def is_over(self) -> bool:
        """
        Whether nothing more happens to it, all that was asked for being decided. Raises
        RefusedError with the master's reason.
        """
        if not self._decide():
            return False
        row = self._row()
        return row.state.terminal and not row.cancelling

    def wait_for_verdict(self, timeout: float | None = None) -> bool:
        """
        Wait until the master has decided all that was asked for. Returns whether it has.

        Raises RefusedError with its reason.
        """
        with self._client.beats(timeout) as beats:
            return any(beats.outlast(self._decide) for _ in beats)

    def cancel(self) -> None:
        """Ask for its end. What runs is told to stop, and is killed if it does not."""
        self._ask(action="cancel")

    def retry(
        self,
        job: str | None = None,
        *,
        from_beginning: bool = False,
        params: Mapping[str, Any] | None = None,
    ) -> Sequence[str]:
        """
        Ask for it to run again, in a new round: from `job` on, else from each job that is Stuck,
        or the whole of it; with these parameters in place of those that it had by their names.
        Returns the jobs that it starts from; none for the beginning.

        Raises RefusedError where there is nothing Stuck, and NotFoundError for a job that
        the pipeline does not have.
        """
        changed = checked_params(params)
        if job is not None:
            starts = [self._job(job).name]
        elif from_beginning:
            starts = []
        else:
            starts = [row.name for row in self.jobs() if row.state is JobState.Stuck]
            if not starts:
                raise RefusedError(
                    f"{self.name} is {self.state} and nothing of it is Stuck: "
                    "say from which job it is to run again, or from the beginning"
                )
        for start in starts or [None]:
            self._ask(job=start, params=changed)
        return starts

    def acknowledge(self, *, why: str = "") -> None:
        """
        Say that somebody has looked at what is Stuck of it, so that it needs attention no more.
        What gets Stuck after that does again. Raises RefusedError where there is nothing.
        """
        row = self._row()
        with self._client.deed("acknowledge", row.name, why=why):
            if not self._client.acknowledge([row.id], why=why):
                raise RefusedError(f"nothing of {row.name} is Stuck that still needs somebody")

    # What it rests on -------------------------------------------------------------------

    def _ask(
        self,
        *,
        action: str = "start",
        job: str | None = None,
        params: dict[str, Any] | None = None,
    ) -> None:
        row = self._row()
        request_id = self._client.ask(
            pipeline=row.pipeline,
            jobinstance=row.jobinstance,
            action=action,
            job=job,
            params=params,
        )
        self._undecided.append(request_id)

    def _decide(self) -> bool:
        """Whether everything is decided. Raises RefusedError with the reason for what was rejected."""
        while self._undecided:
            request = self._request(self._undecided[0])
            if request.status is RequestState.Pending:
                return False
            del self._undecided[0]
            _raise_if_rejected(request)
        return True

    def _without_run(self) -> RequestRow | None:
        """The request that it began with, while that has not become a run."""
        if self._run_id is not None or self.request_id is None:
            return None
        request = self._request(self.request_id)
        if request.status is not RequestState.Accepted:
            return request
        self._run_id = request.run_id
        return None

    def _row(self) -> RunRow:
        row = self.read()
        if row is None:
            raise NotFoundError(f"nobody has taken request {self.request_id} yet")
        return row

    def _job(self, name: str) -> JobRow:
        jobs = self.jobs()
        for row in jobs:
            if row.name == name:
                return row
        raise NotFoundError(
            f"{self.name} has no job {quoted(name)}"
            + (f"; it has {', '.join(job.name for job in jobs[:10])}" if jobs else "")
        )

    def _request(self, request_id: int) -> RequestRow:
        row = self._client.read(run_reads.request, request_id)
        if row is None:
            raise NotFoundError(f"there is no request {request_id}")
        return row


def _raise_if_rejected(request: RequestRow) -> None:
    if request.status is RequestState.Rejected:
        raise RefusedError(request.reason or "rejected")
