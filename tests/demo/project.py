"""A runner for the jobs of the demo that is no more than their Context."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from rush.domain.definition import read_pipeline_file
from rush.domain.graph import compile_graph
from rush.jobs.base import Job
from rush.jobs.loader import Loader

LOGGER = logging.getLogger("demo")


@dataclass(kw_only=True)
class Attempt:
    """One attempt at a job of the demo, with a transaction on a real database."""

    job: str
    params: dict[str, Any]
    url: str = ""
    attempt: int = 1
    done: Mapping[str, Any] = field(default_factory=dict)
    pipeline: str = "flights"
    run_id: int = 1
    jobinstance: int = 1
    item: int = 0
    round: int = 0
    token: int = 1
    logger: logging.Logger = LOGGER
    shown: list[tuple[float, float | None]] = field(default_factory=list)

    def results(self) -> Mapping[str, Any]:
        return self.done

    def progress(self, done: float, total: float | None) -> None:
        self.shown.append((done, total))

    def cancelled(self) -> bool:
        return False

    def transaction(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        return psycopg.connect(self.url)


class Project:
    """A project folder whose jobs can be run one by one, in the order of its definition."""

    def __init__(self, folder: Path) -> None:
        text = (folder / "pipelines" / "flights.yaml").read_text()
        self.definition = read_pipeline_file(text, syntax="yaml", default_name="").definition
        self.graph = compile_graph(self.definition)
        self.loader = Loader(folder)

    def job(self, name: str) -> type[Job]:
        return self.loader.load(self.definition.jobs[self.graph.position(name)].class_name)

    def run_all(self, url: str, **params: Any) -> dict[str, Any]:
        """The results by job. The jobs before a job in the file are those before it in the graph."""
        results: dict[str, Any] = {}
        for job in self.definition.jobs:
            given = {**self.definition.params, **params}
            results[job.name] = self.run(job.name, given, url=url, attempt=2, done=results)
        return results

    def run(self, job: str, params: dict[str, Any], **attempt: Any) -> Any:
        return self.job(job)(Attempt(job=job, params=params, **attempt)).run()
