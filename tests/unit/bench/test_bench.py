"""What bench computes: the right perplexity with every back end, and a fair table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from linewise.engines import llama_library
from linewise.engines.cores import Threads
from linewise.engines.scoring import Scorer
from linewise.errors import ModelError
from linewise_training.bench import Measurement, Plan, Row, compared, markdown
from linewise_training.bench.measurement import measure, median_of
from linewise_training.bench.worker import measured
from linewise_training.export.ctranslate import convert

PLAN = Plan(prompt=32, generated=8, repeats=1, window=64, tokens=600)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "code.py"
    path.write_text(Path(__file__).read_text() + "# größer als 日本語\n")
    return path


def reference_perplexity(checkpoint: Path, ids: Sequence[int]) -> float:
    """By transformers and torch's cross entropy, over the same windows."""
    model = LlamaForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    total, count = 0.0, 0
    for start in range(0, len(ids), PLAN.window):
        part = torch.tensor([ids[start : start + PLAN.window]])
        with torch.no_grad():
            logits = model(part).logits[0, :-1]
        total += float(torch.nn.functional.cross_entropy(logits.double(), part[0, 1:], reduction="sum"))
        count += part.shape[1] - 1
    return math.exp(total / count)


class Uniform:
    """A model that finds each of 50 tokens of two bytes equally likely."""

    context = 128

    def __init__(self, begin: list[int]) -> None:
        self.begin = begin
        self.windows: list[list[int]] = []

    def encode(self, text: str) -> list[int]:
        return [ord(character) % 50 for character in text]

    def byte_counts(self, ids: Sequence[int]) -> int:
        return 2 * len(ids)

    def read(self, prompt: Sequence[int]) -> None:
        assert len(prompt) + PLAN.generated < self.context

    def generate(self, prompt: Sequence[int], count: int) -> float:
        return count / 1000

    def logprobs(self, ids: Sequence[int]) -> np.ndarray:
        self.windows.append(list(ids))
        return np.full(len(ids) - 1, -math.log(50))


@pytest.mark.parametrize("begin", [[], [3]])
def test_perplexity_of_a_uniform_model_is_its_number_of_tokens(begin: list[int]) -> None:
    subject = Uniform(begin)
    found = measure(subject, 1, PLAN, "x" * 500, "abc" * 42)
    assert found.perplexity == pytest.approx(50)
    assert found.bits_per_byte == pytest.approx(math.log2(50) / 2)
    assert found.generation_speed == pytest.approx(1000)
    assert all(window[: len(begin)] == begin and len(window) <= PLAN.window for window in subject.windows)
    # The first token of each window is read and not scored, with a begin token before it or not.
    assert found.scored_tokens == 126 - len(subject.windows)
    assert measure(Uniform(begin), 1, PLAN, "x" * 500, None).perplexity is None
    with pytest.raises(ModelError, match="longer one"):
        measure(Uniform(begin), 1, PLAN, "x" * 500, "a")


def test_scores_are_those_of_transformers(tiny_checkpoint: Path, tiny_gguf: Path) -> None:
    vocabulary = json.loads((tiny_checkpoint / "config.json").read_text())["vocab_size"]
    ids = [int(id_) for id_ in np.random.default_rng(1).integers(4, vocabulary, 300)]
    model = LlamaForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0].log_softmax(-1).numpy()
    handle = llama_library.load_model(tiny_gguf)
    with Scorer(handle, vocabulary, tokens=512, threads=Threads(1, 1)) as scorer:
        found = scorer.logprobs(ids)
        again = scorer.logprobs(ids[:100])
        assert scorer.logprobs(ids[:1]).shape == (0,)
    llama_library.api.llama_model_free(handle)
    np.testing.assert_allclose(found, expected[np.arange(299), ids[1:]], atol=0.2)
    np.testing.assert_allclose(again, found[:99], atol=0.05)


def test_every_back_end_measures_the_same_perplexity(
    tiny_checkpoint: Path, tiny_gguf: Path, tmp_path: Path, text: Path
) -> None:
    folder = convert(tiny_checkpoint, tmp_path / "ct2", quantization="float32").path
    handle = llama_library.load_model(tiny_gguf)
    ids = llama_library.tokenize(handle, text.read_text())[: PLAN.tokens]
    llama_library.api.llama_model_free(handle)
    expected = reference_perplexity(tiny_checkpoint, ids)
    ggml, ctranslate = measured(tiny_gguf, PLAN, text), measured(folder, PLAN, text)
    assert ggml.perplexity == pytest.approx(expected, rel=0.01)
    assert ctranslate.perplexity == pytest.approx(expected, rel=0.001)
    assert ggml.scored_tokens == ctranslate.scored_tokens == len(ids) - math.ceil(len(ids) / PLAN.window)
    assert ctranslate.bits_per_byte == pytest.approx(ggml.bits_per_byte, rel=0.02)
    for one in (ggml, ctranslate):
        assert one.prompt_speed > 0 and one.generation_speed > 0


def measurement(size: int, perplexity: float | None = None) -> Measurement:
    return Measurement(size, 2 * size, 100.0, 10.0, 0, perplexity, perplexity)


def test_turns_are_put_together_by_their_medians() -> None:
    turns = [replace(measurement(1000 - i), prompt_speed=speed) for i, speed in enumerate((5.0, 99.0, 7.0))]
    first = replace(turns[0], perplexity=3.0)
    found = median_of([first, *turns[1:]])
    assert (found.prompt_speed, found.perplexity, found.size_bytes, found.peak_bytes) == (
        7.0,
        3.0,
        1000,
        2000,
    )


def test_the_table_compares_with_float32_wherever_it_stands() -> None:
    rows = [
        Row("small", "q8_0", measurement(2**20, 11.0), 0.25),
        Row("wide", "f32", measurement(4 * 2**20, 10.0), 0.5),
        Row("other", "int8", measurement(2 * 2**20, 10.0)),
    ]
    assert compared(rows).name == "wide"
    assert compared(rows[:1]).name == "small"
    lines = markdown(rows).splitlines()
    assert lines[0].endswith("| perplexity | pass@1 |")
    assert "| 1.0 (0.25x) | 2 (0.25x) |" in lines[2]
    assert lines[2].endswith("| 11.000 (+10.00%) | 25.0% (-25.0) |")
    assert lines[4].endswith("| not measured |")
    assert "pass@1" not in markdown([Row("x", "f32", measurement(1))])
