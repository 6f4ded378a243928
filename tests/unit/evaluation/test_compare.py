"""Two evaluations are compared only where they measured the same, and noise is not called progress."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from linewise.errors import LinewiseError
from linewise_training.evaluation.command import evaluate
from linewise_training.evaluation.compare import NO_DIFFERENCE, compare, paired
from linewise_training.evaluation.folder import read_evaluation

SETTINGS = {"benchmark": "humaneval", "data": "abc", "limit": None, "samples": 10, "seed": 0}


def write(folder: Path, scores: Sequence[float | None], shape: str = "docstring", **changes: Any) -> Path:
    folder.mkdir()
    report = {
        "benchmark": changes.pop("name", "humaneval"),
        "settings": {**SETTINGS, **changes.pop("settings", {})},
        "model": {"name": folder.name},
        "better": None,
        **changes,
    }
    (folder / "report.json").write_text(json.dumps(report))
    rows = [
        {"task": f"t/{at}", "shape": shape, "scores": {"pass@1": score}} for at, score in enumerate(scores)
    ]
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def compared(a: Path, b: Path) -> list[Any]:
    return compare(read_evaluation(a), read_evaluation(b))


def test_a_real_improvement_is_seen(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    a = list(rng.integers(0, 5, 100) / 10)
    b = [score + rng.integers(0, 4) / 10 for score in a]
    (one,) = compared(write(tmp_path / "a", a), write(tmp_path / "b", b))
    assert one.verdict == "B is higher"
    assert one.difference == pytest.approx(np.mean(b) - np.mean(a))
    assert 0 < one.low < one.difference < one.high
    assert one.p < 0.001
    (back,) = compared(tmp_path / "b", tmp_path / "a")
    assert back.verdict == "A is higher"
    assert back.difference == -one.difference


def test_noise_is_seldom_called_progress() -> None:
    rng = np.random.default_rng(2)
    verdicts = []
    for seed in range(200):
        pairs = [tuple(rng.binomial(10, rate, 2) / 10) for rate in rng.beta(0.5, 2, 80)]
        verdicts.append(paired("docstring", "pass@1", pairs, seed).verdict)
    assert 0.9 < verdicts.count(NO_DIFFERENCE) / len(verdicts) < 1.0


def test_the_test_is_wilcoxons() -> None:
    # Signed ranks of 1, -2, 3, 4, 5, -6, 7, 8, 9, 10: the negative ones sum to 8, for which the exact
    # two-sided p of ten differences is 0.048828125 (Wilcoxon 1945, table I).
    changes = [1, -2, 3, 4, 5, -6, 7, 8, 9, 10]
    one = paired("", "score", [(0.0, float(change)) for change in changes])
    assert one.p == pytest.approx(0.048828125)
    assert one.changed == 10


def test_equal_evaluations_show_no_difference(tmp_path: Path) -> None:
    scores = [0.0, 0.5, 1.0]
    (one,) = compared(write(tmp_path / "a", scores), write(tmp_path / "b", scores, settings={"seed": 9}))
    assert (one.p, one.low, one.high, one.changed, one.verdict) == (1.0, 0.0, 0.0, 0, NO_DIFFERENCE)


def test_items_without_a_score_are_left_out(tmp_path: Path) -> None:
    (one,) = compared(write(tmp_path / "a", [0.1, None, 0.3]), write(tmp_path / "b", [0.2, 0.5, 0.5]))
    assert one.items == 2
    assert one.difference == pytest.approx(0.15)


def test_the_better_shapes_are_paired_where_they_differ(tmp_path: Path) -> None:
    for name, better in (("a", "docstring"), ("b", "instruction")):
        write(tmp_path / name, [], better=better)
        rows = [
            {"task": f"t/{at}", "shape": shape, "scores": {"pass@1": float(shape == better)}}
            for at in range(8)
            for shape in ("docstring", "instruction")
        ]
        (tmp_path / name / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = {one.shape: one.difference for one in compared(tmp_path / "a", tmp_path / "b")}
    assert found == {"docstring": -1.0, "instruction": 1.0, "the better shape of each": 0.0}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "mbpp"}, "benchmark 'humaneval', not 'mbpp'"),
        ({"settings": {"limit": 20}}, "limit None, not 20"),
        ({"settings": {"samples": 5}}, "samples 10, not 5"),
        ({"shape": "instruction"}, "has no result for t/0"),
    ],
)
def test_what_did_not_measure_the_same_is_refused(tmp_path: Path, changes: Any, told: str) -> None:
    write(tmp_path / "a", [0.5, 0.5])
    write(tmp_path / "b", [0.5, 0.5], **changes)
    with pytest.raises(LinewiseError, match=told):
        compared(tmp_path / "a", tmp_path / "b")


def test_other_tasks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LinewiseError, match="b has no result for t/2 docstring; compare"):
        compared(write(tmp_path / "a", [0, 0, 0]), write(tmp_path / "b", [0, 0]))


def test_a_folder_that_is_no_finished_evaluation_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a", [0.5])
    (tmp_path / "empty").mkdir()
    with pytest.raises(LinewiseError, match="name the --out folder"):
        read_evaluation(tmp_path / "empty")
    (tmp_path / "empty/settings.json").write_text("{}")
    with pytest.raises(LinewiseError, match="not finished"):
        read_evaluation(tmp_path / "empty")
    (tmp_path / "a/results.jsonl").write_text('{"task": "t/0"}\n')
    with pytest.raises(LinewiseError, match="line 1: not a result"):
        read_evaluation(tmp_path / "a")


def test_the_command_says_it_in_words_and_in_json(tmp_path: Path) -> None:
    folders = [str(write(tmp_path / "a", [0.5, 0.0])), str(write(tmp_path / "b", [0.5, 0.5]))]
    result = CliRunner().invoke(evaluate, ["compare", *folders], catch_exceptions=False)
    assert "A: a on humaneval\nB: b on humaneval\n" in result.output
    assert "difference +0.2500" in result.output
    assert "1 of 2 items differ: no difference that the data show" in result.output
    (told,) = json.loads(CliRunner().invoke(evaluate, ["compare", "--json", *folders]).stdout)
    assert (told["verdict"], told["difference"]) == (NO_DIFFERENCE, 0.25)
