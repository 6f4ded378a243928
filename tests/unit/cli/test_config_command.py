"""`linewise config`, and commands that work by what is configured."""

from __future__ import annotations

import json

import pytest

from linewise.configuration import SETTINGS


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    folder = tmp_path / "workspace"
    folder.mkdir()
    user = tmp_path / "user.toml"
    monkeypatch.setenv("LINEWISE_CONFIG", str(user))
    monkeypatch.chdir(folder)
    return folder


def shown(linewise_command):
    return json.loads(linewise_command("config", "show", "--json").out)["settings"]


def test_show_tells_every_setting_and_where_it_is_from(linewise_command, workspace, monkeypatch):
    (workspace / "linewise.toml").write_text("[inline]\nmax_lines = 3\n")
    monkeypatch.setenv("LINEWISE_THREADS", "2")
    settings = shown(linewise_command)
    assert list(settings) == list(SETTINGS)
    assert settings["inline.max_lines"] == {
        "value": 3,
        "origin": "workspace file",
        "place": str(workspace / "linewise.toml"),
    }
    assert settings["threads"] == {"value": 2, "origin": "environment", "place": "LINEWISE_THREADS"}
    assert settings["verifier"] == {"value": "pylint", "origin": "default", "place": ""}


def test_what_show_prints_can_be_written_into_a_file(linewise_command, workspace, tmp_path):
    (tmp_path / "user.toml").write_text("model = 'models/ä.gguf'\n[serve]\nenabled = false\n")
    before = shown(linewise_command)
    text = linewise_command("config", "show").out
    (tmp_path / "user.toml").write_text(text, encoding="utf-8")
    after = shown(linewise_command)
    assert {key: row["value"] for key, row in after.items()} == {k: row["value"] for k, row in before.items()}


def test_show_ends_a_line_with_where_the_value_is_from(linewise_command, workspace, monkeypatch):
    monkeypatch.setenv("LINEWISE_THREADS", "2")
    lines = {
        line.removeprefix("# ").split()[0]: line
        for line in linewise_command("config", "show").out.splitlines()
    }
    assert lines["threads"].endswith("[environment LINEWISE_THREADS]")
    assert lines["verifier"].endswith("[default]")


def test_show_fails_on_a_wrong_file_but_shows_the_rest(linewise_command, workspace):
    (workspace / ".linewise.toml").write_text("verifer = 'fast'\nthreads = 2\n")
    outcome = linewise_command("config", "show")
    assert outcome.status == 1
    assert "do you mean verifier?" in outcome.err
    assert "threads = 2" in outcome.out


def test_trust_and_untrust_change_what_a_workspace_may_say(linewise_command, workspace):
    (workspace / "linewise.toml").write_text("model = 'here.gguf'\n")
    outcome = linewise_command("config", "show")
    assert (outcome.status, "linewise config trust" in outcome.err) == (0, True)
    assert linewise_command("config", "trust").out == f"{workspace} is trusted.\n"
    assert shown(linewise_command)["model"]["value"] == str(workspace / "here.gguf")
    assert linewise_command("config", "untrust", workspace).out == f"{workspace} is no longer trusted.\n"
    assert shown(linewise_command)["model"]["value"] is None


def test_path_names_both_files(linewise_command, workspace, tmp_path):
    assert linewise_command("config", "path").out == f"{tmp_path / 'user.toml'}\n"
    (workspace / "linewise.toml").touch()
    assert linewise_command("config", "path").out.splitlines()[1] == str(workspace / "linewise.toml")


def test_trust_outside_a_workspace_asks_for_one(linewise_command, workspace, monkeypatch):
    monkeypatch.setattr("linewise.commands.config.find_workspace", lambda start: None)
    outcome = linewise_command("config", "trust")
    assert outcome.status == 1
    assert "name its folder" in outcome.err


def test_commands_work_by_what_is_set_and_their_options_go_before(linewise_command, workspace):
    (workspace / "linewise.toml").write_text("[inline]\nmax_lines = 1\n[write]\nmax_edits = 1\n")
    path = workspace / "a.py"
    path.touch()
    script = "x = 1\ny = 2\nz = 3\n"
    outcome = linewise_command("complete", "--file", path, "--line", 0, "--column", 0, scripts=[script])
    assert outcome.out == "x = 1\n"
    edits = "@1,0\nx = 1\n<|diff|>@1,1\nx = 1\ny = 2\n<|diff|>@2,1\ny = 2\nz = 3\n"
    linewise_command("write", "three lines", "--file", path, scripts=[edits])
    assert path.read_text() == "x = 1\n"
    path.write_text("")
    linewise_command("write", "three lines", "--file", path, "--max-edits", 2, scripts=[edits])
    assert path.read_text() == "x = 1\ny = 2\n"


def test_a_wrong_setting_stops_a_command_before_it_changes_anything(linewise_command, workspace):
    (workspace / "linewise.toml").write_text("[write]\nmax_edit = 1\n")
    outcome = linewise_command("write", "x", "--file", workspace / "a.py", scripts=["@1,0\nx = 1\n"])
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1
    assert "do you mean write.max_edits?" in outcome.err
    assert not (workspace / "a.py").exists()


def test_a_model_that_is_set_and_not_there_is_named(linewise_command, workspace):
    (workspace / "linewise.toml").write_text("model = 'nothing'\n")
    (workspace / "a.py").touch()
    outcome = linewise_command("complete", "--file", workspace / "a.py", "--line", 0, "--column", 0)
    assert outcome.status == 1
    assert "'nothing' is set as the model" in outcome.err


def test_a_model_that_is_named_runs_here_whatever_is_set(linewise_command, workspace, tmp_path):
    (tmp_path / "user.toml").write_text("[engine]\nkind = 'http'\n")
    path = workspace / "a.py"
    path.touch()
    arguments = ("complete", "--file", path, "--line", 0, "--column", 0)
    assert "no server is named: set http.addresses" in linewise_command(*arguments).err
    assert linewise_command(*arguments, scripts=["x = 1\n"]).out == "x = 1\n"
