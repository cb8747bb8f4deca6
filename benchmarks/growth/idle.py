"""
What a cluster costs that has nothing to do: statements a second by who sends them, processor
time, memory, connections; alone, and with many more workers registered, whose heartbeats
this script sends.

    python -m benchmarks.growth.idle --registered 500 --seconds 60
"""

from __future__ import annotations

import argparse
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from benchmarks import rush
from benchmarks.growth import common
from benchmarks.rush import Rush, percentile
from benchmarks.server import Server

LEASE = 15.0
MIB = 1024

REGISTER = """
    INSERT INTO rush.worker (name, state, slots, queues, host, boot_id, pid, version, code,
                             backend_pid, backend_start, lease_expires_at)
    SELECT 'registered' || n, 'Alive', 2, '{elsewhere}', 'host' || n, md5(n::text), n, '0', md5(n::text),
           a.pid, a.backend_start, clock_timestamp() + interval '1 minute'
      FROM generate_series(1, %s) n, pg_stat_activity a WHERE a.pid = pg_backend_pid()
"""
BEAT = """
    UPDATE rush.worker SET last_seen = clock_timestamp(),
                           lease_expires_at = clock_timestamp() + interval '15 seconds'
     WHERE name = 'registered' || %s
"""


def main(words: list[str] | None = None) -> None:
    parser = common.options(__doc__)
    parser.add_argument("--registered", type=int, nargs="+", default=[0, 500])
    parser.add_argument("--seconds", type=float, default=20, help="of rest that are looked at")
    arguments = parser.parse_args(words)
    rows, senders = [], []
    with common.server(arguments) as server:
        if server.log is None:
            raise SystemExit("statements are counted in the server's log: leave out --url")
        for count in arguments.registered:
            with common.fresh(server) as there:
                log_statements(there)
                common.started(there, arguments)
                there.define("pickup", rush.chain("Stamp", 1))
                with registered(there, count):
                    found = at_rest(server, there, arguments.seconds)
                    senders += [[count, who, rate] for who, rate in sorted(found.items())]
                    rows.append(row(there, server, count, found, arguments))
                memory = memory_of(there)
    common.show(
        "idle-memory",
        "Memory at rest, after some jobs",
        ["process", "resident MiB", "own share MiB"],
        memory,
    )
    common.show(
        "idle-statements",
        "Statements a second at rest",
        ["registered", "connection", "a second"],
        senders,
    )
    common.show(
        "idle",
        f"At rest for {arguments.seconds:g} s, with more workers registered",
        ["registered", "statements/s", "worker's ms of processor a s", "pickup p50 ms", "steps/s"],
        rows,
    )


def row(
    there: Rush, server: Server, count: int, found: dict[str, float], arguments: argparse.Namespace
) -> list[float]:
    seconds = arguments.seconds
    before = processor_seconds(there)
    time.sleep(seconds)
    used = (processor_seconds(there) - before) / seconds * 1000
    pickup = percentile(there.pickups(there.submit, 30), 0.5)
    return [count, sum(found.values()), used, pickup, common.rate(there, arguments.runs)]


# Statements -----------------------------------------------------------------------------


def log_statements(there: Rush) -> None:
    """Of whoever connects from now on."""
    name = there.one("SELECT quote_ident(current_database())")
    there.connection.execute(f"ALTER DATABASE {name} SET log_statement = 'all'")


def at_rest(server: Server, there: Rush, seconds: float) -> dict[str, float]:
    """Statements a second of each of the worker's connections."""
    names = dict(
        there.connection.execute(
            "SELECT pid, application_name FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'rush worker%'"
        ).fetchall()
    )
    time.sleep(2)
    begins = server.log.stat().st_size
    time.sleep(seconds)
    found = Counter(pid for pid in statements_since(server.log, begins) if pid in names)
    return {name: found[pid] / seconds for pid, name in names.items()}


def statements_since(log: Path, begins: int) -> Iterator[int]:
    """The process that sent it, for each statement."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        lines.seek(begins)
        for line in lines:
            if match := re.search(r"\[(\d+)\] LOG:  (?:statement|execute)", line):
                yield int(match[1])


# Workers that are only registered --------------------------------------------------------


@contextmanager
def registered(there: Rush, count: int) -> Iterator[None]:
    """So many more rows in `worker`, which look alive and serve a queue where nothing is."""
    over = threading.Event()

    def beat() -> None:
        number = 0
        while not over.wait(LEASE / 3 / count):
            number = number % count + 1
            connection.execute(BEAT, [number])

    with psycopg.connect(there.url, autocommit=True) as connection:
        connection.execute(REGISTER, [count])
        thread = threading.Thread(target=beat)
        if count:
            thread.start()
        try:
            yield
        finally:
            over.set()
            if count:
                thread.join()
            connection.execute("DELETE FROM rush.worker WHERE name LIKE 'registered%'")


# Processes ------------------------------------------------------------------------------


def processor_seconds(there: Rush) -> float:
    ticks = 0
    for pid in processes(there):
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(after_name[11]) + int(after_name[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_of(there: Rush) -> list[list[str | float]]:
    """Of each worker's supervisor, and of each of its runners."""
    rows: list[list[str | float]] = []
    for name, process in there.workers.items():
        rows.append([f"{name}, the supervisor", *memory(process.pid)])
        rows += [[f"{name}, a runner", *memory(pid)] for pid in children(process.pid)]
    return rows


def memory(pid: int) -> tuple[float, float]:
    """MiB that are resident, and of these its own share of what others use too."""
    found = dict(
        re.findall(r"^(Rss|Pss): +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    )
    return int(found["Rss"]) / MIB, int(found["Pss"]) / MIB


def processes(there: Rush) -> list[int]:
    pids = [process.pid for process in there.workers.values()]
    return pids + [child for pid in pids for child in children(pid)]


def children(pid: int) -> list[int]:
    """What a process has started, and what these have."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for task in tasks for child in task.read_text().split()]
    return found + [further for child in found for further in children(child)]


if __name__ == "__main__":
    main()
