"""Giving each input to Rush, and hearing what is said: how it ends, and the words."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import psycopg

from rush.client import Client
from rush.errors import RefusedError, RushError
from tests.inputs.scene import Scene
from tests.inputs.table import Case, made

Said = tuple[Any, str]


def call_client(case: Case, scene: Scene) -> Said:
    with Client(scene.url) as client, scene.unchanged():
        try:
            made(case.input["call"], client=client, Client=Client, look=look, url=scene.url)
        except RushError as error:
            return type(error).__name__, str(error)
    return None, "was taken"


def look(url: str, schema: str = "rush") -> Any:
    with Client(url, schema=schema) as client:
        return client.pipelines()


def ask_the_master(case: Case, scene: Scene) -> Said:
    """What only the master can refuse: the request stays, with the reason, and nothing else."""
    with scene.forgotten() as kernel, scene.unchanged(without="run_request"):
        run = made(case.input["asks"], client=Client(scene.connection))
        kernel.take()
        try:
            run.read()
        except RefusedError as error:
            assert kernel.verdict(run.request_id) == ("Rejected", str(error), None)
            return "RefusedError", str(error)
    return None, "was taken"


def call_command(case: Case, scene: Scene, rush: Any) -> Said:
    given = case.input
    for path, text in given.get("files", {}).items():
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(text)
    for path, target in given.get("links", {}).items():
        Path(path).symlink_to(target)
    for path in given.get("pipes", ()):
        os.mkfifo(path)
    arguments = given["args"] if "args" in given else made(given["argv"])
    # What was refused has been tried, and is noted as that.
    with scene.unchanged(without="audit" if case.ends == 1 else ""):
        ended = rush(*arguments)
    said = (ended.out + ended.err).replace(str(Path.cwd()), "PROJECT")
    return ended.code, re.sub(r'database "test_\d+"', 'database "DATABASE"', said)


def read_file(case: Case, scene: Scene, rush: Any) -> Said:
    """`rush validate` says it, and `rush pipelines apply` the same as errors."""
    given = case.input
    path = Path(given.get("file", "p.yaml"))
    text = given["text"] if "text" in given else made(given["make"])
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    looked = rush("validate", path)
    with scene.unchanged():
        applied = rush("pipelines", "apply", path)
    said = looked.out + looked.err
    lines = [line.removeprefix("error: ") for line in said.splitlines()]
    if looked.code != 0:
        assert (applied.code, applied.out) == (2, "")
        assert applied.err.splitlines() == [f"error: {line}" for line in lines]
    return looked.code, said


def run_statement(case: Case, scene: Scene) -> Said:
    """The database refuses a statement, or the master what it asks for."""
    with scene.forgotten() as kernel:
        before = scene.picture()
        try:
            with scene.connection.transaction():
                asked = kernel.sql(case.input["sql"])
        except psycopg.Error as error:
            assert scene.picture() == before
            said = error.diag.message_primary or str(error)
            # Partitions are named by their week.
            return error.sqlstate, re.sub(r"archive_\d+w\d+", "archive", said)
        if not asked:
            return None, "was taken"
        before = scene.picture(without="run_request")
        kernel.take()
        kernel.take()
        # Where several ask for the same, the first gets it.
        assert len(asked) > 1 or scene.picture(without="run_request") == before
        status, reason, _ = kernel.verdict(asked[-1].id)
        return status, reason or ""


def insert_definition(case: Case, scene: Scene) -> Said:
    """A definition that was put into its row is refused when the master compiles it."""
    with scene.forgotten() as kernel:
        before = [kernel.sql(f"SELECT * FROM {each}") for each in ("pipeline_job", "run")]
        kernel.sql("INSERT INTO pipeline VALUES ('new', %s)", case.input["definition"])
        kernel.compile()
        error = kernel.one("SELECT error FROM pipeline_version WHERE pipeline = 'new'")
        if error is None:
            return None, "was taken"
        reason = kernel.refused(kernel.request("new"))
        assert reason == f"the definition of new cannot run: {error}"
        assert before == [kernel.sql(f"SELECT * FROM {each}") for each in ("pipeline_job", "run")]
        return "cannot run", error
