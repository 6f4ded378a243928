"""`linewise models bench` as a user gives it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linewise_training.export import export

QUICK = ("--prompt", 32, "--generate", 8, "--rounds", 2, "--window", 64, "--tokens", 600)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "code.py"
    path.write_text(Path(__file__).read_text())
    return path


def test_the_command_measures_each_in_its_own_process(
    linewise_command, tiny_checkpoint: Path, tiny_gguf: Path, tmp_path: Path, text: Path
) -> None:
    small = tmp_path / "small.gguf"
    export(tiny_checkpoint, small, quantization="q8_0", metadata={})
    outcome = linewise_command("models", "bench", small, tiny_gguf, "--text", text, *QUICK, "--json")
    assert outcome.status == 0
    told = json.loads(outcome.out)
    assert told["base"] == "tiny"
    first, second = (row["measurement"] for row in told["models"])
    assert [row["type"] for row in told["models"]] == ["q8_0", "f32"]
    assert first["size_bytes"] == small.stat().st_size < second["size_bytes"]
    assert first["perplexity"] == pytest.approx(second["perplexity"], rel=0.2)
    # Less than a process that has imported torch, as this one has.
    assert small.stat().st_size < first["peak_bytes"] < 250 * 2**20
    table = linewise_command("models", "bench", small, tiny_gguf, *QUICK).out
    assert table.startswith("| model | type | size, MiB |") and "perplexity" not in table


def test_pass_at_1_comes_from_the_evaluation(linewise_command, tiny_gguf: Path, tmp_path: Path) -> None:
    problem = {
        "task_id": "HumanEval/0",
        "prompt": 'def double(x):\n    """Return twice x."""\n',
        "entry_point": "double",
        "canonical_solution": "    return 2 * x\n",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    }
    data = tmp_path / "problems.jsonl"
    data.write_text(json.dumps(problem) + "\n")
    out = tmp_path / "reports"
    outcome = linewise_command("models", "bench", tiny_gguf, "--data", data, "--out", out, *QUICK, "--json")
    assert outcome.status == 0
    assert json.loads(outcome.out)["models"][0]["pass_at_1"] == 0.0  # its weights are random
    report = json.loads((out / "tiny" / "report.json").read_text())
    assert report["problems"] == 1


def test_what_cannot_be_measured_is_one_line(
    linewise_command, tiny_gguf: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    half, latin = tmp_path / "half.gguf", tmp_path / "latin.txt"
    half.write_bytes(tiny_gguf.read_bytes()[:-4096])
    latin.write_bytes("größer".encode("latin-1"))
    for arguments, message in (
        ((half,), "cut short"),
        ((tmp_path / "gone.gguf",), "no model file"),
        ((tiny_checkpoint,), "no CTranslate2 model"),
        ((tiny_gguf, "--text", tmp_path / "gone.txt"), "no file"),
        ((tiny_gguf, "--data", tmp_path / "gone.txt"), "no file"),
        ((tiny_gguf, "--text", latin, *QUICK), "utf-8"),
        ((tiny_gguf, tiny_gguf, "--data", latin, "--out", tmp_path / "reports"), "have one name"),
    ):
        outcome = linewise_command("models", "bench", *arguments)
        assert outcome.status == 1 and message in outcome.err and outcome.out == "", arguments
        assert "Traceback" not in outcome.err
