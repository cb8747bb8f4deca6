"""Jobs that misbehave (H): each harms nobody but itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.project import Project
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]


def run_alone(rush: Project, body: str, state: str = "Stuck", **fields: Any) -> int:
    """Run a job with this body on the worker's only runner, then another one there. Returns the run."""
    rush.pipeline("bad", [{"name": "a", "class_name": rush.add_class("Bad", body)} | fields])
    rush.pipeline("good", [{"name": "a", "kind": "Noop"}])
    worker = rush.start(slots=1)
    run = rush.started("bad")
    rush.ended(run, state)
    rush.ended(rush.started("good"))
    assert worker.poll() is None
    return run


def failure(rush: Project, run: int) -> tuple[str, str]:
    return rush.sql("SELECT reason, error FROM rush.archive WHERE run_id = %s", run)[0]


@pytest.mark.parametrize(
    ("body", "reason", "error"),
    [
        ("raise BaseException('mine')", "raised", "BaseException: mine"),
        ("sys.exit(0)", "exited", "SystemExit: 0"),
        ("raise KeyboardInterrupt", "raised", "KeyboardInterrupt"),
        ("raise GeneratorExit", "raised", "GeneratorExit"),
        ("os._exit(0)", "exited", "the process ended (code 0) before the job had returned"),
        ("os.abort()", "killed", "the process ended (signal 6, SIGABRT) before the job had returned"),
    ],
)  # fmt: skip
def test_whatever_it_ends_by_is_a_failure(
    rush: Project, body: str, reason: str, error: str
) -> None:
    """H1, H2: what is not an Exception, and a process that ends with 0, are failures with their reason."""
    assert failure(rush, run_alone(rush, body)) == (reason, error)


def test_one_that_ignores_every_signal_is_killed(rush: Project) -> None:
    """H3: an endless loop that ignores what can be ignored is killed after its deadline and the grace."""
    body = """
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True:
    pass
"""
    run = run_alone(rush, body, timeout_minutes=0.01)
    assert failure(rush, run) == ("timeout", "killed at its timeout of 0.6 s")


@pytest.mark.parametrize("word", ["commit", "rollback"])
def test_one_that_ends_the_transaction_itself_is_told(rush: Project, word: str) -> None:
    """H4: commit and rollback of the job's own transaction are refused with a clear error; nothing is written."""
    rush.sql("CREATE TABLE public.effect (job text, attempt int)")
    body = f"""
with self.transaction() as connection:
    connection.execute("INSERT INTO public.effect VALUES ('a', 1)")
    connection.{word}()
"""
    reason, error = failure(rush, run_alone(rush, body))
    assert reason == "raised"
    assert word in error
    assert rush.sql("SELECT * FROM public.effect") == []


def test_one_that_ends_the_transaction_by_sql_writes_nothing_twice(rush: Project) -> None:
    """H4: COMMIT as a statement, past psycopg: the job has failed; what it committed so is its own doing."""
    rush.sql("CREATE TABLE public.effect (job text, attempt int)")
    body = """
with self.transaction() as connection:
    connection.execute("INSERT INTO public.effect VALUES ('a', 1)")
    connection.execute("ROLLBACK")
"""
    run = run_alone(rush, body)
    assert rush.sql("SELECT * FROM public.effect") == []
    assert rush.one("SELECT count(*) FROM rush.run_state WHERE run_id = %s", run) == 1


def test_what_it_changes_of_its_process_is_put_back(rush: Project) -> None:
    """H5: folder, umask, environment, path, signal handlers, streams: the next job finds its own."""
    look = """
return [os.getcwd(), os.umask(0o022), os.environ.get("LEFT"), "/nowhere" in sys.path,
        signal.getsignal(signal.SIGTERM) is signal.SIG_IGN, sys.stdout is None]
"""
    change = """
os.chdir("/")
os.umask(0)
os.environ["LEFT"] = "behind"
sys.path.insert(0, "/nowhere")
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.stdout = None
"""
    rush.pipeline(
        "p",
        [
            {"name": "before", "class_name": rush.add_class("Look", look)},
            {"name": "change", "class_name": rush.add_class("Change", change)},
            {"name": "after", "class_name": "jobs.look.Look"},
        ],
    )
    rush.start(slots=1)
    rush.ended(rush.started("p"))
    before, after = rush.sql("SELECT value FROM rush.result ORDER BY job DESC")
    assert before == after
    assert before[0][0] == str(rush.folder)


def test_threads_sockets_and_sessions_that_it_leaves_are_no_matter(rush: Project) -> None:
    """H6, H7: threads that go on, open sockets, a session of its own in a transaction: the next job runs."""
    body = f"""
import socket, threading
import psycopg
for _ in range(20):
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    threading.Thread(target=time.sleep, args=(600,)).start()
type(self).kept = [socket.socket() for _ in range(50)]
connection = psycopg.connect({rush.database!r})
connection.execute("SELECT 1")
type(self).kept.append(connection)
"""
    run_alone(rush, body, "Complete")
    # A thread that is no daemon does not keep the worker from leaving either.
    assert rush.stop() == 0


def test_what_it_sets_of_its_session_is_nobody_elses(rush: Project) -> None:
    """H8: roles, parameters, advisory locks and temporary tables of a transaction end with its job."""
    set_all = """
with self.transaction() as connection:
    connection.execute("SET statement_timeout = 12345")
    connection.execute("SET session_replication_role = replica")
    connection.execute("SELECT pg_advisory_lock(42)")
    connection.execute("CREATE TEMPORARY TABLE mine (a int)")
"""
    ask = """
with self.transaction() as connection:
    return list(connection.execute(
        "SELECT current_setting('statement_timeout'), current_setting('session_replication_role'),"
        " to_regclass('mine')::text, (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
    ).fetchone())
"""
    rush.pipeline(
        "p",
        [
            {"name": "set", "class_name": rush.add_class("SetAll", set_all)},
            {"name": "ask", "class_name": rush.add_class("AskAll", ask)},
        ],
    )
    rush.start(slots=1)
    rush.ended(rush.started("p"))
    assert rush.one("SELECT value FROM rush.result WHERE job = 'ask'") == ["0", "origin", None, 0]


def test_one_that_takes_exactly_its_time_has_one_end(rush: Project) -> None:
    """H10: jobs that return at their very deadline: each attempt is Complete or timed out, once."""
    exact = rush.add_class("Exact", "time.sleep(0.3)")
    rush.pipeline("p", [{"name": "a", "class_name": exact, "timeout_minutes": 0.005}])
    rush.start(slots=2)
    runs = [rush.started("p") for _ in range(30)]
    wait_for(
        lambda: not rush.one("SELECT count(*) FROM rush.run WHERE state = 'Running'"),
        what="all to be over",
        timeout=60,
    )
    ends = rush.sql(
        "SELECT run_id, array_agg(coalesce(reason, state)) FROM rush.archive GROUP BY run_id"
    )
    assert len(ends) == len(runs)
    assert {tuple(each) for _, each in ends} <= {("Complete",), ("timeout",)}


def test_one_that_forks_leaves_its_wire_alone(rush: Project) -> None:
    """H12: children by fork and by multiprocessing, which end before or after it: its outcome is its own."""
    body = """
import multiprocessing
if os.fork() == 0:
    os._exit(3)
if os.fork() == 0:
    time.sleep(1)
    print("from a child that outlives the job")
    os._exit(0)
with multiprocessing.get_context("fork").Pool(2) as pool:
    return pool.map(abs, [-1, -2, -3])
"""
    run = run_alone(rush, body, "Complete")
    assert rush.one("SELECT value FROM rush.result WHERE run_id = %s", run) == [1, 2, 3]
    assert rush.attempts(run) == [("a", 1, "Complete")]


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("return 'a child'", 0, ""),
        ("sys.exit(4)", 4, ""),
        ("raise ValueError('in the child')", 1, "ValueError: in the child"),
    ],
)
def test_a_child_that_comes_back_is_not_the_runner(
    rush: Project, end: str, code: int, said: str
) -> None:
    """H12: a child by fork that returns or raises ends there: it says nothing for the job, and takes no other."""
    body = f"""
for _ in range(3):
    child = os.fork()
    if child == 0:
        {end}
    time.sleep(0.05)
return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""
    run = run_alone(rush, body, "Complete")
    for _ in range(5):
        rush.ended(rush.started("good"))

    assert rush.one("SELECT value FROM rush.result WHERE run_id = %s", run) == code
    assert rush.attempts(run) == [("a", 1, "Complete")]
    assert said in (rush.one("SELECT log FROM rush.archive WHERE run_id = %s", run) or "")


def test_one_in_repeatable_read_outlasts_many_heartbeats(rush: Project) -> None:
    """F10: a transaction of the job's own, REPEATABLE READ and longer than leases, completes: nobody touches its row."""
    (rush.folder / "rush.toml").write_text("worker_lease = 2\npoll_interval = 0.5\n")
    rush.sql("CREATE TABLE public.effect (job text, attempt int)")
    rush.sql(
        f"ALTER DATABASE {rush.connection.info.dbname}"
        " SET default_transaction_isolation = 'repeatable read'"
    )
    body = """
with self.transaction() as connection:
    connection.execute("SELECT count(*) FROM public.effect")
    for step in range(30):
        self.progress(step, 30)
        self.logger.info("step %s", step)
        time.sleep(0.2)
    connection.execute("INSERT INTO public.effect VALUES ('a', 1)")
"""
    run = run_alone(rush, body, "Complete")
    assert rush.attempts(run) == [("a", 1, "Complete")]
    assert rush.one("SELECT count(*) FROM public.effect") == 1
