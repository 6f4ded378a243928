"""The model that comes with Linewise, as a new user meets it: on the command line and in a real Neovim."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Editor, wait_for

from linewise.models import default_model_path

LINEWISE = [sys.executable, "-m", "linewise"]
FIBONACCI = "a function that returns the nth Fibonacci number"


@pytest.fixture(autouse=True)
def embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LINEWISE_MODEL", raising=False)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LINEWISE, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_it_is_small_and_its_card_is_about_this_very_file() -> None:
    path = default_model_path()
    assert path.stat().st_size <= 32 * 2**20
    card = path.with_name("README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in card


def test_the_doctor_finds_everything_in_order() -> None:
    report = run("doctor")
    assert report.returncode == 0, report.stdout
    assert "edit-log/1" in report.stdout
    assert "linewise-embedded (the one in use)" in report.stdout  # the name that editors show


def test_a_new_file_is_written_as_hunks_that_apply_one_after_another_and_it_compiles(tmp_path: Path) -> None:
    path = tmp_path / "new.py"
    result = run("write", FIBONACCI, "--file", path, "--json")
    assert result.returncode == 0, result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[-1]["event"] == "done"
    hunks = [event for event in events if event["event"] == "hunk"]
    assert len(hunks) == events[-1]["edits"] > 0
    lines: list[str] = []
    for hunk in hunks:
        end = hunk["start"] + len(hunk["removed"])
        assert lines[hunk["start"] : end] == hunk["removed"]
        assert hunk["clean"] is True
        lines[hunk["start"] : end] = hunk["added"]
    source = path.read_text(encoding="utf-8")
    assert source == "\n".join(lines)
    assert "def " in source
    compile(source, str(path), "exec")


def test_the_same_seed_writes_the_same_file(tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "new.py"
        run("write", FIBONACCI, "--file", path, "--temperature", 0.7, "--seed", 5)
        texts.append(path.read_text(encoding="utf-8") if path.exists() else "")
    assert texts[0] == texts[1]


def test_a_plain_continuation_is_completed(tmp_path: Path) -> None:
    path = tmp_path / "c.py"
    path.write_text(
        "import os\n\n\nclass Point:\n    def __init__(self, x, y):\n        self.x = x\n        self.y"
    )
    result = json.loads(run("complete", "--file", path, "--line", 6, "--column", 14, "--json").stdout)
    assert result["text"].startswith(" = y")


def test_in_a_real_neovim_it_writes_code_that_compiles(open_editor: Callable[..., Editor]) -> None:
    editor = open_editor([*LINEWISE, "lsp"], "")
    editor.nvim.command(f"LinewiseWrite {FIBONACCI}")
    wait_for("the write to end", lambda: any(" edit" in message for message in editor.told))
    source = "\n".join(editor.lines)
    assert "def " in source, editor.told
    compile(source, "example.py", "exec")
    editor.keys("u")
    editor.wait_for_lines([""])


def test_in_a_real_neovim_ghost_text_shows_and_tab_takes_it(open_editor: Callable[..., Editor]) -> None:
    text = "class Point:\n    def __init__(self, x, y):\n        self.x = x\n"
    editor = open_editor([*LINEWISE, "lsp"], text)
    wait_for("the server", editor.is_attached)
    editor.keys("Goself.y")
    shown = wait_for("ghost text", editor.ghost)
    editor.keys("<Tab>")
    wait_for("the text", lambda: "\n".join(editor.lines).startswith(f"{text}        self.y{shown}"))
