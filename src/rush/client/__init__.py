"""
Rush from Python: ask for runs, wait for them, read them.

    with Client("postgresql://localhost/warehouse") as client:
        run = client.submit("etl", params={"day": "2026-11-25"}).wait()
        print(run.state, run.result("load"))

A client may also be given an open psycopg connection. Then what it asks for is a part of
the caller's transaction: it is committed, or is not, together with the caller's own data.

    with psycopg.connect(...) as connection:
        connection.execute("INSERT INTO delivery ...")
        run = Client(connection).submit("etl")
        connection.commit()
        run.wait()

A client that was given a URL opens a new connection when it has lost its own: reading goes
on then, waiting sits out an outage, and what was asked for is asked for once. With a
connection of the caller's, a lost one is an error.

A client is for one thread at a time. Every method may raise DatabaseError when the
database is out of reach, and SchemaError when Rush's tables are not there.
"""

from rush.client.client import Client
from rush.client.run import Run

__all__ = ["Client", "Run"]
