"""Benchmark files become problems whose references pass and whose faults are named."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from linewise.errors import LinewiseError
from linewise_training.evaluation.assertions import split_check
from linewise_training.evaluation.problems import read_problems
from sample_problems import CHECK, DOUBLE, ODD, SUM, TWICE_JS, write_rows


def run(program: str, test: str) -> None:
    exec(compile(program + "\n" + test, "test", "exec"), {"__name__": "test"})


def test_humaneval_has_both_shapes(tmp_path: Path) -> None:
    problem, _ = read_problems("humaneval", write_rows(tmp_path / "f.jsonl", DOUBLE, ODD))
    assert problem.prompt == DOUBLE["prompt"]
    assert problem.preamble == "from typing import List\n\n\ndef helper(x):\n    return x\n\n\n"
    assert problem.instruction.startswith(
        "Write a Python function `double(values: List[int]) -> List[int]` to"
    )
    assert problem.instruction.endswith("Twice each of the values.\n>>> double([1])\n[2]")


@pytest.mark.parametrize(
    ("name", "row", "tests"),
    [("humaneval", DOUBLE, 3), ("humaneval", ODD, 1), ("mbpp", CHECK, 2), ("leetcode", SUM, 1)],
)
def test_references_pass_each_test_and_nothing_passes_none(tmp_path, name, row, tests):
    (problem,) = read_problems(name, write_rows(tmp_path / "f.jsonl", row))
    assert len(problem.tests) == tests
    for test in problem.tests:
        run(problem.reference, test)
        with pytest.raises(Exception, match=r".*"):
            run(problem.preamble, test)


def test_mbpp_takes_the_test_split_only(tmp_path: Path) -> None:
    rows = [{**CHECK, "task_id": f"MBPP/{number}"} for number in (1, 10, 11, 510, 511, 601)]
    problems = read_problems("mbpp", write_rows(tmp_path / "f.jsonl", *rows))
    assert [problem.task for problem in problems] == ["MBPP/11", "MBPP/510"]
    assert problems[0].instruction == "Write a function `check(n)` to check if the number is even."


def test_leetcode_shows_the_signature_in_both_shapes(tmp_path: Path) -> None:
    (problem,) = read_problems("leetcode", write_rows(tmp_path / "f.jsonl", SUM))
    assert (
        '    def add(self, a: int, b: int) -> int:\n        """\n        Return the sum of two integers.'
        in (problem.prompt)
    )
    run(problem.prompt + "        return a + b\n", problem.tests[0])
    assert "def add(self, a: int, b: int)" in problem.instruction


def test_other_languages_keep_their_test_whole(tmp_path: Path) -> None:
    (problem,) = read_problems("humaneval-x", write_rows(tmp_path / "f.jsonl", TWICE_JS))
    assert (problem.language, problem.tests) == ("javascript", (TWICE_JS["test"],))
    assert "JavaScript function `function twice(number)`" in problem.instruction


def test_gzip_and_limit(tmp_path: Path) -> None:
    plain = write_rows(tmp_path / "f.jsonl", DOUBLE, ODD).read_bytes()
    (tmp_path / "f.jsonl.gz").write_bytes(gzip.compress(plain))
    assert len(read_problems("humaneval", tmp_path / "f.jsonl.gz")) == 2
    assert len(read_problems("humaneval", tmp_path / "f.jsonl.gz", 1)) == 1
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(plain)[:-20])
    with pytest.raises(LinewiseError, match="damaged"):
        read_problems("humaneval", tmp_path / "cut.jsonl.gz")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"task_id": "Hum', "line 2: not JSON"),
        ("[1]", "line 2: not a JSON object"),
        ('{"task_id": "HumanEval/7"}', "line 2: no 'prompt'"),
        ('{"task_id": "MBPP/7"}', "line 2: .*'MBPP/7', which does not begin with HumanEval/"),
        ('{"task_id": 7, "prompt": "def f():\\n", "entry_point": "f", "test": ""}', "line 2"),
        (
            '{"task_id": "HumanEval/x", "prompt": "def g():\\n", "entry_point": "f", "test": ""}',
            "does not define f",
        ),
        (
            '{"task_id": "HumanEval/x", "prompt": "def f():\\n", "entry_point": "f", "test": "1"}',
            "no function check",
        ),
        ('{"task_id": "HumanEval/x", "prompt": "def f():\\n", "entry_point": "f", "test": "def"}', "line 2"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, told: str) -> None:
    path = write_rows(tmp_path / "f.jsonl", DOUBLE)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(LinewiseError, match=told):
        read_problems("humaneval", path)


def test_other_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(LinewiseError, match="stands there twice"):
        read_problems("humaneval", write_rows(tmp_path / "f.jsonl", DOUBLE, DOUBLE))
    with pytest.raises(LinewiseError, match="has no problem of mbpp"):
        read_problems("mbpp", write_rows(tmp_path / "f.jsonl"))
    with pytest.raises(LinewiseError, match="cannot be read"):
        read_problems("mbpp", tmp_path / "none.jsonl")


def test_a_check_that_does_more_than_assert_stays_whole() -> None:
    depends = "def check(candidate):\n    x = candidate()\n    assert x == 1\n    assert x + 1 == 2\n"
    assert len(split_check(depends, "f")) == 1
    run("def f():\n    return 1\n", split_check(depends, "f")[0])
    on_one_line = "def check(candidate):\n    assert candidate() == 1; assert candidate() == 2\n"
    assert len(split_check(on_one_line, "f")) == 1
    with pytest.raises(AssertionError):
        run("def f():\n    return 1\n", split_check(on_one_line, "f")[0])
