"""From nothing to a served model by one command, with the smallest recipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LINEWISE = (sys.executable, "-m", "linewise")
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1"}


def linewise(*arguments, **options):
    return subprocess.run(
        [*LINEWISE, *map(str, arguments)],
        capture_output=True,
        check=False,
        text=True,
        env=options.pop("env", ENVIRONMENT),
        **options,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    prepared = linewise("train", "run", "nano", "--out", folder, "--prepare")
    assert prepared.returncode == 0, prepared.stderr
    assert all((folder / stage / "tokens" / "meta.json").is_file() for stage in ("pretrain", "sft"))
    assert not (folder / "pretrain" / "model").exists()
    cut = linewise("train", "run", "nano", "--out", folder, "--minutes", "0.0001")
    assert cut.returncode == os.EX_TEMPFAIL, cut.stderr
    assert "pretrain: the time was up after step 1 of 6; the same command goes on there" in cut.stderr
    result = linewise("train", "run", "nano", "--out", folder)
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def test_every_stage_ran_and_the_last_line_names_the_model(run):
    folder, output = run
    model = Path(output.splitlines()[-1].removeprefix("model: "))
    assert model.read_bytes()[:4] == b"GGUF"
    stages = ("corpus", "tokenizer", "pretrain", "lintseq", "sft", "export")
    assert all((folder / stage / "done.json").is_file() for stage in stages)
    report = (folder / "lintseq" / "sequences.jsonl.report.html").read_text(encoding="utf-8")
    assert "Tokens added" in report


def test_a_page_tells_what_the_run_made(run):
    folder, output = run
    html = (folder / "report.html").read_text()
    assert f"report: {folder / 'report.html'}" in output
    assert all(title in html for title in ("Pretraining", "Fine-tuning", "Licences", "edit sequences"))


def test_a_second_run_does_nothing_again(run):
    folder, _ = run
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/**/*") if path.is_file()}
    result = linewise("train", "run", "nano", "--out", folder)
    assert result.stdout.count("done before") == 6
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob("*/**/*") if path.is_file()}


def test_the_model_is_served_and_says_what_made_it(run, tmp_path):
    _, output = run
    model = output.splitlines()[-1].removeprefix("model: ")
    doctor = linewise("doctor", "--json", env={**ENVIRONMENT, "LINEWISE_MODEL": model})
    assert "edit-log/1" in doctor.stdout
    source = tmp_path / "add.py"
    source.write_text("def add(a, b):\n    return ")
    complete = linewise("complete", "--model", model, "--file", source, "--line", 1, "--column", 11, "--json")
    assert set(json.loads(complete.stdout)) >= {"text", "first_token_ms", "total_ms"}


def test_a_run_without_an_output_folder_is_a_usage_error():
    result = linewise("train", "run", "nano")
    assert result.returncode == 2
    assert "--out" in result.stderr
