"""
PgQueuer, tuned: uvloop, `pgq autovac`, batches of 500, a connection of its own for each
worker and a pool for what the jobs themselves enqueue. Steps are async and run in the
worker's own process. It knows no chains: each step enqueues the next.

    python on_pgqueuer.py client|worker URL
"""

from __future__ import annotations

import json
import sys
import time

import asyncpg
import talk
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from steps import fibo, stamp

BATCH = 500
POOL = 5


async def client(url: str) -> None:
    connection = await asyncpg.connect(url)
    queries = Queries.from_asyncpg_connection(connection)
    async for verb, *arguments in talk.asked_meanwhile():
        began = time.monotonic()
        match verb:
            case "install":
                await queries.install()
                await queries.optimize_autovacuum()
            case "enqueue":
                kind, count, steps = arguments
                payload = json.dumps({"left": steps}).encode()
                await queries.enqueue([kind] * count, [payload] * count, [0] * count)
            case "pickup":
                await queries.enqueue("pickup", None)
            case "chain":
                steps, n = arguments
                await queries.enqueue("fibo", json.dumps({"left": steps, "n": n}).encode())
        talk.answer(began)


async def worker(url: str) -> None:
    pgq = PgQueuer.from_asyncpg_connection(await asyncpg.connect(url))
    pool = await asyncpg.create_pool(url, min_size=POOL, max_size=POOL)
    following = Queries.from_asyncpg_pool(pool)

    @pgq.entrypoint("noop")
    async def noop(job: Job) -> None:
        await go_on("noop", json.loads(job.payload))

    @pgq.entrypoint("pickup")
    async def pickup(job: Job) -> None:
        stamp()

    @pgq.entrypoint("fibo")
    async def compute(job: Job) -> None:
        step = json.loads(job.payload)
        fibo(step["n"])
        if step["left"] == 1:
            stamp()
        await go_on("fibo", step)

    async def go_on(kind: str, step: dict[str, int]) -> None:
        if step["left"] > 1:
            await following.enqueue(kind, json.dumps(step | {"left": step["left"] - 1}).encode())

    talk.wait_for_go()
    await pgq.run(batch_size=BATCH)


if __name__ == "__main__":
    uvloop.run({"client": client, "worker": worker}[sys.argv[1]](sys.argv[2]))
