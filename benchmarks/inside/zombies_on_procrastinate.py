"""
procrastinate, with the periodic task that its documentation advises for stalled jobs, every minute
instead of every ten.

    python zombies_on_procrastinate.py install|ask|work URL COUNT
"""

from __future__ import annotations

import asyncio
import logging
import sys

import psycopg
import zombies
from procrastinate import App, PsycopgConnector

MARK = "INSERT INTO mark (number, name, what) VALUES (%s, %s, %s)"

app = App(connector=PsycopgConnector(conninfo=sys.argv[2], min_size=1, max_size=5))


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="retry_stalled_jobs", pass_context=True)
async def retry_stalled_jobs(context, timestamp):
    stalled_jobs = await app.job_manager.get_stalled_jobs()
    for job in stalled_jobs:
        await app.job_manager.retry_job(job)


@app.task(name="hold")
async def hold(number: int) -> None:
    async with await psycopg.AsyncConnection.connect(sys.argv[2], autocommit=True) as connection:
        await connection.execute(MARK, [number, zombies.NAME, "begun"])
        while not zombies.may_go_on():
            await asyncio.sleep(zombies.LOOK)
        await connection.execute(MARK, [number, zombies.NAME, "over"])


async def main(verb: str, count: int) -> None:
    async with app.open_async():
        match verb:
            case "install":
                await app.schema_manager.apply_schema_async()
            case "ask":
                await hold.batch_defer_async(*[{"number": n} for n in range(count)])
            case "work":
                await app.run_worker_async(concurrency=count)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main(sys.argv[1], int(sys.argv[3])))
