"""
procrastinate, tuned: async tasks in the worker's own process, many at once, and as many
connections in the pool. It knows no chains: each step defers the next.

    python on_procrastinate.py client|worker URL
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time

import talk
from procrastinate import App, PsycopgConnector
from steps import fibo, stamp

CONCURRENCY = 10

app = App(connector=PsycopgConnector(conninfo=sys.argv[2], min_size=4, max_size=CONCURRENCY + 2))


@app.task(name="noop")
async def noop(left: int) -> None:
    if left > 1:
        await noop.defer_async(left=left - 1)


@app.task(name="pickup")
async def pickup() -> None:
    stamp()


@app.task(name="fibo")
async def compute(left: int, n: int) -> None:
    fibo(n)
    if left > 1:
        await compute.defer_async(left=left - 1, n=n)
    else:
        stamp()


async def client() -> None:
    async with app.open_async():
        async for verb, *arguments in talk.asked_meanwhile():
            began = time.monotonic()
            match verb:
                case "install":
                    await app.schema_manager.apply_schema_async()
                case "enqueue":
                    _, count, steps = arguments
                    await noop.batch_defer_async(*[{"left": steps}] * count)
                case "pickup":
                    await pickup.defer_async()
                case "chain":
                    steps, n = arguments
                    await compute.defer_async(left=steps, n=n)
            talk.answer(began)


async def worker() -> None:
    async with app.open_async():
        talk.wait_for_go()
        await app.run_worker_async(concurrency=CONCURRENCY)


if __name__ == "__main__":
    logging.disable(logging.INFO)  # two lines a job, which nobody reads
    asyncio.run({"client": client, "worker": worker}[sys.argv[1]]())
