"""Definitions as they are shown, and what has changed between two."""

from __future__ import annotations

from itertools import islice
from typing import Any

import yaml

from rush.web.definition_text import LONGEST_SAME, compared, written


def job(number: int, **more: Any) -> dict[str, Any]:
    return {"class_name": "jobs.any.Any", "name": f"job_{number}"} | more


def said(lines: Any, kind: str = "") -> list[str]:
    return [line.text for line in lines if line.kind == kind]


def test_it_is_the_definition_in_the_order_in_which_people_read() -> None:
    """Names come first, jobs last; what YAML reads from it is what there is."""
    definition = {"jobs": [job(1, depends_on=[]), job(2)], "description": "two", "params": {"a": 1}}

    lines = said(written(definition))

    assert yaml.safe_load("\n".join(lines)) == definition
    assert lines[:5] == ["description: two", "params:", "  a: 1", "jobs:", "- name: job_1"]


def test_whatever_json_it_is_it_is_shown() -> None:
    """Also what no pipeline can be."""
    for jobs in ("none", [], [job(1), job(1)], ["word", 7], {"a": 1}):
        lines = said(written({"jobs": jobs}))
        assert yaml.safe_load("\n".join(lines)) == {"jobs": jobs}


def test_only_what_is_read_is_written() -> None:
    """Of a definition without end the first lines are there at once."""

    class Endless(dict[str, Any]):
        written = 0

        def __getitem__(self, key: str) -> Any:
            Endless.written += 1
            return super().__getitem__(key)

    jobs = [Endless(job(number)) for number in range(1000)]

    assert len(list(islice(written({"jobs": jobs}), 21))) == 21
    assert Endless.written < 100


def test_a_secret_is_not_shown_where_it_has_changed() -> None:
    """Two values that are both hidden look the same."""
    old, new = ({"params": {"password": word}} for word in ("old", "new"))

    lines = list(compared(old, new))

    assert said(lines, "new") == said(lines, "old") == []
    assert "old" not in str(lines)


def test_a_job_is_compared_with_itself() -> None:
    """What was added, taken away and altered, each beside what stands around it."""
    old = {"jobs": [job(1), job(2, queue="big"), job(3)]}
    new = {"jobs": [job(1), job(2, queue="small"), job(4)]}

    lines = list(compared(old, new))

    assert said(lines, "old") == ["  queue: big", "- name: job_3", "  class_name: jobs.any.Any"]
    assert said(lines, "new") == ["  queue: small", "- name: job_4", "  class_name: jobs.any.Any"]
    assert "- name: job_1" in said(lines)


def test_what_is_the_same_for_long_is_left_out() -> None:
    """So that a change among thousands of jobs is seen, and how many are the same."""
    jobs = [job(number) for number in range(6000)]
    altered = [*jobs[:3000], job(3000, priority=7), *jobs[3001:]]

    lines = list(compared({"jobs": jobs}, {"jobs": altered}))

    assert said(lines, "new") == ["  priority: 7"]
    assert len(lines) < 2 * LONGEST_SAME
    assert "# 2,995 that are the same" in said(lines)
