"""`linewise eval` on self-written problems: whole runs, killed ones, and bad input."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from linewise.errors import LinewiseError
from linewise_training.evaluation.command import evaluate
from linewise_training.evaluation.grading import Item, check_programs, grade
from linewise_training.evaluation.problems import read_problems
from linewise_training.evaluation.report import figures
from linewise_training.evaluation.writing import Asked, Written
from linewise_training.execution import Runner
from linewise_training.sampling import Sample
from sample_problems import DOUBLE, ODD, write_rows


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "HumanEval.jsonl", DOUBLE, ODD)


def run(model: Path, data: Path, out: Path, *options: str) -> Result:
    arguments = ["humaneval", "--model", str(model), "--data", str(data), "--out", str(out)]
    arguments += ["--samples", "3", "--k", "1,2,100", "--max-tokens", "12", "--workers", "1", *options]
    return CliRunner().invoke(evaluate, arguments, catch_exceptions=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_run_leaves_samples_results_and_a_report(tiny_gguf: Path, data: Path, tmp_path: Path) -> None:
    result = run(tiny_gguf, data, tmp_path / "out", "--json")
    report = json.loads(result.stdout)
    assert report == json.loads((tmp_path / "out/report.json").read_text())
    assert sorted(contents(tmp_path / "out")) == [
        "report.html",
        "report.json",
        "results.jsonl",
        "samples.jsonl",
        "settings.json",
    ]
    assert (report["benchmark"], report["problems"]) == ("humaneval", 2)
    assert sorted(report["shapes"]) == ["docstring", "instruction"]
    for found in report["shapes"].values():
        assert sorted(found["scores"]) == ["pass@1", "pass@2"]
        assert found["samples"] == sum(found["statuses"].values()) == 6
        assert 0 < found["tokens_per_sample"] <= 12
        tokens, parameters = found["tokens_per_sample"], report["model"]["parameters"]
        assert found["flops_per_sample"] == pytest.approx(2 * parameters * tokens)
    rows = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert [(row["task"], row["shape"]) for row in rows] == [
        ("HumanEval/0", "docstring"),
        ("HumanEval/0", "instruction"),
        ("HumanEval/1", "docstring"),
        ("HumanEval/1", "instruction"),
    ]
    page = (tmp_path / "out/report.html").read_text()
    assert page.count("<details>") == 4
    assert "<svg" in page
    assert not any(word in page for word in ("http:", "https:", "<script", "src="))


@pytest.mark.parametrize(
    ("name", "share"), [("samples.jsonl", 0.6), ("results.jsonl", 0.6), ("report.json", 0)]
)
def test_a_killed_run_goes_on_and_ends_the_same(tiny_gguf, data, tmp_path, name, share) -> None:
    out = tmp_path / "out"
    run(tiny_gguf, data, out)
    whole = contents(out)
    names = ["settings.json", "samples.jsonl", "results.jsonl", "report.json", "report.html"]
    (out / name).write_bytes(whole[name][: int(len(whole[name]) * share)])
    for later in names[names.index(name) + 1 :]:
        (out / later).unlink()
    assert run(tiny_gguf, data, out, "--batch", "2", "--workers", "2").exit_code == 0
    assert contents(out) == whole


def test_another_run_in_the_same_folder_is_refused(tiny_gguf, data, tmp_path) -> None:
    out = tmp_path / "out"
    run(tiny_gguf, data, out)
    before = contents(out)
    with pytest.raises(LinewiseError, match=r"holds a run with seed 0, not 1; .*--restart"):
        run(tiny_gguf, data, out, "--seed", "1")
    with pytest.raises(LinewiseError, match="model form 'edit-log/1', not 'plain'"):
        run(tiny_gguf, data, out, "--format", "plain")
    assert contents(out) == before
    assert run(tiny_gguf, data, out, "--seed", "1", "--restart").exit_code == 0
    assert contents(out)["samples.jsonl"] != before["samples.jsonl"]


def test_what_cannot_be_done_leaves_no_folder(tiny_gguf, data, tmp_path) -> None:
    with pytest.raises(LinewiseError, match="choose another --format than fim"):
        run(tiny_gguf, data, tmp_path / "out", "--format", "fim")
    assert not (tmp_path / "out").exists()
    with pytest.raises(LinewiseError, match="x cannot be made"):
        run(tiny_gguf, data, Path("/proc/x"))


def test_greedy_draws_one_sample(tiny_gguf, data, tmp_path) -> None:
    report = json.loads(run(tiny_gguf, data, tmp_path / "out", "--temperature", "0", "--json").stdout)
    assert report["settings"]["samples"] == 1
    assert [found["samples"] for found in report["shapes"].values()] == [2, 2]
    assert list(report["shapes"]["docstring"]["scores"]) == ["pass@1"]


def test_a_plain_model_and_one_shape(tiny_gguf, data, tmp_path) -> None:
    options = ("--format", "plain", "--prompt", "docstring", "--limit", "1")
    result = run(tiny_gguf, data, tmp_path / "out", *options)
    assert "(plain) on 1 problems" in result.output
    assert "instruction" not in result.output


def test_a_model_that_fills_in_the_middle_is_scored_too(fim_gguf, data, tmp_path) -> None:
    report = json.loads(run(fim_gguf, data, tmp_path / "out", "--json").stdout)
    assert report["model"]["form"] == "fim"
    assert [found["samples"] for found in report["shapes"].values()] == [6, 6]
    sample = json.loads((tmp_path / "out/samples.jsonl").read_text().splitlines()[0])
    assert sample["prompt"] == f"<|fim_prefix|>{DOUBLE['prompt']}<|fim_suffix|><|fim_middle|>"


def test_a_model_folder_is_scored_too(tiny_checkpoint, data, tmp_path) -> None:
    options = ("--format", "edit-log/1", "--prompt", "instruction", "--json")
    report = json.loads(run(tiny_checkpoint, data, tmp_path / "out", *options).stdout)
    assert (report["model"]["name"], report["model"]["form"]) == ("checkpoint", "edit-log/1")
    assert report["shapes"]["instruction"]["samples"] == 6


@pytest.mark.parametrize("value", ["0", "a", "1,,2", "-1"])
def test_ks_that_mean_nothing(tiny_gguf, data, tmp_path, value) -> None:
    result = run(tiny_gguf, data, tmp_path / "out", "--k", value)
    assert result.exit_code == 2
    assert "not a list of whole numbers" in result.output


def item(problem: Any, programs: list[str]) -> Item:
    samples = tuple(
        Sample(problem.task, "docstring", number, 0, "", program, 1, 1, -1.0, "end of sequence")
        for number, program in enumerate(programs)
    )
    return Item(problem, "docstring", Asked(None, None, Written), samples)


def test_programs_are_scored_by_what_they_do(data: Path, tmp_path: Path) -> None:
    double, odd = read_problems("humaneval", data)
    wrong = "def double(values):\n    return [2]\n"
    items = [
        item(double, [double.reference, wrong, wrong, "def double(:\n"]),
        item(odd, [odd.reference, odd.reference, "", "raise SystemExit(0)\n"]),
    ]
    with Runner(1) as runner:
        rows = grade(items, tmp_path / "results.jsonl", runner, ks=(1, 2), timeout=10)
    assert [[s["status"] for s in row["samples"]] for row in rows] == [
        ["pass", "partial", "partial", "compile_error"],
        ["pass", "pass", "runtime_error", "runtime_error"],
    ]
    assert [s["passed"] for s in rows[0]["samples"]] == [3, 1, 1, 0]
    assert rows[0]["scores"] == {"pass@1": 0.25, "pass@2": 0.5}
    assert rows[1]["scores"] == {"pass@1": 0.5, "pass@2": pytest.approx(5 / 6)}
    low, high = rows[0]["interval"]
    assert low < 0.25 < high


def test_the_better_shape_is_named_where_one_is(data: Path, tmp_path: Path) -> None:
    (odd,) = read_problems("humaneval", data)[1:]
    right, wrong = item(odd, [odd.reference, ""]), item(odd, ["", ""])
    with Runner(1) as runner:
        for name, (docstring, instruction), better in (
            ("a", (right, wrong), "docstring"),
            ("b", (wrong, right), "instruction"),
            ("c", (right, right), None),
        ):
            items = [docstring, replace(instruction, shape="instruction")]
            rows = grade(items, tmp_path / f"{name}.jsonl", runner, ks=(1,), timeout=10)
            samples = [replace(sample, shape=one.shape) for one in items for sample in one.samples]
            found = figures(rows, samples, parameters=3, ks=(1,))
            assert found["better"] == better
            assert found["shapes"]["docstring"]["flops_per_sample"] == 6.0


def test_references_can_be_checked(data: Path) -> None:
    with Runner(1) as runner:
        verdicts = list(check_programs(read_problems("humaneval", data), lambda p: p.reference, runner, 10.0))
    assert [verdict.status.value for _, verdict in verdicts] == ["pass", "pass"]


def test_problems_in_the_models_data_are_named(tiny_gguf: Path, data: Path, tmp_path: Path) -> None:
    corpus, model = tmp_path / "run/corpus", tmp_path / "run/export/model.gguf"
    for folder in (corpus, model.parent):
        folder.mkdir(parents=True)
    shutil.copy(tiny_gguf, model)
    write_rows(corpus / "manifest.json", {})
    write_rows(
        corpus / "pairs.jsonl", {"instruction": "", "program": ODD["prompt"] + ODD["canonical_solution"]}
    )
    options = ("--prompt", "docstring", "--json")
    report = json.loads(run(model, data, tmp_path / "out", *options).stdout)
    assert report["data_known"] is True
    (warning,) = report["warnings"]
    assert "hold 1 of these problems (HumanEval/1)" in warning
    assert "(HumanEval/1)" in (tmp_path / "out/report.html").read_text()
    unchecked = json.loads(run(model, data, tmp_path / "other", *options, "--no-data-check").stdout)
    assert (unchecked["data_known"], unchecked["warnings"]) == (None, [])
    alone = run(tiny_gguf, data, tmp_path / "alone", "--prompt", "docstring")
    assert "It is not known whether the model's training data held these problems." in alone.output
