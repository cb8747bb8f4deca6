"""
Rush over HTTP: ask for runs, wait for them, read them, where there is a dashboard and no
database within reach.

    with_token = HttpClient("https://rush.example.org", token="rush_…")
    run = with_token.submit("etl", params={"day": "2026-11-25"}).wait()
    print(run.state, run.result("load"))

It asks the API of `rush ui` for what `Client` asks the tables, raises the same errors, and
needs nothing but the standard library. It holds no connection, and may be used by several
threads.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen

from rush.domain.states import RequestState, RunState
from rush.errors import (
    ConfigurationError,
    DatabaseError,
    GaveUpWaiting,
    NotFoundError,
    RefusedError,
    RushError,
)

#: In seconds: how long an answer may take, and between two looks at what is waited for.
TIMEOUT = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
#: A question that got no answer is asked so often in all.
TRIES = 3

ERRORS: Mapping[int, type[RushError]] = {
    404: NotFoundError,
    409: RefusedError,
    422: ConfigurationError,
    503: DatabaseError,
    504: GaveUpWaiting,
}


class HttpClient:
    """
    Asks a dashboard at `url`, with a token where that has accounts.

    Every method may raise DatabaseError when the dashboard is out of reach, and RushError when
    it lets nobody in with this token. Raises ConfigurationError for a URL that is none.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout: float = TIMEOUT) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigurationError(
                f"a dashboard's URL is like https://rush.example.org, not {url}"
            )
        self._base = f"{url.rstrip('/')}/api/v1"
        self._token = token
        self._timeout = timeout

    def submit(
        self,
        pipeline: str,
        *,
        job: str | None = None,
        jobinstance: int | None = None,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> HttpRun:
        """
        Ask for a run, as `Client.submit` does. However often the network fails, nothing is
        asked for twice: each request has a key.
        """
        asked = {
            "pipeline": pipeline,
            "job": job,
            "jobinstance": jobinstance,
            "params": None if params is None else dict(params),
        }
        key = idempotency_key or f"auto:{uuid.uuid4().hex}"
        row = self.call("POST", "/runs", asked, key=key)
        return HttpRun(self, pipeline, request_id=row["id"], run_id=row["run_id"])

    def run(self, run_id: int) -> HttpRun:
        """The run with an id. Raises NotFoundError where there is none."""
        row = self.call("GET", f"/runs/{run_id}")
        return HttpRun(self, row["pipeline"], run_id=row["id"])

    def runs(
        self,
        *,
        pipeline: str | None = None,
        state: RunState | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> list[dict[str, Any]]:
        """Runs, the newest first; those with an id below `before`."""
        asked = {"pipeline": pipeline, "state": state, "limit": limit, "cursor": before}
        return self.call("GET", "/runs", query=asked)["runs"]

    def pipelines(self) -> list[dict[str, Any]]:
        """Every pipeline, with its newest version and its last runs."""
        return self.call("GET", "/pipelines")

    def apply(self, name: str, definition: Mapping[str, Any], *, why: str = "") -> tuple[bool, int]:
        """Put a definition under a pipeline's name, as `Client.apply` does."""
        asked = {"definition": dict(definition), "why": why}
        row = self.call("PUT", f"/pipelines/{_quoted(name)}", asked)
        return row["changed"], row["version"]

    def pause(self, pipeline: str | None, *, why: str = "") -> None:
        """Hand out no more jobs of a pipeline, or (None) of any. What runs goes on."""
        self.call("POST", f"{_of(pipeline)}/pause", {"why": why})

    def resume(self, pipeline: str | None, *, why: str = "") -> None:
        """Take back what `pause` with the same argument did."""
        self.call("POST", f"{_of(pipeline)}/resume", {"why": why})

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Any:
        """
        What a call of the API gives. One that changes nothing, or has a key, is made again
        when it got no answer.
        """
        tries = TRIES if key is not None or method == "GET" else 1
        request = self._request(method, path, body, query=query, key=key)
        while True:
            tries -= 1
            try:
                with urlopen(request, timeout=self._timeout) as answer:  # noqa: S310 (http or https)
                    return json.load(answer)
            except HTTPError as error:
                raise _explained(error) from None
            except (URLError, OSError, ValueError) as error:
                reason = getattr(error, "reason", error)
                if not tries:
                    raise DatabaseError(f"the dashboard is out of reach: {reason}") from error
                time.sleep(LONGEST_PAUSE)

    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        *,
        query: Mapping[str, Any] | None,
        key: str | None,
    ) -> Request:
        headers = {"Accept": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        if key is not None:
            headers["Idempotency-Key"] = key
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body, allow_nan=False).encode()
        said = {name: value for name, value in (query or {}).items() if value is not None}
        url = self._base + path + (f"?{urlencode(said)}" if said else "")
        return Request(url, data=data, headers=headers, method=method)  # noqa: S310 (http or https)


class HttpRun:
    """
    One execution of a pipeline, begun or only asked for. What it says is read anew each time.

    Reading raises RefusedError when the master has rejected the request.
    """

    def __init__(
        self,
        client: HttpClient,
        pipeline: str,
        *,
        request_id: int | None = None,
        run_id: int | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.request_id = request_id
        self._client = client
        self._run_id = run_id

    @property
    def id(self) -> int | None:
        """None while nobody has taken the request."""
        if self._run_id is None:
            row = self._client.call("GET", f"/requests/{self.request_id}")
            if row["status"] == RequestState.Rejected:
                raise RefusedError(row["reason"] or "rejected")
            self._run_id = row["run_id"]
        return self._run_id

    @property
    def state(self) -> RunState | RequestState:
        """Running, Complete, Stuck or Cancelled; before that, Pending."""
        row = self.read()
        return RequestState.Pending if row is None else RunState(row["state"])

    @property
    def name(self) -> str:
        """`etl/7`; while nobody has taken the request, `request 12`."""
        row = self.read()
        return f"request {self.request_id}" if row is None else row["name"]

    def read(self) -> dict[str, Any] | None:
        """All that there is to say of the run itself. None while nobody has taken the request."""
        run_id = self.id
        return None if run_id is None else self._client.call("GET", f"/runs/{run_id}")

    def jobs(self) -> list[dict[str, Any]]:
        """Every job as it stands, each after those that it waits for."""
        run_id = self.id
        return [] if run_id is None else self._client.call("GET", f"/runs/{run_id}/jobs")

    def attempts(self, job: str | None = None) -> list[dict[str, Any]]:
        """What has been tried, in the order of time, with what is being tried now."""
        run_id = self.id
        if run_id is None:
            return []
        return self._client.call("GET", f"/runs/{run_id}/attempts", query={"job": job})

    def result(self, job: str) -> Any:
        """What a job has returned. Raises NotFoundError where it is not Complete."""
        return self._client.call("GET", f"/runs/{self._begun()}/results/{_quoted(job)}")

    def cancel(self, *, why: str = "") -> None:
        """Ask for its end."""
        self._client.call("POST", f"/runs/{self._begun()}/cancel", {"why": why})

    def retry(
        self,
        job: str | None = None,
        *,
        from_beginning: bool = False,
        params: Mapping[str, Any] | None = None,
        why: str = "",
    ) -> None:
        """Ask for it to run again: from `job` on, else what is Stuck, or the whole of it."""
        asked = {
            "job": job,
            "from_beginning": from_beginning,
            "params": None if params is None else dict(params),
            "why": why,
        }
        self._client.call("POST", f"/runs/{self._begun()}/retry", asked)

    def acknowledge(self, *, why: str = "") -> None:
        """Say that somebody has looked at what is Stuck of it."""
        self._client.call("POST", f"/runs/{self._begun()}/acknowledge", {"why": why})

    def wait(self, timeout: float | None = None) -> Self:
        """
        Wait until it is Complete, Stuck or Cancelled.

        `timeout` is in seconds. Raises RefusedError with the master's reason, and GaveUpWaiting
        when the time is over.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_PAUSE
        while True:
            row = self.read()
            if row is not None and RunState(row["state"]).terminal and not row["cancelling"]:
                return self
            left = LONGEST_PAUSE if deadline is None else deadline - time.monotonic()
            if left <= 0:
                state = RequestState.Pending if row is None else row["state"]
                raise GaveUpWaiting(f"{self.name} is still {state} after {timeout:g} s")
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _begun(self) -> int:
        run_id = self.id
        if run_id is None:
            raise NotFoundError(f"nobody has taken request {self.request_id} yet")
        return run_id


def _explained(error: HTTPError) -> RushError:
    """The error that the dashboard had, as far as it says so."""
    try:
        problem = json.load(error)
        detail = f"{problem['detail'] or problem['title']}"
    except (ValueError, KeyError, TypeError):
        detail = f"the dashboard answers {error.code} {error.reason}"
    return ERRORS.get(error.code, RushError)(detail)


def _of(pipeline: str | None) -> str:
    """Where the calls about a pipeline are, or (None) about all of them."""
    return "" if pipeline is None else f"/pipelines/{_quoted(pipeline)}"


def _quoted(name: str) -> str:
    return quote(name, safe="")
