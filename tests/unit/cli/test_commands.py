"""The other commands, and the command line itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest

import linewise
import linewise.cli
import linewise.commands.joining
import linewise.installation
import linewise.lsp


def test_complete_prints_text_and_times(linewise_command, tmp_path):
    path = tmp_path / "a.py"
    path.write_text("import o\n")
    arguments = ("complete", "--file", path, "--line", 0, "--column", 8, "--json")
    answer = json.loads(linewise_command(*arguments, scripts=["s\n"]).out)
    assert set(answer) == {"text", "first_token_ms", "total_ms"}
    assert answer["text"] == "s" and 0 < answer["first_token_ms"] <= answer["total_ms"]
    assert path.read_text() == "import o\n"


def test_complete_with_nothing_to_add_prints_nothing(linewise_command, tmp_path):
    path = tmp_path / "a.py"
    path.write_text("import os\n")
    arguments = ("complete", "--file", path, "--line", 0, "--column", 9)
    assert linewise_command(*arguments, scripts=["\n"]).out == ""
    empty = json.loads(linewise_command(*arguments, "--json", scripts=["\n"]).out)
    assert empty == {"text": "", "first_token_ms": None, "total_ms": None}


def test_complete_works_in_an_empty_file(linewise_command, tmp_path):
    path = tmp_path / "a.py"
    path.touch()
    arguments = ("complete", "--file", path, "--line", 0, "--column", 0)
    assert linewise_command(*arguments, scripts=["import os\n"]).out == "import os\n"


@pytest.mark.parametrize(("line", "column"), [(9, 0), (-1, 0), (0, 99), (0, -1)])
def test_a_cursor_outside_the_file_is_one_clear_line(linewise_command, tmp_path, line, column):
    path = tmp_path / "a.py"
    path.write_text("x = 1\n")
    outcome = linewise_command("complete", "--file", path, "--line", line, "--column", column, scripts=["x"])
    assert outcome.status == 1 and "outside" in outcome.err and outcome.err.count("\n") == 1


def test_lsp_hands_its_options_to_the_server(linewise_command, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(linewise.lsp, "serve", lambda *arguments: calls.append(arguments))
    linewise_command("lsp", "--tcp", "[::1]:7777", "--model", tmp_path / "m.gguf", "--verifier", "fast")
    linewise_command("lsp")
    given = {"model": str(tmp_path / "m.gguf"), "verifier": "fast", "engine.kind": "auto"}
    assert calls == [(given, ("::1", 7777)), ({"verifier": None}, None)]
    assert linewise_command("lsp", "--tcp", "nowhere").status == 2


def test_doctor_says_that_a_missing_model_means_it_cannot_work(linewise_command, tmp_path):
    outcome = linewise_command("doctor", "--json", "--model", tmp_path / "no.gguf")
    report = json.loads(outcome.out)
    assert outcome.status == 1 and report["ok"] is False
    failed = [check for check in report["checks"] if check["status"] == "failed"]
    assert [check["name"] for check in failed] == ["model"]
    assert "no.gguf" in failed[0]["detail"] and failed[0]["advice"]


def test_doctor_is_content_with_a_model_that_generates(linewise_command):
    outcome = linewise_command("doctor", "--json", scripts=["@1,0\nx\n<|diff|>"])
    report = json.loads(outcome.out)
    checks = {check["name"]: check for check in report["checks"]}
    assert outcome.status == 0 and report["ok"] is True
    assert "1.0M parameters" in checks["model"]["detail"]
    assert {checks["verifier pylint"]["status"], checks["verifier fast"]["status"]} == {"ok"}


def test_doctor_fails_where_the_model_generates_nothing(linewise_command):
    outcome = linewise_command("doctor", scripts=[""])
    assert outcome.status == 1
    assert "failed  generation: the model generated nothing" in outcome.out


def test_version_is_the_packages(linewise_command):
    assert linewise_command("--version").out == f"linewise, version {linewise.__version__}\n"


def test_help_names_every_command(linewise_command):
    outcome = linewise_command("--help")
    assert outcome.status == 0
    for name in ("complete", "doctor", "lsp", "train", "write"):
        assert f"\n  {name} " in outcome.out


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom linewise.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'llama_cpp', 'pylint', 'torch', 'numpy', 'pygls', 'rich', 'linewise_training'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "server")}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stderr == "[]\n"


def joined(monkeypatch, value):
    entry = EntryPoint("train", value, linewise.cli.ENTRY_POINTS)
    found = [] if value is None else [entry]
    monkeypatch.setattr(linewise.commands.joining, "entry_points", lambda **kwargs: found)


@click.group()
def stand_in():
    """A command of another package."""


@stand_in.command()
@click.option("--steps", type=int)
def corpus(steps):
    click.echo(f"harvested in {steps} steps")


def test_a_joined_command_gets_all_its_arguments(linewise_command, monkeypatch):
    monkeypatch.setitem(sys.modules, "stand_in_package", sys.modules[__name__])
    joined(monkeypatch, "stand_in_package:stand_in")
    assert linewise_command("train", "corpus", "--steps", 3).out == "harvested in 3 steps\n"
    assert "Usage: linewise train corpus" in linewise_command("train", "corpus", "--help").out
    assert linewise_command("train", "corpus", "--nonsense").status == 2


@pytest.mark.parametrize("value", [None, "no_such_package_at_all:train"])
def test_training_that_is_not_installed_says_how_to_install_it(linewise_command, monkeypatch, value):
    joined(monkeypatch, value)
    outcome = linewise_command("train", "corpus")
    assert outcome.status == 1
    assert linewise.installation.install_extra("training") in outcome.err and outcome.err.count("\n") == 1
