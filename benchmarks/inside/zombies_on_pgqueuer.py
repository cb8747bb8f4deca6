"""
PgQueuer, with the settings as they come: a job whose heartbeat is older than 30 s is picked again.

    python zombies_on_pgqueuer.py install|ask|work URL COUNT
"""

from __future__ import annotations

import asyncio
import logging
import sys

import asyncpg
import uvloop
import zombies
from pgqueuer import PgQueuer
from pgqueuer.models import Job
from pgqueuer.queries import Queries

MARK = "INSERT INTO mark (number, name, what) VALUES ($1, $2, $3)"


async def main(verb: str, url: str, count: int) -> None:
    connection = await asyncpg.connect(url)
    queries = Queries.from_asyncpg_connection(connection)
    match verb:
        case "install":
            await queries.install()
        case "ask":
            payloads = [str(number).encode() for number in range(count)]
            await queries.enqueue(["hold"] * count, payloads, [0] * count)
        case "work":
            await work(url, count)


async def work(url: str, count: int) -> None:
    pgq = PgQueuer.from_asyncpg_connection(await asyncpg.connect(url))

    @pgq.entrypoint("hold")
    async def hold(job: Job) -> None:
        number = int(job.payload)
        connection = await asyncpg.connect(url)
        await connection.execute(MARK, number, zombies.NAME, "begun")
        while not zombies.may_go_on():
            await asyncio.sleep(zombies.LOOK)
        await connection.execute(MARK, number, zombies.NAME, "over")
        await connection.close()

    # It wants room for two batches.
    await pgq.run(batch_size=count, max_concurrent_tasks=2 * count)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
