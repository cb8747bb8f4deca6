"""Copy the raw files into PostgreSQL as they are."""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Identifier

from rush import Job

from .feeds import FEEDS, Feed

CHUNK = 1 << 16


class Load(Job):
    """Fill the tables `flights.raw_…` anew, all of them or none."""

    def run(self) -> dict[str, int]:
        data = Path(self.params["data"])
        with self.transaction() as tx:
            tx.execute("CREATE SCHEMA IF NOT EXISTS flights")
            loaded: dict[str, int] = {}
            for done, feed in enumerate(FEEDS, start=1):
                create(tx, feed)
                loaded[feed.name] = copy(tx, feed, data)
                self.logger.info("%s: %s rows loaded", feed.name, f"{loaded[feed.name]:,}")
                self.progress(done, len(FEEDS))
            checked = self.results.get("extract", loaded)  # not there when a run starts here
            if loaded != checked:
                raise ValueError(f"loaded {loaded}, but extract had checked {checked}")
            return loaded


def create(tx: Connection[Any], feed: Feed) -> None:
    columns = [SQL("{} " + type_).format(Identifier(c)) for c, type_ in feed.columns.items()]
    statement = SQL("CREATE TABLE IF NOT EXISTS {} ({})")
    tx.execute(statement.format(table(feed), SQL(", ").join(columns)))


def copy(tx: Connection[Any], feed: Feed, data: Path) -> int:
    """The number of rows. The file goes through as it is: PostgreSQL reads CSV faster than we do."""
    tx.execute(SQL("TRUNCATE {}").format(table(feed)))
    statement = SQL("COPY {} FROM STDIN (FORMAT csv, HEADER match, NULL 'NA')")
    with tx.cursor() as cursor:
        with lzma.open(feed.path(data)) as file, cursor.copy(statement.format(table(feed))) as rows:
            while chunk := file.read(CHUNK):
                rows.write(chunk)
        tx.execute(SQL("ANALYZE {}").format(table(feed)))
        return cursor.rowcount


def table(feed: Feed) -> Identifier:
    return Identifier("flights", f"raw_{feed.name}")
