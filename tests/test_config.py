from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rush.config import SETTINGS, LoadedSettings, find_project, load_settings, variable_of
from rush.errors import ConfigurationError


def load(
    folder: Path,
    *,
    flags: dict[str, object] | None = None,
    environ: dict[str, str] | None = None,
) -> LoadedSettings:
    return load_settings(folder, flags=flags or {}, environ=environ or {})


def problems_of(folder: Path, **given: dict) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, **given)
    return str(caught.value).split("\n")


def test_defaults(tmp_path):
    """With nothing said anywhere, every setting has its documented default and says so."""
    loaded = load(tmp_path)

    assert loaded.settings.database_url is None
    assert loaded.settings.schema == "rush"
    assert loaded.settings.poll_interval == 5
    assert loaded.settings.queues == ("default",)
    assert loaded.settings.max_log_line == 16384
    assert loaded.project == tmp_path
    assert set(loaded.origins) == set(SETTINGS)
    assert set(loaded.origins.values()) == {"default"}


def test_precedence(tmp_path):
    """A flag beats the environment, which beats rush.toml, which beats pyproject.toml."""
    (tmp_path / "pyproject.toml").write_text(
        "[tool.rush]\nslots = 1\nqueues = ['p']\nkill_grace = 1\nstop_grace = 1\n"
    )
    (tmp_path / "rush.toml").write_text("slots = 2\nqueues = ['r']\nkill_grace = 2\n")
    environ = {"RUSH_SLOTS": "3", "RUSH_QUEUES": "e, f"}

    loaded = load(tmp_path, flags={"slots": 4, "queues": None}, environ=environ)

    said = {name: (loaded.shown(name), loaded.origins[name]) for name in SETTINGS}
    assert said["slots"] == (4, "flag --slots")
    assert said["queues"] == (["e", "f"], "environment RUSH_QUEUES")
    assert said["kill_grace"] == (2, "rush.toml")
    assert said["stop_grace"] == (1, "pyproject.toml [tool.rush]")
    assert said["schema"] == ("rush", "default")


def test_what_is_overridden_is_not_looked_at(tmp_path):
    """A wrong value that a stronger one replaces stops nobody."""
    (tmp_path / "rush.toml").write_text("slots = 'many'\n")

    assert load(tmp_path, flags={"slots": 4}).settings.slots == 4


@pytest.mark.parametrize(
    ("environ", "file", "expected", "origin"),
    [
        ({"DATABASE_URL": "postgres://a/b"}, "", "postgres://a/b", "environment DATABASE_URL"),
        (
            {"DATABASE_URL": "mysql://a/b", "RUSH_DATABASE_URL": "postgresql://c/d"},
            "",
            "postgresql://c/d",
            "environment RUSH_DATABASE_URL",
        ),
        (
            {"DATABASE_URL": "postgres://a/b"},
            "database_url = 'host=c dbname=d'",
            "host=c dbname=d",
            "rush.toml",
        ),
        ({"DATABASE_URL": "", "RUSH_DATABASE_URL": ""}, "", None, "default"),
    ],
)
def test_where_the_database_comes_from(tmp_path, environ, file, expected, origin):
    """DATABASE_URL counts where nothing that names Rush says otherwise."""
    (tmp_path / "rush.toml").write_text(file)

    loaded = load(tmp_path, environ=environ)

    assert (loaded.settings.database_url, loaded.origins["database_url"]) == (expected, origin)


@pytest.mark.parametrize(
    ("line", "name", "expected"),
    [
        ("poll_interval = 0.25", "poll_interval", 0.25),
        ("poll_interval = '250ms'", "poll_interval", 0.25),
        ("worker_lease = '5m'", "worker_lease", 300.0),
        ("stop_grace = '1h 30m'", "stop_grace", 5400.0),
        ("stop_grace = 0", "stop_grace", 0.0),
        ("max_log_line = '32 KiB'", "max_log_line", 32768),
        ("max_log_bytes = '1 MB'", "max_log_bytes", 1_000_000),
        ("queues = ['a', 'b', 'a']", "queues", ["a", "b"]),
        ("log_folder = '/var/log/rush'", "log_folder", "/var/log/rush"),
        ("log_level = 'debug'", "log_level", "DEBUG"),
        ("allowed_modules = ['etl.jobs']", "allowed_modules", ["etl.jobs"]),
        ("alert_command = 'notify \"on call\"'", "alert_command", ["notify", "on call"]),
        ("alert_command = ['notify', '']", "alert_command", ["notify", ""]),
        ("retention_days = 90", "retention_days", 90),
    ],
)
def test_values_in_a_file(tmp_path, line, name, expected):
    """Numbers, texts with units and lists are read as they are written."""
    (tmp_path / "rush.toml").write_text(line)

    assert load(tmp_path).shown(name) == expected


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("RUSH_POLL_INTERVAL", "2", 2.0),
        ("RUSH_POLL_INTERVAL", "2.5s", 2.5),
        ("RUSH_SLOTS", "8", 8),
        ("RUSH_ALLOWED_MODULES", "a.b,c", ["a.b", "c"]),
        ("RUSH_ALERT_COMMAND", "notify --now", ["notify", "--now"]),
        ("RUSH_SCHEMA", "_1", "_1"),
    ],
)
def test_values_in_the_environment(tmp_path, variable, value, expected):
    """The environment has only texts, and each is read as its setting needs it."""
    loaded = load(tmp_path, environ={variable: value})

    assert loaded.shown(variable.removeprefix("RUSH_").lower()) == expected


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("slots = 0", "slots: must be a whole number from 1 to 1000, not 0"),
        ("slots = 1001", "slots: must be a whole number from 1 to 1000, not 1001"),
        ("slots = '4'", 'slots: must be a whole number from 1 to 1000, not the text "4"'),
        ("slots = true", "slots: must be a whole number from 1 to 1000, not true"),
        (
            "poll_interval = 'soon'",
            "poll_interval: must be from 0.05 to 3600 seconds, as a number or like 90s, 5m or 1h, "
            'not the text "soon"',
        ),
        (
            "worker_lease = nan",
            "worker_lease: must be from 1 to 3600 seconds, as a number or like 90s, 5m or 1h, not nan",
        ),
        (
            "kill_grace = -1",
            "kill_grace: must be from 0 to 3600 seconds, as a number or like 90s, 5m or 1h, not -1",
        ),
        (
            "schema = 'Rush'",
            "schema: must be a schema's name: up to 40 of a-z, 0-9 and _, with no digit first, "
            'not the text "Rush"',
        ),
        (
            'schema = "rush\\n"',
            "schema: must be a schema's name: up to 40 of a-z, 0-9 and _, with no digit first, "
            'not the text "rush\\n"',
        ),
        (
            "queues = []",
            "queues: must be a list of names made of letters, digits and . _ -, not an empty list",
        ),
        (
            "queues = ['a/b']",
            'queues: must be a list of names made of letters, digits and . _ -, not the text "a/b"',
        ),
        (
            "queues = 'a'",
            'queues: must be a list of names made of letters, digits and . _ -, not the text "a"',
        ),
        (
            "allowed_modules = ['os;']",
            "allowed_modules: must be a list of modules like my_jobs or company.jobs, "
            'not the text "os;"',
        ),
        (
            "log_level = 'LOUD'",
            'log_level: must be DEBUG, INFO, WARNING or ERROR, not the text "LOUD"',
        ),
        ("log_folder = 3", "log_folder: must be the path of a folder, not 3"),
        (
            'alert_command = "notify \'now"',
            'alert_command: must be a command: a list like ["notify", "--now"], or one line '
            "(no closing quotation)",
        ),
        (
            "alert_command = [1]",
            'alert_command: must be a command: a list like ["notify", "--now"], or one line, not 1',
        ),
        ("alert_webhook = 'ftp://x'", "alert_webhook: must be an http:// or https:// URL"),
        (
            "database_url = 'mysql://u:secret@h/d'",
            "database_url: must be a PostgreSQL URL like postgresql://user@host/database",
        ),
        (
            "retention_days = 0.5",
            "retention_days: must be a whole number of days from 1 to 36500, not 0.5",
        ),
    ],
)
def test_wrong_values_in_a_file(tmp_path, line, problem):
    """A wrong value is refused with its file, line and name, and with what would be right."""
    (tmp_path / "rush.toml").write_text(f"# settings\n{line}\n")

    assert problems_of(tmp_path) == [f"rush.toml:2: {problem}"]


def test_every_problem_is_told_at_once(tmp_path):
    """Unknown keys, unknown variables and wrong values come together, each with its place."""
    (tmp_path / "rush.toml").write_text('slot = 4\nschema = "9"\n\n[worker]\nslots = 4\n')
    (tmp_path / "pyproject.toml").write_text(
        "[project]\nname = 'x'\n[tool.rush]\nlog_levle = 'x'\n"
    )

    assert problems_of(tmp_path, flags={"slots": 0}, environ={"RUSH_QUEUE": "a"}) == [
        "environment RUSH_QUEUE: unknown setting; did you mean `RUSH_QUEUES`?",
        "rush.toml:1: unknown setting `slot`; did you mean `slots`?",
        "rush.toml:4: unknown setting `worker`; did you mean `worker_lease`?",
        "pyproject.toml:4: unknown setting `log_levle`; did you mean `log_level`?",
        "flag --slots: must be a whole number from 1 to 1000, not 0",
        "rush.toml:2: schema: must be a schema's name: up to 40 of a-z, 0-9 and _, "
        'with no digit first, not the text "9"',
    ]


def test_variables_that_are_nobody_s_mistake(tmp_path):
    """What Kubernetes sets beside a service named rush, and Rush's own switches, are no settings."""
    environ = {
        "RUSH_SERVICE_HOST": "10.0.0.1",
        "RUSH_PORT_5432_TCP": "tcp://10.0.0.1:5432",
        "RUSH_UI_SERVICE_PORT_HTTP": "80",
        "RUSH_DEBUG": "1",
        "RUSH_TEST_SERVER": "15",
    }

    assert set(load(tmp_path, environ=environ).origins.values()) == {"default"}


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("rush.toml", b"slots 4", "this is not TOML: Expected '='"),
        ("rush.toml", b"slots = " + b"9" * 5000, "this is not TOML: "),
        ("rush.toml", b"slots = " + b"[" * 100_000, "this is not TOML: "),
        ("rush.toml", b"schema = '\xff'", "this is not UTF-8: "),
        ("pyproject.toml", b"[tool.rush", "this is not TOML: "),
        ("pyproject.toml", b"[tool]\nrush = 3", "tool.rush must be a table, not 3"),
    ],
)
def test_files_that_are_not_toml(tmp_path, name, content, problem):
    """A file that cannot be read is one clear error with its path, however it is broken."""
    (tmp_path / name).write_bytes(content)

    assert problems_of(tmp_path)[0].startswith(f"{tmp_path / name}: {problem}")


def test_a_broken_pyproject_without_us_is_none_of_our_business(tmp_path):
    """A pyproject.toml that says nothing of Rush is left alone, even when it is broken."""
    (tmp_path / "pyproject.toml").write_text("[project")

    assert load(tmp_path).settings.slots is None


def test_the_project_is_the_nearest_folder_that_says_so(tmp_path):
    """Upwards from the start: a rush.toml, or a pyproject.toml with [tool.rush]; else the start."""
    outer, inner = tmp_path / "outer", tmp_path / "outer/inner"
    start = inner / "pipelines/daily"
    start.mkdir(parents=True)
    assert find_project(start) == start

    (outer / "pyproject.toml").write_text("[tool.rush]\n")
    assert find_project(start) == outer

    (inner / "pyproject.toml").write_text("[project]\nname = 'rush-jobs'\n")
    assert find_project(start) == outer

    (inner / "rush.toml").write_text("")
    assert find_project(start) == inner
    assert load(start).log_folder == inner / "logs"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("database_url", "postgresql://me:p@ss:w@db/x", "postgresql://me:***@db/x"),
        (
            "database_url",
            "postgresql://db/x?user=me&password=hush",
            "postgresql://db/x?user=me&password=***",
        ),
        ("database_url", "host=db password = 'hu sh' user=me", "host=db password = *** user=me"),
        ("database_url", "postgresql://me@db/x", "postgresql://me@db/x"),
        ("alert_webhook", "https://hooks.example.com/T0/hush", "https://hooks.example.com/***"),
    ],
)
def test_secrets_are_not_shown(tmp_path, name, value, shown):
    """Neither what is shown of the settings nor their repr has a secret in it."""
    loaded = load(tmp_path, flags={name: value})

    assert loaded.shown(name) == shown
    assert value not in repr(loaded)


def test_importing_the_settings_is_cheap():
    """A runner that imports the settings gets nothing beside the standard library."""
    code = "import rush.config, sys; print({'pydantic', 'psycopg', 'rich', 'cyclopts'} & set(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert answer.stdout == "set()\n"


def test_every_setting_is_documented():
    """docs/settings.md has a heading for every setting, with its variable, default and example."""
    text = (Path(__file__).parents[1] / "docs/settings.md").read_text()
    sections = {part.split("\n")[0].strip("`"): part for part in text.split("\n## ")[1:]}

    assert list(sections) == list(SETTINGS)
    for name, section in sections.items():
        assert f"`{variable_of(name)}`" in section, name
        assert "Default:" in section, name
        assert "```toml\n" + name in section, name


def test_the_examples_of_the_documentation_work(tmp_path):
    """What docs/settings.md shows as an example for rush.toml is accepted as it stands."""
    text = (Path(__file__).parents[1] / "docs/settings.md").read_text()
    examples = [part.split("```")[0] for part in text.split("```toml\n")[1:]]
    (tmp_path / "rush.toml").write_text("".join(examples))

    assert set(load(tmp_path).origins.values()) == {"rush.toml"}
