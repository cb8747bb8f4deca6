"""The engine's commands, on a real database; workers are rows, and the master's part is done by the tests."""

from __future__ import annotations

import getpass
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rush.cli import engine, output
from rush.cli.run import declared_params
from tests.support.factories import Factories
from tests.support.meanwhile import Meanwhile, doing_meanwhile, pending

DEFINITION = """\
jobs:
  - name: extract
    class_name: jobs.any.Any
  - name: load
    class_name: jobs.any.Any
    retry_limit: 3
"""


@pytest.fixture
def factories(connection) -> Factories:
    return Factories(connection)


@pytest.fixture
def rush(rush, database, monkeypatch):
    """The command line, on the test's database."""
    monkeypatch.setenv("RUSH_DATABASE_URL", database)
    return rush


@pytest.fixture
def meanwhile(database) -> Iterator[Meanwhile]:
    with doing_meanwhile(database) as start:
        yield start


@pytest.fixture
def master(factories) -> None:
    """There is a worker, and it is master."""
    factories.master(factories.worker("worker1"))


def accepting(
    state: str | None = None, error: str = "ValueError: no"
) -> Callable[[Factories], None]:
    """A master that takes the next request, and brings its run into a state."""

    def work(others: Factories) -> None:
        request = pending(others)
        run = others.run("etl", jobinstance=7)
        others.decide(request, run=run)
        if state == "Stuck":
            others.attempt(run, "extract", state="Failed", error=error)
            others.job(run, "extract", state="Stuck")
        if state:
            others.end(run, state)

    return work


def requests_in(connection) -> list[tuple]:
    return connection.execute(
        "SELECT pipeline, job, jobinstance, action, params FROM rush.run_request ORDER BY id"
    ).fetchall()


def write_pipeline(text: str = DEFINITION, name: str = "etl.yaml") -> Path:
    path = Path("pipelines") / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


# rush run -------------------------------------------------------------------------------


def test_run_asks_and_says_which_run(rush, factories, master, meanwhile, connection):
    """
    A run is asked for with its parameters, and its name and id are the answer.
    """
    factories.pipeline("etl")
    meanwhile(accepting())

    ended = rush("run", "etl", "-p", "day=2026-11-25", "-p", "limit=5", "--key", "k")

    assert (ended.code, ended.out) == (0, "etl/7 (run 1)\n")
    assert "rush logs etl/7 -f" in ended.err
    assert requests_in(connection)[0][-1] == {"day": "2026-11-25", "limit": 5}


def test_run_without_a_master_says_what_is_missing(rush, factories):
    """
    Where nobody takes the request it stands, and what to start is said.
    """
    factories.pipeline("etl")

    ended = rush("run", "etl")

    assert (ended.code, ended.out) == (0, "request 1 for etl is Pending\n")
    assert "start a worker by `rush worker`" in ended.err


def test_run_that_is_rejected(rush, factories, master, meanwhile):
    """
    The master's reason is the error, and the exit code is 1.
    """
    factories.pipeline("etl")
    meanwhile(lambda others: others.decide(pending(others), reason="etl has no job lod"))

    ended = rush("run", "etl", "--job", "lod")

    assert (ended.code, ended.out, ended.err) == (1, "", "error: etl has no job lod\n")


def test_run_for_programs(rush, factories, master, meanwhile):
    """
    With --json the answer is one object.
    """
    factories.pipeline("etl")
    meanwhile(accepting())

    ended = rush("run", "etl", "--json")

    assert json.loads(ended.out) == {
        "request_id": 1,
        "run_id": 1,
        "run": "etl/7",
        "pipeline": "etl",
        "jobinstance": 7,
        "state": "Running",
    }


def test_run_warns_when_no_worker_is_alive(rush, factories, connection, meanwhile):
    """
    A run that was taken and that nobody works on says so.
    """
    factories.pipeline("etl")
    factories.master(factories.worker("worker1", state="Draining"))
    meanwhile(accepting())

    ended = rush("run", "etl")

    assert ended.code == 0
    assert "no worker is alive: start one by `rush worker`" in ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-p", "day"], 2, 'a parameter is given as key=value, not "day"'),
        (["-p", "a=1", "-p", "a=2"], 2, 'the parameter "a" is given twice'),
        (["--timeout", "soon"], 2, "must be a duration like 90s"),
        (["--instance", "0"], 2, "jobinstance must be from 1 to"),
        (["--key", ""], 2, "an idempotency key must have 1 to 200 characters"),
    ],
)
def test_run_with_what_cannot_be(rush, factories, connection, arguments, code, message):
    """
    What cannot be asked for is an error of usage, and asks for nothing.
    """
    factories.pipeline("etl")

    ended = rush("run", "etl", *arguments)

    assert ended.code == code
    assert message in ended.err
    assert requests_in(connection) == []


def test_run_with_a_parameter_that_is_probably_misspelt(rush, factories, connection):
    """
    A parameter that is like a declared one is warned of, and given all the same; others are not.
    """
    factories.pipeline("etl", params={"day": "2026-11-25", "limit": 5})

    warned = rush("run", "etl", "-p", "limits=3", "-p", "day=1", "-p", "colour=red")
    quiet = rush("run", "etl", "-p", "limits=3", "-q")

    assert (warned.code, quiet.code) == (0, 0)
    assert warned.err.splitlines()[0] == (
        'warning: the definition has no parameter "limits"; did you mean `limit`?'
    )
    assert warned.err.count("warning:") == 1
    assert "warning" not in quiet.err
    assert requests_in(connection)[0][-1] == {"limits": 3, "day": 1, "colour": "red"}


@pytest.mark.parametrize(
    ("definition", "declared"),
    [
        ({"params": {"a": 1}, "jobs": [{"params": {"b": 1}}, {}]}, {"a", "b"}),
        ({"params": [], "jobs": [{"params": None}, 7]}, set()),
        ({"jobs": "none"}, set()),
    ],
)
def test_declared_parameters(definition, declared):
    """
    Parameters are declared for all jobs or for one; a definition that cannot run declares what it can.
    """
    assert declared_params(definition) == declared


def test_run_of_no_pipeline(rush, factories):
    """
    A pipeline that is neither in the database nor in a file is not found, with what was meant.
    """
    factories.pipeline("flights")

    ended = rush("run", "flihgts")

    assert ended.code == 3
    assert 'there is no pipeline "flihgts"; did you mean `flights`?' in ended.err
    assert rush("run", "../etl").code == 2


def test_run_applies_the_file_of_a_new_pipeline(rush, connection):
    """
    A pipeline that has only a file is applied first, and that is said.
    """
    write_pipeline()

    ended = rush("run", "etl")

    assert ended.code == 0
    assert "applied pipelines/etl.yaml: etl version 1" in ended.err
    assert connection.execute("SELECT name FROM rush.pipeline").fetchall() == [("etl",)]


def test_run_says_when_file_and_table_differ(rush, factories):
    """
    The table is what runs; a file that says something else is mentioned, the same one is not.
    """
    path = write_pipeline()
    rush("pipelines", "apply", path)
    assert "is not what the database has" not in rush("run", "etl").err

    write_pipeline(DEFINITION.replace("3", "4"))
    assert "rush pipelines apply pipelines/etl.yaml" in rush("run", "etl").err
    write_pipeline("jobs: [")
    assert "is not what the database has" in rush("run", "etl").err


def test_a_file_of_another_name_is_not_applied(rush, connection):
    """
    A file whose definition has another name than the run asked for is refused.
    """
    write_pipeline("name: other\n" + DEFINITION)

    ended = rush("run", "etl")

    assert (ended.code, requests_in(connection)) == (2, [])
    assert "holds the pipeline other, not etl" in ended.err


IMPORTED = """
import sys
from rush.cli.app import run
run(sys.argv[1:])
print(*(name for name in ("pydantic", "yaml", "rich.live", "psycopg") if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("command", "imported"),
    [
        ("runs --help", ""),
        ("runs", "psycopg"),
        ("runs show etl/1", "psycopg"),
        ("run etl", "yaml psycopg"),
        ("logs etl/1", "psycopg"),
        ("explain etl/1", "psycopg"),
        ("pipelines", "psycopg"),
        ("workers", "psycopg"),
        ("retry etl/1", "psycopg"),
        ("cancel etl/1", "psycopg"),
        ("pause etl", "psycopg"),
    ],
)
def test_commands_import_what_they_use(rush, factories, command, imported):
    """
    What is dear to import is imported by those commands alone that use it.
    """
    factories.pipeline("etl")
    factories.run(state="Complete")
    definition = json.loads(rush("pipelines", "show", "etl", "--json").out)
    write_pipeline(json.dumps(definition))

    ended = subprocess.run(
        [sys.executable, "-c", IMPORTED, *command.split()],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert ended.stderr.splitlines()[-1] == imported


# rush run --wait ------------------------------------------------------------------------


def test_waiting_for_a_good_end(rush, factories, master, meanwhile):
    """
    With --wait each change is a line, and a Complete run ends with 0.
    """
    factories.pipeline("etl")

    def work(others: Factories) -> None:
        request = pending(others)
        run = others.run("etl", jobinstance=7, started=-2)
        others.attempt(run, "extract", started=-2, finished=-1.5)
        others.decide(request, run=run)
        others.end(run)

    meanwhile(work)

    ended = rush("run", "etl", "--wait")

    assert ended.code == 0
    first, last = ended.out.splitlines()
    assert first == "✓ extract#1 Complete after 0.5 s"
    assert last.startswith("✓ etl/7 is Complete after 2.")


def test_waiting_for_a_bad_end(rush, factories, master, meanwhile):
    """
    A run that is Stuck ends with 1, its error and the commands that come next.
    """
    factories.pipeline("etl")
    meanwhile(accepting("Stuck"))

    ended = rush("run", "etl", "--wait")

    assert ended.code == 1
    assert "error: etl/7 extract is Stuck after attempt 1: ValueError: no" in ended.err
    assert ended.out == "✗ extract#1 Failed after 5.0 s: ValueError: no\n"
    assert (ended.out + ended.err).count("is Stuck") == 1
    assert "help: see its log: rush logs etl/7 extract" in ended.err
    assert "rush retry etl/7" in ended.err


def test_waiting_for_a_cancelled_run(rush, factories, master, meanwhile):
    """
    A run that was cancelled ends with 1.
    """
    factories.pipeline("etl")
    meanwhile(accepting("Cancelled"))

    ended = rush("run", "etl", "--wait", "--json")

    assert (ended.code, ended.err) == (1, "error: etl/7 was cancelled\n")
    assert json.loads(ended.out)["run"]["state"] == "Cancelled"


def test_waiting_too_long(rush, factories):
    """
    When the time is over the exit code is 5, with a word about the worker that is missing.
    """
    factories.pipeline("etl")

    ended = rush("run", "etl", "--wait", "--timeout", "0.1s")

    assert ended.code == 5
    assert "request 1 is still Pending after 0.1 s" in ended.err
    assert "no worker is alive: start one by `rush worker`" in ended.err


def test_ctrl_c_leaves_the_run_alone(rush, factories, master, meanwhile, monkeypatch):
    """
    Who interrupts the watching learns how to go on, and the run does.
    """
    factories.pipeline("etl")
    meanwhile(accepting())

    def interrupted(client, run, out, **options) -> None:
        run.wait_for_verdict(timeout=10)
        raise KeyboardInterrupt

    monkeypatch.setattr("rush.cli.watching.watch", interrupted)
    ended = rush("run", "etl", "--wait")

    assert ended.code == 130
    assert "etl/7 goes on" in ended.err
    assert "rush cancel etl/7" in ended.err


def test_a_terminal_gets_a_picture(rush, factories, master, meanwhile, monkeypatch):
    """
    On a terminal the run is a table that is drawn in its place.
    """
    factories.pipeline("etl")
    meanwhile(accepting("Stuck"))
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("TERM", "xterm")

    ended = rush("run", "etl", "--wait", "--color", "never")

    assert ended.code == 1
    assert "⬣ Stuck" in ended.out
    assert "· not yet" in ended.out
    assert "after extract" in ended.out


# rush runs ------------------------------------------------------------------------------


def test_runs_are_listed(rush, factories):
    """
    The list has each run's state, name, id, age and duration, and keeps to its filters.
    """
    factories.pipeline("etl")
    factories.pipeline("other")
    factories.run("etl", state="Complete", started=-60, finished=-50)
    factories.run("other", state="Stuck", started=-120, finished=-117)

    listed = rush("runs").out.splitlines()
    assert listed[2].split() == ["⬣", "Stuck", "other/1", "2", "2", "m", "ago", "3.0", "s"]
    assert listed[3].split() == ["✓", "Complete", "etl/1", "1", "1", "m", "ago", "10", "s"]
    assert [
        run["pipeline"] for run in json.loads(rush("runs", "--state", "Stuck", "--json").out)
    ] == ["other"]
    assert "etl/1" not in rush("runs", "--pipeline", "other").out
    assert rush("runs", "--state", "Odd").code == 2


def test_where_nothing_has_run_the_list_says_what_to_do(rush, factories):
    """
    An empty list names the next command, whatever it is that there is none of.
    """
    ended = rush("runs")
    assert (ended.code, ended.out) == (0, "")
    assert "nothing has run yet, and there is no pipeline: apply one by" in ended.err

    factories.pipeline("etl")
    assert rush("runs").err == "nothing has run yet: start a run by `rush run etl`\n"
    assert rush("runs", "--pipeline", "etl").err == rush("runs").err
    assert rush("runs", "--state", "Stuck").err == "no run is Stuck: `rush runs` lists them all\n"
    unknown = rush("runs", "--pipeline", "elt", "--json")
    assert (unknown.code, unknown.out) == (3, "")
    assert "did you mean `etl`?" in unknown.err


@pytest.mark.parametrize(
    "command",
    [["retry"], ["cancel"], ["logs"], ["logs", "-f"], ["explain"], ["runs", "show"]],
    ids=" ".join,
)
@pytest.mark.parametrize("ref", ["etl/2", "99", "other/1"])
def test_a_run_that_is_none_is_one_line(rush, factories, command, ref):
    """
    Whatever is asked about a run that does not exist, the answer is one line, and exit code 3.
    """
    factories.pipeline("etl")
    factories.run()

    ended = rush(*command, ref)

    assert (ended.code, ended.out, ended.err) == (3, "", f"error: there is no run {ref}\n")


def test_a_run_is_shown(rush, factories):
    """
    A run is shown with its jobs and the attempts that failed, by its name or its id.
    """
    factories.pipeline("etl")
    run = factories.run(state="Stuck")
    factories.attempt(run, "extract", state="Failed", error="KeyError: 'x'", worker="w2")
    factories.job(run, "extract", state="Stuck")

    ended = rush("runs", "show", "etl/1")
    assert ended.code == 0
    assert "⬣ Stuck etl/1 (run 1), version 1" in ended.out
    assert "extract#1" in ended.out
    assert "KeyError: 'x'" in ended.out
    shown = json.loads(rush("runs", "show", "1", "--json").out)
    assert [job["state"] for job in shown["jobs"]] == ["Stuck", None]
    assert shown["attempts"][0]["error"] == "KeyError: 'x'"
    assert rush("runs", "show", "etl/2").code == 3
    assert rush("runs", "show", "etl").code == 2


# rush logs ------------------------------------------------------------------------------


def test_logs_are_printed(rush, factories):
    """
    Each line has its time, level, job and attempt, and nothing in it drives the terminal.
    """
    factories.pipeline("etl")
    run = factories.run(state="Complete")
    factories.log(run, "extract", "2026-11-25T08:00:01.123Z INFO red \x1b[31m", "    more", token=1)
    factories.log(run, "load", "2026-11-25T08:00:02.000Z WARNING hm", token=2, attempt=3)

    assert rush("logs", "etl/1").out == (
        "2026-11-25 08:00:01.123 INFO    extract#1 red \\x1b[31m\n    more\n"
        "2026-11-25 08:00:02.000 WARNING load#3 hm\n"
    )
    assert rush("logs", "etl/1", "load").out.count("\n") == 1
    assert rush("logs", "etl/1", "--attempt", "1", "-f").out.count("extract#1") == 1
    assert json.loads(rush("logs", "etl/1", "load", "--json").out) == {
        "at": "2026-11-25T08:00:02+00:00",
        "job": "load",
        "round": 1,
        "attempt": 3,
        "level": "WARNING",
        "text": "hm",
    }
    lines = rush("logs", "etl/1", "--json").out.splitlines()
    assert [json.loads(line)["job"] for line in lines] == ["extract", "load"]


@pytest.mark.parametrize("follow", [(), ("-f",)])
@pytest.mark.parametrize(("tail", "texts"), [(0, []), (2, ["third", "fourth"]), (9, None)])
def test_the_end_of_a_log(rush, factories, follow, tail, texts):
    """
    --tail leaves the last lines, a traceback being a part of its own, of what is asked for.
    """
    factories.pipeline("etl")
    run = factories.run(state="Complete")
    said = ["first", "second", "third", "fourth"]
    lines = [f"2026-11-25T08:00:0{at}.000Z INFO {text}" for at, text in enumerate(said)]
    factories.log(run, "extract", *lines[:2], token=1)
    factories.log(run, "load", *lines[2:], "    more of it", token=2)

    ended = rush("logs", "etl/1", "--tail", tail, *follow)

    assert ended.code == 0
    told = [line.split()[-1] for line in ended.out.splitlines() if line != "    more of it"]
    assert told == (said if texts is None else texts)
    assert ("more of it" in ended.out) == (tail > 0)


def test_the_end_of_one_job_s_log(rush, factories):
    """
    --tail counts the lines of the job that is asked for, and must be a number that can be.
    """
    factories.pipeline("etl")
    run = factories.run(state="Complete")
    factories.log(run, "extract", "2026-11-25T08:00:01.000Z INFO first", token=1)
    factories.log(run, "load", "2026-11-25T08:00:02.000Z INFO last", token=2)

    assert rush("logs", "etl/1", "extract", "-n", 1).out.split()[-1] == "first"
    assert rush("logs", "etl/1", "extract", "-n", 1, "-f").out.split()[-1] == "first"
    assert (
        rush("logs", "etl/1", "--tail", "-1").err
        == "error: flag --tail: must be 0 or more, not -1\n"
    )


def test_logs_of_nothing(rush, factories):
    """
    A run that has logged nothing says so beside; a job that it does not have is not found.
    """
    factories.pipeline("etl")
    factories.run()

    ended = rush("logs", "etl/1")
    assert (ended.code, ended.out) == (0, "")
    assert "nothing has been logged" in ended.err
    assert rush("logs", "etl/1", "lod").code == 3


def test_ctrl_c_ends_following(rush, factories, monkeypatch):
    """
    Interrupted, it ends with 130.
    """

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    factories.pipeline("etl")
    factories.run()
    monkeypatch.setattr("rush.client.Run.logs", interrupted)

    assert rush("logs", "etl/1", "-f").code == 130


# rush explain ---------------------------------------------------------------------------


def test_explain_a_run_a_job_and_a_request(rush, factories):
    """
    A run, one job of it, or what was asked for last about a pipeline is explained.
    """
    factories.pipeline("etl")
    run = factories.run()
    factories.job(run, "extract")

    ended = rush("explain", "etl/1")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "etl/1 extract is Ready, but no worker is alive",
        "etl/1 load waits for extract (Ready)",
    ]
    assert "help: start a worker: rush worker" in ended.err
    told = json.loads(rush("explain", "1", "load", "--json").out)
    assert (told["run"], told["reasons"][0]["waits_for"]) == ("etl/1", ["extract"])

    factories.request("etl")
    assert rush("explain", "etl").out == (
        "etl request 1 is still Pending because there is no master\n"
    )
    factories.request("etl", jobinstance=9, status="Rejected", reason="no")
    assert rush("explain", "etl/9").out == "etl/9 request 2 was rejected: no\n"


def test_explain_leads_from_a_request_to_its_run(rush, factories):
    """
    A pipeline's name leads to the run that was asked for last.
    """
    factories.pipeline("etl")
    run = factories.run(state="Complete")
    factories.request("etl", status="Accepted", run=run)

    assert rush("explain", "etl").out == "etl/1 is Complete: nothing of it is left to run\n"


def test_explain_what_is_not_there(rush, factories):
    """
    What nobody has asked for, and a job that the pipeline does not have, are not found.
    """
    factories.pipeline("etl")
    factories.run()

    assert rush("explain", "etl/2").code == 3
    assert rush("explain", "99").code == 3
    assert rush("explain", "elt").err == (
        'error: there is no pipeline "elt"; did you mean `etl`?\n'
    )
    asked_of_none = rush("explain", "etl")
    assert (asked_of_none.code, asked_of_none.err) == (
        3,
        "error: nothing has been asked of etl yet: start a run by `rush run etl`\n",
    )
    assert rush("explain", "a/b").code == 2
    assert rush("explain", "a b").code == 2
    assert 'etl/1 has no job "lod"; it has ' in rush("explain", "etl/1", "lod").err


# rush retry, cancel, pause, resume --------------------------------------------------------


def decided(others: Factories) -> None:
    """A master that accepts whatever is asked about etl/1."""
    request = pending(others)
    others.session.connection.execute(
        "UPDATE rush.run_request SET status = 'Accepted', decided_at = now(), run_id = 1 WHERE id = %s",
        [request],
    )


def test_retry_what_is_stuck(rush, factories, master, meanwhile, connection):
    """
    A Stuck job is asked for again, and the answer names it.
    """
    factories.pipeline("etl")
    factories.job(factories.run(state="Stuck", stuck=1), "extract", state="Stuck")
    meanwhile(decided)

    ended = rush("retry", "etl/1")

    assert (ended.code, ended.out) == (0, "etl/1 runs again from extract\n")
    assert requests_in(connection) == [("etl", "extract", 1, "start", None)]


def test_a_retry_says_that_it_keeps_its_version(rush, factories, master, meanwhile):
    """
    Who has mended the definition learns that a new run takes it: before the retry, and after it.
    """
    factories.pipeline("etl")
    factories.job(factories.run(state="Stuck", stuck=1), "extract", state="Stuck")
    kept = "a retry keeps version 1 of etl"
    assert kept not in rush("explain", "etl/1").err
    factories.session.connection.execute(
        'UPDATE rush.pipeline SET definition = definition || \'{"description": "mended"}\''
    )

    assert kept in rush("explain", "etl/1").err
    meanwhile(decided)
    ended = rush("retry", "etl/1")

    assert (ended.code, ended.out) == (0, "etl/1 runs again from extract\n")
    assert f"{kept}, with which it began; version 2 takes effect in a new run: rush run etl" in (
        ended.err
    )


def test_retry_that_cannot_be(rush, factories, master, meanwhile, connection):
    """
    What is not Stuck, what contradicts itself and what the master refuses are errors.
    """
    factories.pipeline("etl")
    factories.run(state="Complete")

    complete = rush("retry", "etl/1")
    assert (complete.code, complete.err) == (
        1,
        "error: etl/1 is Complete, and nothing of it is Stuck. To run the whole of it again: "
        "rush retry etl/1 --from-beginning; from a job on: rush retry etl/1 JOB\n",
    )
    assert rush("retry", "etl/1", "load", "--from-beginning").code == 2
    assert rush("retry", "etl/1", "lod").code == 3
    assert requests_in(connection) == []

    meanwhile(lambda others: others.decide(pending(others), reason="it is being cancelled"))
    ended = rush("retry", "etl/1", "--from-beginning")
    assert (ended.code, ended.err) == (1, "error: it is being cancelled\n")


def test_retry_of_what_still_runs(rush, factories, connection):
    """
    Who retries a run that goes on is not told of options that would be refused.
    """
    factories.pipeline("etl")
    factories.run()

    ended = rush("retry", "etl/1")

    assert (ended.code, requests_in(connection)) == (1, [])
    assert ended.err == (
        "error: etl/1 is Running, and nothing of it is Stuck; why a job waits: rush explain etl/1\n"
    )


def test_without_a_master_retry_and_cancel_are_asked_for(rush, factories, connection):
    """
    Where nobody decides, the request stands, and what is missing is said.
    """
    factories.pipeline("etl")
    factories.run(state="Complete")

    retry = rush("retry", "etl/1", "--from-beginning")
    cancel = rush("cancel", "etl/1")

    assert retry.out == "asked for etl/1 to run again from the beginning\n"
    assert cancel.out == "asked for etl/1 to be cancelled\n"
    assert "it waits for a master" in retry.err
    assert "it waits for a master" in cancel.err
    assert [action for *_, action, _ in requests_in(connection)] == ["start", "cancel"]


def test_what_somebody_has_looked_at_is_listed_no_more(rush, factories):
    """
    A reason may be given; a run of which nothing needs anybody is refused.
    """
    factories.pipeline("etl")
    for _ in range(2):
        run = factories.run(state="Stuck", stuck=1)
        factories.attempt(run, "extract", state="Failed", error="ValueError: no")
        factories.job(run, "extract", state="Stuck")

    assert "etl/1" in rush("runs", "--unresolved").out
    ended = rush("acknowledge", "etl/1", "--why", "the shop was closed")
    assert ended.out == "etl/1 needs attention no more\n"
    listed = json.loads(rush("runs", "--unresolved", "--json").out)
    assert [row["jobinstance"] for row in listed] == [2]
    again = rush("acknowledge", "etl/1")
    assert (again.code, again.err) == (
        1,
        "error: nothing of etl/1 is Stuck that still needs somebody\n",
    )
    assert rush("acknowledge", "2").code == 0
    assert rush("runs", "--unresolved").err == "no run needs attention\n"


def test_what_commands_do_is_told(rush, factories, connection):
    """
    Who, on which machine, why, and what came of it; the reason of a refusal too.
    """
    factories.pipeline("etl", params={"api_token": "x"})
    rush("pause", "etl", "--why", "month's end")
    rush("cancel", "etl/7")
    rush("run", "etl", "-p", "api_token=hush", "--why", "by hand")
    told = json.loads(rush("audit", "--json").out)
    user = f"{getpass.getuser()}@{socket.gethostname()}"
    assert {(row["who"], row["via"]) for row in told} == {(user, "command")}
    assert [(row["action"], row["target"], row["why"], row["said"]) for row in told] == [
        ("run", "etl", "by hand", "not decided yet"),
        ("pause", "etl", "month's end", "done"),
    ]
    assert told[0]["detail"] == {"params": {"api_token": "•••"}}
    assert "month's end" in rush("audit", "--action", "pause").out
    printed = rush("audit", "--action", "run").out
    assert '{"params": {"api_token": "•••"}}' in printed
    assert "hush" not in printed
    rush("run", "etl", "-p", f"note={'x' * 500}")
    assert "x…" in rush("audit", "--action", "run").out
    assert rush("audit", "--who", "nobody").err == "nobody has done anything like that yet\n"
    unknown = rush("audit", "--action", "cancle")
    assert (unknown.code, unknown.err) == (
        2,
        'error: flag --action: nothing is called "cancle"; there are run, retry, cancel, acknowledge, '
        "pause, resume, apply, drain and reload; did you mean `cancel`?\n",
    )
    assert rush("audit", "--action", "cancel").code == 0


def test_cancel(rush, factories, master, meanwhile):
    """
    A cancel that the master accepts is told as under way.
    """
    factories.pipeline("etl")
    factories.run()
    meanwhile(decided)

    assert rush("cancel", "etl/1").out == "etl/1 is being cancelled\n"


def test_a_master_that_does_not_answer(rush, factories, master, monkeypatch):
    """
    A verdict that does not come in time is not waited for any longer.
    """
    monkeypatch.setattr(engine, "PATIENCE", 0.05)
    factories.pipeline("etl")
    factories.run()

    ended = rush("cancel", "etl/1")

    assert ended.out == "asked for etl/1 to be cancelled\n"
    assert "the master, worker1, has not decided yet" in ended.err


def test_pause_and_resume(rush, factories, connection):
    """
    One pipeline or everything is paused and goes on; what stays paused by name is mentioned.
    """
    factories.pipeline("etl")

    assert rush("pause", "etl").out == "etl is paused; what runs goes on\n"
    assert rush("pause", "--all").out == "everything is paused; what runs goes on\n"
    assert connection.execute(
        "SELECT p.paused, c.paused FROM rush.pipeline p, rush.control c"
    ).fetchall() == [(True, True)]

    assert "paused by name, and still so: etl" in rush("resume", "--all").err
    assert rush("resume", "etl").out == "etl goes on\n"
    assert connection.execute(
        "SELECT p.paused, c.paused FROM rush.pipeline p, rush.control c"
    ).fetchall() == [(False, False)]
    for wrong in ([], ["etl", "--all"]):
        assert rush("pause", *wrong).code == 2
        assert rush("resume", *wrong).code == 2
    assert rush("pause", "other").code == 3


# rush pipelines -------------------------------------------------------------------------


def test_pipelines_are_listed_and_shown(rush, factories):
    """
    The list has how the last runs went; one is shown with its jobs in order, fit to be applied again.
    """
    factories.pipeline("etl", {"load": ["extract"], "extract": []})
    factories.run(state="Complete", started=-60, finished=-50)
    factories.run(state="Stuck", started=-3600, finished=-3595)

    *row, _ = rush("pipelines").out.splitlines()[2].split()
    assert row == ["etl", "1", "2", "⬣", "✓", "5.0", "s", "1", "h", "00", "m"]
    assert json.loads(rush("pipelines", "--json").out)[0]["last_runs"][0]["state"] == "Stuck"

    shown = rush("pipelines", "show", "etl").out.splitlines()
    assert shown[0].startswith("etl, version 1, made ")
    assert [line.split()[0] for line in shown[4:]] == ["extract", "load"]
    Path("again.json").write_text(rush("pipelines", "show", "etl", "--json").out)
    assert rush("pipelines", "apply", "again.json").out == "etl is unchanged, still version 1\n"
    assert rush("pipelines", "show", "elt").err == (
        'error: there is no pipeline "elt"; did you mean `etl`?\n'
    )


def test_without_pipelines_the_list_says_how_to_apply_one(rush):
    """
    An empty list names the command that fills it.
    """
    ended = rush("pipelines")

    assert (ended.code, ended.out) == (0, "")
    assert "rush pipelines apply FILE" in ended.err


def test_apply_says_what_has_changed(rush, connection):
    """
    A changed file is a new version, an unchanged one is none, and all versions are listed.
    """
    path = write_pipeline()

    assert rush("pipelines", "apply", path).out == "etl is now version 1\n"
    assert rush("pipelines", "apply", path).out == "etl is unchanged, still version 1\n"
    write_pipeline(DEFINITION.replace("3", "4"))
    (applied,) = json.loads(rush("pipelines", "apply", path, "--json").out)
    assert (applied["version"], applied["changed"]) == (2, True)

    listed = rush("pipelines", "versions", "etl").out.splitlines()[2:]
    assert [line.split()[0] for line in listed] == ["2", "1"]
    assert "not yet seen by a master" in listed[0]
    assert len(json.loads(rush("pipelines", "versions", "etl", "--json").out)) == 2
    assert rush("pipelines", "versions", "other").code == 3
    connection.execute("DELETE FROM rush.pipeline")
    assert rush("pipelines", "versions", "etl").code == 3
    assert rush("pipelines", "show", "etl").code == 3


def test_apply_tells_every_problem_and_applies_nothing(rush, connection):
    """
    Each problem of each file is told with its place, and no file is applied then.
    """
    good = write_pipeline()
    bad = write_pipeline("jobs:\n  - name: a b\n    class_name: x\n", "bad.yaml")

    ended = rush("pipelines", "apply", good, bad)

    assert ended.code == 2
    assert "error: pipelines/bad.yaml:2:" in ended.err
    assert "error: pipelines/bad.yaml:3:" in ended.err
    assert connection.execute("SELECT count(*) FROM rush.pipeline").fetchall() == [(0,)]
    assert rush("pipelines", "apply", "none.yaml").code == 3


def test_a_definition_that_cannot_run_is_marked(rush, factories, connection):
    """
    A version that the master has refused says why in the lists.
    """
    factories.pipeline("etl")
    connection.execute(r"UPDATE rush.pipeline_version SET error = E'a \x1b[2Jcycle'")

    assert r"cannot run: a \x1b[2Jcycle" in rush("pipelines").out
    assert r"cannot run: a \x1b[2Jcycle" in rush("pipelines", "versions", "etl").out


# rush workers ---------------------------------------------------------------------------


def test_workers_are_listed(rush, factories):
    """
    The list has the master, the slots, and what each worker is busy with.
    """
    factories.pipeline("etl")
    busy = factories.worker("busy", slots=2, queues=("big", "default"))
    factories.worker("gone", state="Dead")
    factories.worker("silent", lease=-1)
    factories.master(busy)
    factories.job(factories.run(), "extract", state="Running", worker=busy, started=-3600)

    lines = rush("workers").out.splitlines()[2:]
    assert lines[0].split()[:6] == ["busy", "(master)", "Alive", "1/2", "big,", "default"]
    assert lines[0].rstrip().endswith("etl/1 extract (1 h 00 m)")
    assert lines[1].split()[:2] == ["gone", "Dead"]
    assert lines[2].split()[:4] == ["silent", "lease", "is", "over"]
    assert json.loads(rush("workers", "--json").out)[0]["jobs"][0]["job"] == "extract"


def test_drain_and_reload(rush, factories, connection):
    """
    A worker that is told to drain or to reload has it in its row, and a bell is rung for it.
    """
    worker = factories.worker("worker1")
    connection.execute(f'LISTEN "rush:worker:{worker.id}"')

    assert rush("workers", "drain", "worker1").out == (
        "worker1 takes no more jobs. It is idle: end it (Ctrl-C or SIGTERM); "
        "started again it takes jobs again.\n"
    )
    assert rush("workers", "drain", "worker1").code == 0
    assert rush("workers", "reload").out == (
        "worker1 will load the project's code anew. What runs now ends with the code it has, what "
        "begins after that has the new one; `rush workers` shows who has not done it yet.\n"
    )

    assert connection.execute("SELECT state, reload FROM rush.worker").fetchall() == [
        ("Draining", True)
    ]
    assert len(list(connection.notifies(timeout=5, stop_after=2))) == 2
    assert "reloading" in rush("workers").out
    for command in ("drain", "reload"):
        ended = rush("workers", command, "worker2")
        assert ended.code == 3
        assert 'no worker "worker2" is alive; did you mean `worker1`?' in ended.err


def test_draining_a_worker_that_is_busy(rush, factories):
    """
    Who drains a worker that still runs something learns when to end it.
    """
    factories.pipeline("etl")
    worker = factories.worker("worker1")
    factories.job(factories.run(), "extract", state="Running", worker=worker)

    assert "It still runs 1: end it" in rush("workers", "drain", "worker1").out


def test_without_workers(rush):
    """
    Where there is no worker, the list says how to start one, and reloading has nobody to tell.
    """
    assert "start one by `rush worker`" in rush("workers").err
    ended = rush("workers", "reload")
    assert (ended.code, ended.out) == (0, "")
    assert "no worker is alive" in ended.err


# All lists ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "columns"),
    [
        ("runs", ["State", "Run"]),
        ("runs show NAME/1", ["State", "Job", "Failed", "Error"]),
        ("pipelines", ["Name", "Last runs"]),
        ("pipelines show NAME", ["Job", "After", "Class"]),
        ("workers", ["Name", "State", "Slots", "Busy with"]),
    ],
)
def test_lists_on_80_columns(rush, factories, monkeypatch, command, columns):
    """
    On a terminal of 80 columns every list has names as long as they are, and what matters most.
    """
    monkeypatch.setattr(output, "PIPE_WIDTH", 80)
    pipeline, job = "an-evening-of-a-pipeline-with-a-name", "a-job-that-loads-all-there-is"
    factories.pipeline(pipeline, {job: [], "after": [job]})
    busy = factories.worker("worker-in-the-cellar-on-the-left", queues=("large", "default"))
    factories.master(busy)
    run = factories.run(pipeline, started=-4000)
    factories.attempt(run, job, state="Failed", error="ValueError: " + "no " * 40)
    factories.job(run, job, state="Running", attempt=2, worker=busy, started=-3600)

    ended = rush(*command.replace("NAME", pipeline).split())

    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= 80
    for title in columns:
        assert title in ended.out
    name = {"runs": f"{pipeline}/1", "pipelines": pipeline, "workers": f"{busy.name} (master)"}
    assert name.get(command, job) in ended.out
