"""
DBOS, in two ways.

Alone: the workflow runs in the process that asks for it, which is its fastest start.
Through a queue: one process enqueues and others run, as all other products here do; tuned
by a short polling interval and a limit of workflows at once on each worker. What is to be
drained is enqueued in one transaction, which is committed when the clock starts: starting
takes it so long that its workers are up before.

    python on_dbos.py alone|client|worker URL [NUMBER]
"""

from __future__ import annotations

import signal
import sys
import time

import sqlalchemy as sa
import talk
from dbos import DBOS, DBOSClient
from steps import fibo, stamp

QUEUE = "bench"
POLLING = 0.01
AT_ONCE = 50
POOL = 20


@DBOS.step()
def nothing() -> None:
    pass


@DBOS.step()
def compute(n: int, last: bool) -> int:
    value = fibo(n)
    if last:
        stamp()
    return value


@DBOS.workflow()
def noop(steps: int) -> None:
    """A job of one step is the workflow itself, without a row more for its step."""
    if steps > 1:
        for _ in range(steps):
            nothing()


@DBOS.workflow()
def pickup() -> None:
    stamp()


@DBOS.workflow()
def chain(steps: int, n: int) -> None:
    for left in range(steps, 0, -1):
        compute(n, last=left == 1)


def launch(url: str, executor: str, *, listen: bool) -> None:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": url.replace("postgresql://", "postgresql+psycopg://"),
            "sys_db_pool_size": POOL,
            "application_version": "bench",
            "executor_id": executor,
            "log_level": "ERROR",
        }
    )
    DBOS.listen_queues([QUEUE] if listen else [])
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=AT_ONCE, polling_interval_sec=POLLING)


def alone(url: str) -> None:
    launch(url, "alone", listen=False)
    for verb, *arguments in talk.asked():
        began = time.monotonic()
        match verb:
            case "enqueue":
                _, count, steps = arguments
                for _ in range(count):
                    DBOS.start_workflow(noop, steps)
            case "pickup":
                DBOS.start_workflow(pickup)
            case "chain":
                DBOS.start_workflow(chain, *arguments)
        talk.answer(began)


def client(url: str) -> None:
    launch(url, "client", listen=False)
    url = url.replace("postgresql://", "postgresql+psycopg://")
    connection = sa.create_engine(url).connect()
    outside = DBOSClient(system_database_url=url, application_name="bench")
    for verb, *arguments in talk.asked():
        began = time.monotonic()
        match verb:
            case "enqueue":
                _, count, steps = arguments
                for _ in range(count):
                    outside.enqueue_in_transaction(connection, options("noop"), steps)
            case "commit":
                connection.commit()
            case "pickup":
                outside.enqueue(options("pickup"))
            case "chain":
                outside.enqueue(options("chain"), *arguments)
        talk.answer(began)


def options(workflow: str) -> dict[str, str]:
    return {"workflow_name": workflow, "queue_name": QUEUE, "app_version": "bench"}


def worker(url: str, number: str) -> None:
    launch(url, f"worker{number}", listen=True)
    talk.wait_for_go()
    signal.pause()


if __name__ == "__main__":
    {"alone": alone, "client": client, "worker": worker}[sys.argv[1]](*sys.argv[2:])
