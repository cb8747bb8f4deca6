from __future__ import annotations

import json

from rush.config import SETTINGS


def test_every_setting_and_where_it_comes_from(rush, tmp_path, monkeypatch):
    """`rush config show` has a line for every setting, with its value and its origin."""
    (tmp_path / "rush.toml").write_text("queues = ['a', 'b']\n")
    monkeypatch.setenv("RUSH_SLOTS", "3")
    ended = rush("config", "show", "--schema", "etl")

    rows = [line.split() for line in ended.out.splitlines()[2:]]
    assert [row[0] for row in rows] == list(SETTINGS)
    assert ["queues", "a,", "b", "rush.toml"] in rows
    assert ["slots", "3", "environment", "RUSH_SLOTS"] in rows
    assert ["schema", "etl", "flag", "--schema"] in rows
    assert ["poll_interval", "5", "default"] in rows
    assert (ended.code, ended.err) == (0, "")


def test_as_json(rush, tmp_path):
    """With --json the same is one object, and the values have their types."""
    (tmp_path / "rush.toml").write_text("poll_interval = '250ms'\n")
    (tmp_path / "below").mkdir()
    shown = json.loads(rush("config", "show", "--json", "--project", "below").out)

    assert shown["project"] == str(tmp_path)
    assert list(shown["settings"]) == list(SETTINGS)
    assert shown["settings"]["poll_interval"] == {"value": 0.25, "from": "rush.toml"}
    assert shown["settings"]["log_folder"] == {"value": "logs", "from": "default"}


def test_no_secret_is_printed(rush, monkeypatch):
    """Passwords stay hidden, in the table, in JSON and in what -v says."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hush@db/x")
    monkeypatch.setenv("RUSH_ALERT_WEBHOOK", "https://hooks.example.com/hush")
    for arguments in ([], ["--json"], ["-v"]):
        ended = rush("config", "show", *arguments)
        assert "hush" not in ended.out + ended.err
        assert "postgresql://me:***@db/x" in ended.out


def test_wrong_settings(rush, tmp_path):
    """Every problem of the settings is a line of its own, and the exit code is 2."""
    (tmp_path / "rush.toml").write_text("slot = 1\nschema = 3\n")
    ended = rush("config", "show")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines() == [
        "error: rush.toml:1: unknown setting `slot`; did you mean `slots`?",
        "error: rush.toml:2: schema: must be a schema's name: up to 40 of a-z, 0-9 and _, "
        "with no digit first, not 3",
    ]


def test_a_project_that_is_not_there(rush):
    """--project names a folder that exists, or the command says so."""
    ended = rush("config", "show", "--project", "nowhere")

    assert (ended.code, ended.err) == (2, "error: flag --project: there is no folder nowhere\n")
