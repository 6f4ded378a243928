"""The commands with a real model file: tiny and untrained, so what it writes is noise, but all is real."""

from __future__ import annotations

import json

from linewise.verify import FastVerifier


def test_a_write_with_noise_ends_with_done_and_leaves_no_new_problem(linewise_command, tiny_gguf, tmp_path):
    path = tmp_path / "a.py"
    path.write_text("x = 1\n")
    arguments = ("write", "anything", "--file", path, "--json", "--model", tiny_gguf, "--max-tokens", 150)
    outcome = linewise_command(*arguments, "--verifier", "fast", "--seed", 3)
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert outcome.status in (0, 1)
    assert events[-1]["event"] == "done" and 0 < events[-1]["tokens"] <= 150
    assert FastVerifier().problems([path.read_text()]) == [()]


def test_the_same_seed_repeats_a_write_and_its_events(linewise_command, tiny_gguf, tmp_path):
    def run(name):
        path = tmp_path / name / "a.py"
        path.parent.mkdir()
        options = ("--json", "--max-tokens", 120, "--temperature", 1.0, "--seed", 11, "--verifier", "fast")
        outcome = linewise_command("write", "anything", "--file", path, "--model", tiny_gguf, *options)
        events = [json.loads(line) for line in outcome.out.splitlines()]
        return [{**event, "seconds": 0} for event in events], path.read_text() if path.exists() else None

    assert run("one") == run("two")


def test_complete_and_doctor_work_with_a_model_file(linewise_command, tiny_gguf, tmp_path):
    path = tmp_path / "a.py"
    path.write_text("import os\n\ndef f():\n    ret\n")
    arguments = ("complete", "--file", path, "--line", 3, "--column", 7, "--json", "--model", tiny_gguf)
    assert set(json.loads(linewise_command(*arguments).out)) == {"text", "first_token_ms", "total_ms"}
    report = json.loads(linewise_command("doctor", "--json", "--model", tiny_gguf).out)
    assert report["ok"] is True


def test_a_model_that_fills_in_the_middle_completes_and_says_what_it_cannot(
    linewise_command, fim_gguf, tmp_path
):
    path = tmp_path / "a.py"
    path.write_text("import os\n\ndef f():\n    ret\n")
    arguments = ("complete", "--file", path, "--line", 3, "--column", 7, "--json", "--model", fim_gguf)
    assert set(json.loads(linewise_command(*arguments).out)) == {"text", "first_token_ms", "total_ms"}
    assert json.loads(linewise_command("doctor", "--json", "--model", fim_gguf).out)["ok"] is True
    new = tmp_path / "new.py"
    outcome = linewise_command("write", "anything", "--file", new, "--model", fim_gguf)
    assert outcome.status == 1
    assert "cannot write by instruction" in outcome.err and outcome.err.count("\n") == 1
    assert not new.exists()
