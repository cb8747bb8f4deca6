"""Workers with the settings as they come, jobs that stay until they are let go, and what became of them."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.chaos.cast import Actor, Cast
from tests.chaos.ground import Ground
from tests.chaos.proxy import Network
from tests.chaos.scene import job, lay
from tests.support.project import project
from tests.support.server import Server
from tests.support.waiting import wait_for

#: So that one worker can go, and the others have room for what it held.
WORKERS, SLOTS, HELD = 4, 2, 6

#: For so long after its start nobody is judged, in seconds: the lease, and a little.
SETTLED = 16.0
#: Nothing that is measured takes so long, in seconds.
PATIENCE = 120.0


class Stage:
    """Four workers with two slots each, and six jobs on them at a time."""

    def __init__(self, server: Server, url: str, folder: Path, cast: Cast) -> None:
        self._server = server
        self._folder = folder
        self._numbers = itertools.count(1)
        self.ground = Ground(url)
        self.cast = cast

    # Workers ---------------------------------------------------------------------------------

    def gather(self) -> None:
        """
        Everybody is there and at work, and one of them is master. The server has been up for a
        while: soon after it began nobody is judged.
        """

        def gathered() -> bool:
            self.cast.keep_alive({})
            rows = dict(
                self.ground.sql(
                    "SELECT name, pid FROM rush.worker WHERE state = 'Alive'"
                    " AND lease_expires_at > clock_timestamp()"
                )
            )
            up = self.ground.one("SELECT clock_timestamp() - pg_postmaster_start_time()")
            return (
                up.total_seconds() > SETTLED
                and self.master() is not None
                and all(
                    actor.lives and rows.get(actor.name) == actor.pid for actor in self.cast.actors
                )
            )

        wait_for(gathered, what="the workers to be there", timeout=PATIENCE)

    def master(self) -> Actor | None:
        holder = self.ground.one(
            "SELECT holder FROM rush.master_token WHERE expires_at > clock_timestamp()"
        )
        return next((a for a in self.cast.actors if a.name == holder and a.lives), None)

    def others(self) -> list[Actor]:
        return [actor for actor in self.cast.actors if actor is not self.master()]

    def drains(self, actor: Actor) -> bool:
        return (
            self.ground.one("SELECT state FROM rush.worker WHERE name = %s", actor.name)
            == "Draining"
        )

    # Jobs ------------------------------------------------------------------------------------

    def hold(self, count: int = HELD) -> Path:
        """So many jobs run, until somebody writes the file that is returned."""
        until = self._folder / f"until{next(self._numbers)}"
        before = self.ground.one("SELECT count(*) FROM public.effect")
        self.ground.sql(
            "INSERT INTO rush.run_request (pipeline, params)"
            " SELECT 'held', jsonb_build_object('until', %s::text) FROM generate_series(1, %s)",
            str(until),
            count,
        )
        wait_for(
            lambda: (
                self.ground.one("SELECT count(*) FROM rush.run_state WHERE state = 'Running'")
                == count
                and self.ground.one("SELECT count(*) FROM public.effect") - before == count
            ),
            what="the jobs to run",
            timeout=PATIENCE,
        )
        return until

    def let_go(self, until: Path) -> None:
        until.touch()
        wait_for(
            lambda: (
                self.ground.one("SELECT count(*) FROM rush.run WHERE state = 'Running'") == 0
                and self.ground.one("SELECT count(*) FROM rush.run_request WHERE status = 'Pending'") == 0
            ),
            what="all to be over",
            timeout=PATIENCE,
        )  # fmt: skip

    def held_by(self, actor: Actor) -> list[tuple[int, int]]:
        """(run, token) of what it runs."""
        return self.ground.sql(
            "SELECT run_id, token FROM rush.run_state WHERE worker = %s AND state = 'Running'",
            actor.name,
        )

    # What became of it -------------------------------------------------------------------------

    def now(self) -> datetime:
        return self.ground.one("SELECT clock_timestamp()")

    def begun_again(self, held: list[tuple[int, int]], since: datetime) -> float:
        """Seconds until the last of these jobs had begun elsewhere."""
        return max(
            self._seconds(
                since,
                "SELECT min(at) FROM public.effect WHERE run_id = %s AND token > %s",
                run, token,
                what=f"the job of run {run} to begin again",
            )
            for run, token in held
        )  # fmt: skip

    def led_again(self, gone: Actor, since: datetime) -> float:
        """Seconds until another master had done its first task. There is one: a run is asked for."""
        self.ground.sql("INSERT INTO rush.run_request (pipeline) VALUES ('short')")
        return self._seconds(
            since,
            "SELECT min(at) FROM chaos.action WHERE at > %s AND holder <> %s",
            since, gone.name,
            what="another master",
        )  # fmt: skip

    def deaths(self) -> int:
        return self.ground.one("SELECT count(*) FROM chaos.action WHERE what = 'bury'")

    def terms(self) -> int:
        return self.ground.one("SELECT count(*) FROM rush.master_term")

    def attempts(self) -> int:
        """How often jobs have begun."""
        return self.ground.one("SELECT count(*) FROM public.effect WHERE NOT inside")

    def _seconds(self, since: datetime, statement: str, *values: Any, what: str) -> float:
        at = wait_for(lambda: self.ground.one(statement, *values), what=what, timeout=PATIENCE)
        return (at - since).total_seconds()

    # The server --------------------------------------------------------------------------------

    def without_server(self, seconds: float) -> None:
        """It is killed, and comes back after so long."""
        embedded = self._server.embedded
        postmaster = (embedded.home.resolve() / "data" / "postmaster.pid").read_text().split()[0]
        os.kill(int(postmaster), signal.SIGQUIT)
        wait_for(lambda: not embedded.running(), what="the server to stop", timeout=PATIENCE)
        self.ground.close()
        time.sleep(seconds)
        embedded.start()


@contextmanager
def stage(server: Server, folder: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        url = stack.enter_context(server.database())
        rush = stack.enter_context(project(folder / "project", url))
        # The settings as they come.
        (rush.folder / "rush.toml").write_text("")
        lay(rush, {"held": [job("a", retry_gap_minutes=0)], "short": [job("a")]})
        rush.connection.close()
        cast = Cast(rush, network, url, workers=WORKERS, slots=SLOTS, clocks=False)
        made = Stage(server, url, folder, cast)
        try:
            yield made
        finally:
            for actor in cast.actors:
                actor.thaw()
            made.ground.close()


Trial = Callable[[Stage], dict[str, float]]
