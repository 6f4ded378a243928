"""`linewise run-tests`: a file of programs in, what came of each out; nothing lost, nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from linewise_training.execution.command import run_tests_command

RIGHT = {"code": "def f():\n    return 1", "tests": ["assert f() == 1", "assert f() < 2"], "id": 7}
WRONG = {"code": "def f():\n    return 2", "tests": ["assert f() == 1", "assert f() > 1"], "timeout": 3}


@pytest.fixture
def run(tmp_path):
    def run(lines, *options, out="out.jsonl"):
        source = tmp_path / "in.jsonl"
        source.write_text("".join(
            f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines
        ), encoding="utf-8")  # fmt: skip
        arguments = ["--in", str(source), "--out", str(tmp_path / out), "--workers", "2", *options]
        outcome = CliRunner().invoke(run_tests_command, arguments)
        written = tmp_path / out
        rows = written.read_text(encoding="utf-8").splitlines() if written.exists() else []
        return outcome, [json.loads(row) for row in rows]

    return run


def test_each_line_comes_back_with_its_results(run):
    outcome, rows = run([RIGHT, WRONG, {**RIGHT, "language": "python"}], "--json")
    assert outcome.exit_code == 0, outcome.output
    assert [row["status"] for row in rows] == ["pass", "partial", "pass"]
    assert rows[0] | RIGHT == rows[0]
    assert rows[1]["results"] == [
        {"passed": False, "message": "AssertionError"},
        {"passed": True, "message": ""},
    ]
    counts = json.loads(outcome.stdout)
    assert (counts["jobs"], counts["pass"], counts["partial"], counts["bad_line"]) == (3, 2, 1, 0)


def test_lines_that_hold_no_job_are_named_and_the_others_run(run):
    bad = ["{", "[]", '{"code": 1, "tests": []}', '{"code": "", "tests": "assert True"}',
           '{"code": "", "tests": [], "language": "cobol"}', '{"code": "", "tests": [], "timeout": true}',
           '{"code": "", "tests": [], "timeout": -1}', ""]  # fmt: skip
    outcome, rows = run([*bad[:4], RIGHT, *bad[4:]])
    assert outcome.exit_code == 1
    assert "line 1, 2, 3, 4, 6, 7, 8, 9;" in outcome.stderr
    assert [row["status"] for row in rows] == ["bad_line"] * 4 + ["pass"] + ["bad_line"] * 4
    assert [row["line"] for row in rows if row["status"] == "bad_line"] == [1, 2, 3, 4, 6, 7, 8, 9]
    assert "unknown language 'cobol'" in rows[5]["message"]


def test_a_run_that_was_cut_goes_on(run, tmp_path):
    lines = [RIGHT, "{", WRONG, RIGHT]
    _, whole = run(lines)
    out = tmp_path / "cut.jsonl"
    kept = [json.dumps({**row, "output": "kept"}) for row in whole[:2]]
    out.write_text("\n".join([*kept, '{"code": "def f']), encoding="utf-8")
    outcome, rows = run(lines, out="cut.jsonl")
    assert "going on after line 2" in outcome.stderr
    assert [row.get("output") for row in rows] == ["kept", "kept", "", ""]
    assert [row["status"] for row in rows] == [row["status"] for row in whole]
    again, same = run(lines, out="cut.jsonl")
    assert same == rows
    assert again.exit_code == outcome.exit_code == 1
    assert "3 jobs" in again.stdout


def test_another_files_output_is_not_gone_on_with(run):
    run([RIGHT])
    outcome, rows = run([WRONG])
    assert outcome.exit_code == 1
    assert "begin anew with --restart" in outcome.stderr
    assert rows[0]["id"] == 7
    outcome, rows = run([WRONG], "--restart")
    assert outcome.exit_code == 0
    assert [row["status"] for row in rows] == ["partial"]


def test_the_input_is_never_written_over(run):
    outcome, rows = run([RIGHT], out="in.jsonl")
    assert outcome.exit_code == 1
    assert "both --in and --out" in outcome.stderr
    assert rows == [RIGHT]


@pytest.mark.parametrize("last", [RIGHT, {"code": 1}])
def test_an_output_that_is_longer_than_the_input_is_not_gone_on_with(run, last):
    run([RIGHT, last])
    outcome, rows = run([RIGHT])
    assert outcome.exit_code == 1
    assert "more lines than the input, which ends after line 1" in outcome.stderr
    assert len(rows) == 2


def test_a_missing_input_is_named(tmp_path):
    arguments = ["--in", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "out.jsonl")]
    outcome = CliRunner().invoke(run_tests_command, arguments)
    assert outcome.exit_code == 1
    assert "none.jsonl is not a file" in outcome.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_the_product_s_own_command_survives_a_kill(tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    slow = {"code": "import time\ntime.sleep(0.1)", "tests": ["assert True"]}
    source.write_text("".join(json.dumps({**slow, "n": n}) + "\n" for n in range(12)), encoding="utf-8")
    command = [sys.executable, "-m", "linewise", "run-tests", "--in", source, "--out", out, "--workers", "1"]
    cut = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not out.exists() or out.stat().st_size == 0:
        assert cut.poll() is None
        time.sleep(0.01)
    os.kill(cut.pid, signal.SIGKILL)
    cut.wait()
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    rows = [json.loads(row) for row in out.read_text(encoding="utf-8").splitlines()]
    assert [(row["n"], row["status"]) for row in rows] == [(n, "pass") for n in range(12)]
    assert json.loads(done.stdout)["pass"] == 12
    assert "going on after line" in done.stderr
