"""Which source wins, what is wrong with one, and what is left of it."""

from __future__ import annotations

import os
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from linewise.assistant import InlineOptions, WriteOptions
from linewise.configuration import (
    SETTINGS,
    Settings,
    find_workspace,
    load_configuration,
    user_file,
    value_of,
    workspace_file,
)
from linewise.errors import ConfigurationError


def test_the_stronger_source_wins_and_each_value_knows_its_own(sources):
    order = ("user", "workspace", "environment", "editor", "command line")
    sources.write("[inline]\nmax_lines = 1\nmax_tokens = 11\n", "[inline]\nmax_lines = 2\n")
    levels, values = [], []
    for source in order[1:]:
        if source == "environment":
            sources.environment["LINEWISE_INLINE_MAX_LINES"] = "3"
        editor = {"inline": {"max_lines": 4}} if source in order[3:] else None
        given = {"inline.max_lines": 5 if source == "command line" else None}
        found = sources.load(editor, **given)
        levels.append(found.origin("inline.max_lines").level)
        values.append(found.settings.inline.max_lines)
        assert found.settings.inline.max_tokens == 11
        assert str(found.origin("inline.max_tokens")) == f"user file {sources.user}"
        assert not found.problems
    assert values == [2, 3, 4, 5]
    assert levels == ["workspace file", "environment", "editor", "command line"]
    assert found.origin("verifier").level == "default"


def test_without_any_source_the_defaults_hold(tmp_path):
    found = load_configuration(tmp_path, environment={"LINEWISE_CONFIG": str(tmp_path / "none.toml")})
    assert found.settings == Settings()
    assert not found.origins
    assert not found.problems


def test_every_field_is_a_setting_whose_default_is_of_its_kind(tmp_path):
    sections = {one.name for one in fields(Settings) if is_dataclass(getattr(Settings(), one.name))}
    keys = {one.name for one in fields(Settings)} - sections
    keys |= {f"{name}.{one.name}" for name in sections for one in fields(getattr(Settings(), name))}
    assert keys == set(SETTINGS)
    for key, setting in SETTINGS.items():
        default = value_of(Settings(), key)
        assert default == setting.default
        if default not in (None, ()):
            assert setting.kind.read(default, tmp_path) == default


def test_defaults_are_those_of_the_assistant():
    for section, options in ((Settings().inline, InlineOptions()), (Settings().write, WriteOptions())):
        for one in fields(section):
            assert getattr(section, one.name) == getattr(options, one.name)


class TestWrongKeysAndValues:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("verifer = 'fast'", "there is no setting verifer: do you mean verifier?"),
            ("[inline]\nmaxlines = 3", "there is no setting inline.maxlines: do you mean inline.max_lines?"),
            ("max_lines = 3", "there is no setting max_lines: do you mean inline.max_lines?"),
            ("[inlin]\nmax_lines = 3", "there is no setting inlin: do you mean inline?"),
            ("[nonsense]\nx = 3", "there is no setting nonsense: `linewise config show` lists"),
            ("inline = 3", "inline is a section, not a setting"),
            (
                "[inline]\nmax_lines = '3'",
                "inline.max_lines = '3' is not valid: expected a whole number from 1",
            ),
            ("[inline]\nmax_lines = true", "inline.max_lines = True is not valid"),
            ("[inline]\nmax_lines = 0", "inline.max_lines = 0 is not valid"),
            (
                "[write]\ntemperature = nan",
                "write.temperature = nan is not valid: expected a number from 0 to 2",
            ),
            ("[serve]\nenabled = 'no'", "serve.enabled = 'no' is not valid: expected true or false"),
            ("verifier = 'mypy'", "verifier = 'mypy' is not valid: expected one of pylint, fast, none"),
            ("model = ''", "model = '' is not valid: expected the name of a registered model"),
            ("model = ['a']", "expected the name of a registered model"),
        ],
    )
    def test_one_is_named_with_its_file_and_the_rest_holds(self, sources, problems, text, told):
        (problem,) = problems("threads = 3\n" + text)
        assert problem.startswith(f"{sources.user}: ")
        assert told in problem
        assert sources.load().settings.threads == 3
        with pytest.raises(ConfigurationError, match=r"linewise\.toml: "):
            sources.load().require_sound()

    def test_a_long_value_is_cut(self, problems):
        (problem,) = problems(f"verifier = '{'x' * 5000}'")
        assert len(problem) < 300

    def test_a_key_does_nothing_to_a_terminal(self, problems):
        (problem,) = problems(workspace='"\\u001b]0;title\\u0007" = 1')
        assert problem.isprintable()

    def test_a_pipe_is_not_waited_for(self, sources):
        sources.write("threads = 3")
        (sources.workspace / "linewise.toml").unlink()
        os.mkfifo(sources.workspace / "linewise.toml")
        found = sources.load()
        assert "no regular file" in str(found.problems[0])
        assert found.settings.threads == 3

    @pytest.mark.parametrize(
        ("raw", "told"),
        [
            (b"threads = = 2", "is no TOML"),
            (b"threads = 2 # \xff", "not UTF-8"),
            (b"#" * (1 << 21), "over 1 MiB"),
        ],
    )
    def test_a_broken_file_is_told_and_the_others_hold(self, sources, raw, told):
        sources.write("", "[inline]\nmax_lines = 2\n")
        sources.user.write_bytes(raw)
        found = sources.load()
        (problem,) = found.problems
        assert told in problem.message
        assert str(sources.user) in problem.message
        assert found.settings.inline.max_lines == 2

    def test_a_folder_in_the_files_place_is_told(self, sources):
        sources.user.mkdir()
        (problem,) = sources.load().problems
        assert "no regular file" in problem.message

    def test_an_editors_options_are_held_to_the_same(self, sources):
        editor = {"inline": {"max_line": 3, "max_tokens": None}, "threads": 2, "inline.max_lines": 4}
        found = sources.load(editor)
        (problem,) = found.problems
        assert "the editor's settings: there is no setting inline.max_line" in problem.message
        assert (found.settings.threads, found.settings.inline.max_lines) == (2, 4)
        (problem,) = sources.load(["threads"]).problems
        assert "no object with settings but a list" in problem.message

    def test_a_wrong_variable_is_named(self, sources):
        sources.environment |= {
            "LINEWISE_THREADS": "two",
            "LINEWISE_VERIFER": "fast",
            "LINEWISE_OF_ANOTHER_PROGRAM": "x",
            "LINEWISE_MODELS": "/tmp/models",
            "LINEWISE_CONTEXT_LENGTH": "",
        }
        messages = [str(problem) for problem in sources.load().problems]
        assert messages == [
            "the environment variable LINEWISE_THREADS: 'two' is not valid: "
            "expected a whole number from 1 to 1024",
            "the environment variable LINEWISE_VERIFER is no setting: do you mean LINEWISE_VERIFIER?",
        ]

    def test_variables_are_read_by_their_kinds(self, sources):
        sources.environment |= {"LINEWISE_SERVE_ENABLED": "0", "LINEWISE_WRITE_TEMPERATURE": "0.5"}
        settings = sources.load().settings
        assert (settings.serve.enabled, settings.write.temperature) == (False, 0.5)


class TestModels:
    def test_a_relative_path_begins_at_the_file_that_names_it(self, sources):
        sources.write("model = 'models/one.gguf'")
        assert sources.load().settings.model == str(sources.user.parent / "models" / "one.gguf")

    def test_a_name_stays_a_name_even_where_a_file_has_it(self, sources):
        (sources.workspace / "mine").touch()
        sources.write("", "model = 'mine'")
        found = sources.load()
        assert found.settings.model == "mine"
        assert not found.problems


class TestPlaces:
    def test_the_users_file_is_the_named_one_or_in_the_config_folder(self, tmp_path):
        assert user_file({"LINEWISE_CONFIG": str(tmp_path / "x.toml")}) == tmp_path / "x.toml"
        assert user_file({}).parts[-2:] == ("linewise", "linewise.toml")

    def test_a_workspace_is_the_nearest_folder_with_settings_or_a_repository(self, tmp_path):
        inner = tmp_path / "a" / "b" / "c"
        inner.mkdir(parents=True)
        home = tmp_path / "home"
        (tmp_path / "a" / ".git").mkdir()
        assert find_workspace(inner, home) == tmp_path / "a"
        (inner.parent / ".linewise.toml").touch()
        assert find_workspace(inner, home) == inner.parent
        assert workspace_file(inner.parent) == inner.parent / ".linewise.toml"

    def test_the_home_folder_and_above_are_no_workspace(self, tmp_path):
        home = tmp_path / "home"
        (home / "project").mkdir(parents=True)
        for folder in (tmp_path, home):
            (folder / "linewise.toml").touch()
        assert find_workspace(home / "project", home) is None

    def test_two_files_in_a_workspace_are_told_and_the_first_is_read(self, sources):
        sources.write("", "threads = 2")
        (sources.workspace / ".linewise.toml").write_text("threads = 3")
        found = sources.load()
        assert found.settings.threads == 2
        assert "keep one" in str(found.problems[0])

    def test_the_users_own_file_in_a_workspaces_place_is_not_a_workspaces(self, sources, tmp_path):
        path = sources.workspace / "linewise.toml"
        path.write_text("[serve]\nidle_minutes = 5")
        found = load_configuration(sources.workspace, environment={"LINEWISE_CONFIG": str(path)})
        assert found.settings.serve.idle_minutes == 5
        assert not found.problems


class TestTrust:
    def test_an_untrusted_workspace_names_no_path_and_chooses_no_engine(self, sources, problems):
        told = problems(
            "", f"model = '{Path('/models/x.gguf').as_posix()}'\nthreads = 2\n[engine]\nkind = 'llama_cpp'"
        )
        assert len(told) == 2
        assert all(f"`linewise config trust {sources.workspace}`" in problem for problem in told)
        found = sources.load()
        assert (found.settings.model, found.settings.threads) == (None, 2)
        found.require_sound()  # it is told, but stops nothing
        sources.trust()
        found = sources.load()
        assert not found.problems
        assert found.settings.model is not None
        assert found.settings.model.endswith("x.gguf")
        assert found.settings.engine.kind == "llama_cpp"

    def test_not_even_a_trusted_workspace_sets_what_is_the_users_alone(self, sources, problems):
        sources.trust()
        (problem,) = problems("", "[serve]\nsocket = 'here.sock'")
        assert "serve.socket, which only you may set" in problem
        assert sources.load().settings.serve.socket is None

    def test_trust_is_for_one_folder_by_any_of_its_names(self, sources, tmp_path):
        from linewise.configuration import trusted_workspaces

        trusted = trusted_workspaces(sources.environment)
        assert trusted.trust(sources.workspace)
        assert not trusted.trust(sources.workspace)
        (tmp_path / "link").symlink_to(sources.workspace)
        assert trusted.trusts(tmp_path / "link")
        assert not trusted.trusts(sources.workspace / "inner")
        assert trusted.untrust(tmp_path / "link")
        assert not trusted.untrust(sources.workspace)
        assert trusted.folders() == ()

    @pytest.mark.parametrize("text", ["{", "[]", '{"workspaces": [1]}'])
    def test_a_damaged_list_trusts_nobody_and_is_told(self, sources, problems, text):
        sources.trust()
        (sources.user.parent / "trusted.json").write_text(text)
        told = problems("", "model = '/x.gguf'")
        assert "trusted workspaces" in told[0]
        assert len(told) == 2
        with pytest.raises(ConfigurationError, match="delete it"):
            sources.trust()

    def test_an_untrusted_workspace_names_no_address_and_a_trusted_one_no_key(self, sources, problems):
        text = "[engine]\nkind = 'http'\n[http]\naddresses = ['http://x:1/v1/']\nkey_file = 'key'\n"
        assert len(problems("", text)) == 3
        assert sources.load().settings.http.addresses == ()
        sources.trust()
        (problem,) = problems("", text)
        assert "http.key_file" in problem
        settings = sources.load().settings
        assert settings.http.addresses == ("http://x:1/v1",)
        assert settings.http.key_file is None

    def test_an_address_is_checked_and_its_password_is_not_shown(self, problems):
        for address in ("ftp://x", "http://", "x:80", "http://x:99999999", "http://u:secret@x"):
            (problem,) = problems(f"[http]\naddresses = ['{address}']")
            assert "a list of addresses" in problem
            assert "secret" not in problem
