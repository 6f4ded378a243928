"""`linewise write`: whole hunks in the file, one event a line, nothing of the user's lost."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from linewise.assistant import HunkDropped, HunkProgress, HunkTurned
from linewise.commands.rendering import ColourRendering
from linewise.edits import Hunk, apply_hunk, join_lines

TWO = "@1,0\ndef f():\n    return 1\n<|diff|>@2,1\n    return 1\n    # one\n"
WRITTEN = "def f():\n    return 1\n    # one\n"


def events_of(outcome):
    return [json.loads(line) for line in outcome.out.splitlines()]


def test_json_events_replay_to_the_file(linewise_command, tmp_path):
    path = tmp_path / "new.py"
    outcome = linewise_command("write", "a function", "--file", path, "--json", scripts=[TWO])
    *hunks, done = events_of(outcome)
    assert outcome.status == 0
    assert hunks[0] == {
        "event": "hunk",
        "start": 0,
        "removed": [],
        "added": ["def f():", "    return 1", ""],
        "clean": True,
    }
    lines = ()
    for event in hunks:
        lines = apply_hunk(lines, Hunk(event["start"], tuple(event["removed"]), tuple(event["added"])))
    assert path.read_text() == join_lines(lines) == WRITTEN
    assert set(done) == {"event", "edits", "tokens", "seconds", "reason"}
    assert (done["event"], done["edits"]) == ("done", 2)


def test_a_dropped_hunk_is_told_with_its_reason(linewise_command, tmp_path):
    path = tmp_path / "new.py"
    scripts = ["return\n", "@1,0\nx = 1\n"]
    dropped, hunk, _ = events_of(linewise_command("write", "x", "--file", path, "--json", scripts=scripts))
    assert set(dropped) == {"event", "reason"} and dropped["event"] == "dropped"
    assert hunk["added"] == ["x = 1", ""]


def test_a_hunk_that_is_led_out_of_a_loop_is_told_with_its_reason(linewise_command, tmp_path):
    path = tmp_path / "new.py"
    scripts = ["@1,0\n" + "x = 1\n" * 3, "@1,0\ny = 2\n"]
    turned, hunk, _ = events_of(linewise_command("write", "x", "--file", path, "--json", scripts=scripts))
    assert turned == {"event": "turned", "reason": "the model repeats itself"}
    assert hunk["added"] == ["y = 2", ""]


def test_a_hunk_that_is_led_away_from_a_problem_is_told_with_its_reason(linewise_command, tmp_path):
    path = tmp_path / "new.py"
    scripts = ["@1,0\ndef f():\n", "    return 1\n"]
    turned, hunk, _ = events_of(linewise_command("write", "x", "--file", path, "--json", scripts=scripts))
    assert turned == {"event": "turned", "reason": "the hunk ends before the block that it begins"}
    assert hunk["added"] == ["def f():", "    return 1", ""]
    outcome = linewise_command("write", "x", "--file", tmp_path / "other.py", scripts=scripts)
    assert f"led another way: {turned['reason']}" in outcome.out


def test_people_are_told_once_why_a_hunk_is_led_another_way_again_and_again():
    out = io.StringIO()
    rendering = ColourRendering("a.py", Console(file=out, width=100))
    again, line = HunkTurned("it repeats"), HunkProgress(0, "x = 1")
    for event in (again, line, again, HunkTurned("it is open"), again, HunkDropped(None, "bad"), again):
        rendering.show(event)
    reasons = [text.strip().removeprefix("led another way: ") for text in out.getvalue().splitlines()]
    assert reasons == ["it repeats", "it is open", "it repeats", "dropped: bad", "it repeats"]


def test_people_see_the_lines_that_came_and_went(linewise_command, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old\n")
    outcome = linewise_command("write", "x", "--file", path, scripts=["@1,1\nnew \x1b[31m\n"])
    assert "- old\n" in outcome.out and "1 edit," in outcome.out
    assert "+ new �[31m" in outcome.out


def test_a_file_that_is_not_python_is_written_unchecked(linewise_command, tmp_path):
    path = tmp_path / "notes.md"
    outcome = linewise_command("write", "x", "--file", path, "--json", scripts=["@1,0\n# return (\n"])
    assert path.read_text() == "# return (\n" and outcome.status == 0


def test_mode_mark_and_line_endings_are_kept(linewise_command, tmp_path):
    path = tmp_path / "a.py"
    path.write_bytes(b"\xef\xbb\xbfimport os\r\nprint(os)\r\n")
    path.chmod(0o750)
    linewise_command("write", "x", "--file", path, scripts=["@1,1\nimport os\nimport re\n"])
    assert path.read_bytes() == b"\xef\xbb\xbfimport os\r\nimport re\r\nprint(os)\r\n"
    assert path.stat().st_mode & 0o777 == 0o750


def test_a_link_stays_a_link_to_the_changed_file(linewise_command, tmp_path):
    real, link = tmp_path / "real.py", tmp_path / "link.py"
    real.write_text("x = 1\n")
    link.symlink_to(real)
    linewise_command("write", "x", "--file", link, scripts=["@1,1\nx = 1\ny = 2\n"])
    assert link.is_symlink() and real.read_text() == "x = 1\ny = 2\n"


def test_a_file_changed_on_disk_meanwhile_is_left_as_it_is_then(linewise_command, tmp_path):
    path = tmp_path / "a.py"

    def interfere(count):
        if count == 2:
            assert path.read_text() == "def f():\n    return 1\n"
            path.write_text("somebody else's\n")

    outcome = linewise_command("write", "x", "--file", path, scripts=[TWO], before_token=interfere)
    assert outcome.status == 1 and "changed on disk" in outcome.err
    assert path.read_text() == "somebody else's\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_meanwhile_is_not_overwritten(linewise_command, tmp_path):
    path = tmp_path / "a.py"
    outcome = linewise_command(
        "write", "x", "--file", path, scripts=[TWO], before_token=lambda count: path.write_text("mine\n")
    )
    assert outcome.status == 1 and "changed on disk" in outcome.err
    assert path.read_text() == "mine\n"


def test_no_clean_edit_leaves_the_file_and_fails(linewise_command, tmp_path):
    path = tmp_path / "a.py"
    path.write_text("x = 1\n")
    outcome = linewise_command("write", "x", "--file", path, scripts=["nonsense\n"] * 20)
    assert outcome.status == 1 and "no clean edit" in outcome.err
    assert path.read_text() == "x = 1\n"


def test_bad_places_are_one_clear_line(linewise_command, tmp_path):
    binary = tmp_path / "binary.py"
    binary.write_bytes(b"x = 1\n\xff\xfe")
    locked = tmp_path / "locked.py"
    locked.write_text("x = 1\n")
    locked.chmod(0o444)
    cases = {
        tmp_path: "is a folder",
        binary: "not UTF-8 text (byte 0xff in line 2)",
        locked: "read-only",
        tmp_path / "no" / "where.py": "does not exist",
    }
    for path, message in cases.items():
        outcome = linewise_command("write", "x", "--file", path, scripts=[TWO])
        assert outcome.status == 1
        assert outcome.err.startswith("linewise: ") and message in outcome.err
        assert outcome.err.count("\n") == 1
    assert binary.read_bytes() == b"x = 1\n\xff\xfe" and locked.read_text() == "x = 1\n"


def test_an_empty_instruction_is_one_clear_line(linewise_command, tmp_path):
    outcome = linewise_command("write", " ", "--file", tmp_path / "a.py", scripts=[TWO])
    assert outcome.status == 1 and "instruction is empty" in outcome.err


@pytest.mark.parametrize("content", [None, b"", b"not a model", b"GGUF\x03\x00\x00\x00"])
def test_a_missing_or_damaged_model_is_one_clear_line(linewise_command, tmp_path, content):
    model, path = tmp_path / "model.gguf", tmp_path / "a.py"
    if content is not None:
        model.write_bytes(content)
    outcome = linewise_command("write", "x", "--file", path, "--model", model)
    assert outcome.status == 1 and "model.gguf" in outcome.err and outcome.err.count("\n") == 1
    assert not path.exists()


def test_a_hundred_thousand_lines_are_written_into_at_the_right_place(linewise_command, tmp_path):
    path = tmp_path / "big.py"
    text = "".join(f"line_{number} = {number}\n" for number in range(100_000))
    path.write_text(text)
    script = "@1,1\nline_0 = 0\nadded = 1\n"
    outcome = linewise_command("write", "x", "--file", path, "--json", "--verifier", "none", scripts=[script])
    assert events_of(outcome)[0]["start"] == 1
    assert path.read_text() == text.replace("line_1 =", "added = 1\nline_1 =", 1)


INTERRUPTIBLE = """
import sys, time
import linewise.engines
from linewise.engines.protocol import ModelInfo, Token

class Endless:
    info = ModelInfo("endless", "script", 100_000, 256, 0, 0, "edit-log/1", {})
    def tokenize(self, segments): return (0,) * len(segments)
    def close(self): pass
    def stream(self, request, cancel=None):
        yield Token(0, "@1,0\\nx = 1\\n", 0.0)
        yield Token(1, "<|diff|>", 0.0, True)
        yield Token(2, "@1,1\\nx = 1\\n", 0.0)
        while not cancel.is_set():
            time.sleep(0.01)
            yield Token(3, "y", 0.0)

linewise.engines.load_engine = lambda path, **_: Endless()
from linewise.cli import main
main(["write", "x", "--file", sys.argv[1], "--json", "--model", "m", "--max-tokens", "100000"])
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT between processes there")
def test_ctrl_c_keeps_whole_hunks_and_exits_130(tmp_path):
    path = tmp_path / "a.py"
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[3] / "server"),
        "PYTHONUNBUFFERED": "1",
    }
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, str(path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    with child:
        assert json.loads(child.stdout.readline())["event"] == "hunk"
        child.send_signal(signal.SIGINT)
        rest = child.stdout.read().splitlines()
    assert child.returncode == 130
    assert json.loads(rest[-1])["event"] == "done"
    assert path.read_text() == "x = 1\n"
