"""What each form of model is given, and the program that its text becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from linewise.engines.protocol import FimTokens, ModelInfo, Segment
from linewise.errors import ModelError
from linewise_training.evaluation.models import model_form
from linewise_training.evaluation.problems import Problem, read_problems
from linewise_training.evaluation.writing import ask
from sample_problems import DOUBLE, ODD, write_rows

FIM = FimTokens("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
BODY = "    return [2 * value for value in values]\n"


def info(form: str | None = None, **values: object) -> ModelInfo:
    fields = {
        "name": "m",
        "architecture": "llama",
        "context_length": 512,
        "vocabulary_size": 10,
        "parameters": 1,
        "size_bytes": 1,
        "format": form,
        "metadata": {},
        **values,
    }
    return ModelInfo(**fields)


@pytest.fixture
def double(tmp_path: Path) -> Problem:
    return read_problems("humaneval", write_rows(tmp_path / "f.jsonl", DOUBLE))[0]


def test_a_plain_model_continues_the_code_and_is_cut_at_its_end(double: Problem) -> None:
    asked = ask(double, "docstring", "plain", info(), [Segment("<s>", special=True)])
    assert asked.text == "<s>" + double.prompt
    assert not asked.finished(BODY)
    assert asked.finished(BODY + "\nprint(1)")
    assert asked.read(BODY + "\nprint(1)").program == double.prompt + BODY + "\n"


def test_a_plain_model_answers_an_instruction_with_a_block_of_code(double: Problem) -> None:
    asked = ask(double, "instruction", "plain", info())
    assert asked.text == f"{double.instruction}\n```python\n"
    written = asked.read("def double(values):\n" + BODY + "```\nDone.")
    assert written.program == double.preamble + "def double(values):\n" + BODY
    assert written.hunks is None


def test_an_edit_log_model_completes_at_the_end_of_the_document(double: Problem) -> None:
    asked = ask(double, "docstring", "edit-log/1", info("edit-log/1"))
    assert asked.text.startswith(f"<|file|>solution.py\n<|diff|>@1,0\n{double.prompt}<|diff|>@")
    assert asked.text.endswith('    [2]\n    """\n')
    assert "<|diff|>" in asked.prompt.stop
    written = asked.read(BODY)
    assert (written.program, written.hunks, written.malformed) == (double.prompt + BODY, 1, 0)


def test_an_edit_log_model_writes_hunk_after_hunk_by_instruction(double: Problem) -> None:
    asked = ask(double, "instruction", "edit-log/1", info("edit-log/1"))
    assert asked.text.endswith("[2]\n<|diff|>")
    written = asked.read(
        "@1,0\ndef double(values):\n    return []\n<|diff|>nonsense\n<|diff|>@1,2\ndef double(values):\n"
        + BODY
    )
    assert written.program == f"{double.preamble}def double(values):\n{BODY}"
    assert (written.hunks, written.malformed) == (2, 1)


@pytest.mark.parametrize("shape", ["docstring", "instruction"])
def test_a_lintseq_model_writes_diffs_from_nothing(double: Problem, shape: str) -> None:
    asked = ask(double, shape, "lintseq", info("lintseq"))
    words = double.prompt if shape == "docstring" else double.instruction
    assert asked.text == f"{words}\n<|diff|>"
    # The paper's resolver takes a hunk whose counts are wrong.
    written = asked.read(
        f"@@ -0,0 +1,9 @@\n+def double(values):\n+{BODY}\n<|diff|>@@ -1,0 +2 @@\n+    # twice each"
    )
    assert written.program == f"{double.preamble}def double(values):\n    # twice each\n{BODY}"
    assert written.hunks == 2


def test_a_model_that_fills_in_the_middle_gets_the_code_as_prefix(double: Problem) -> None:
    asked = ask(double, "docstring", "fim", info(fim=FIM))
    assert asked.text == f"<|fim_prefix|>{double.prompt}<|fim_suffix|><|fim_middle|>"
    assert asked.read(BODY + "print(1)").program == double.prompt + BODY
    assert ask(double, "instruction", "fim", info(fim=FIM)).text.endswith("```python\n")
    with pytest.raises(ModelError, match="no fill-in-the-middle tokens"):
        ask(double, "docstring", "fim", info())


def test_a_problem_without_preamble_or_imports(tmp_path: Path) -> None:
    (odd,) = read_problems("humaneval", write_rows(tmp_path / "f.jsonl", ODD))
    asked = ask(odd, "docstring", "edit-log/1", info("edit-log/1"))
    assert asked.read("    return number % 2\n").program == odd.prompt + "    return number % 2\n"


class Tokens:
    """An engine that knows some special tokens."""

    def __init__(self, model: ModelInfo, *special: str) -> None:
        self.info, self.special = model, special

    def tokenize(self, segments: list[Segment]) -> tuple[int, ...]:
        if any(segment.text not in self.special for segment in segments):
            raise ModelError("no such token")
        return (0,)


def test_the_model_tells_its_form_or_is_told() -> None:
    assert model_form(Tokens(info("lintseq"), "<|diff|>")) == "lintseq"
    assert model_form(Tokens(info("lintseq")), "plain") == "plain"
    assert model_form(Tokens(info(fim=FIM))) == "fim"
    assert model_form(Tokens(info())) == "plain"
    with pytest.raises(ModelError, match="no fill-in-the-middle tokens; choose another --format"):
        model_form(Tokens(info()), "fim")
    with pytest.raises(ModelError, match=r"no token <\|diff\|>; choose another --format than lintseq"):
        model_form(Tokens(info("lintseq")))
    with pytest.raises(ModelError, match=r"'x/3'.*--format"):
        model_form(Tokens(info("x/3")))
    with pytest.raises(ModelError, match=r"<\|diff\|>.*--format"):
        model_form(Tokens(info(), "<|diff|>"))
