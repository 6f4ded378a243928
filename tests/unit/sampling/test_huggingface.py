"""A model folder samples as transformers computes, whatever the batch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from linewise.engines import Request, Sampling, Segment
from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.engines.transformers_engine import TransformersEngine
from linewise.errors import EngineError, ModelError
from linewise_training.evaluation.models import loaded
from linewise_training.sampling import generate

DIFF = Segment("<|diff|>", special=True)
PROMPTS = ((DIFF, Segment("@1,0\nimport math\n")), (Segment("for index, größer in 日本語:\n"),))


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Iterator[TransformersEngine]:
    engine = TransformersEngine(tiny_checkpoint)
    yield engine
    engine.close()


def requests(temperature: float = 1.0, **options: object) -> list[Request]:
    return [
        Request(prompt, Sampling(temperature, seed=seed, max_tokens=5 + 3 * (seed % 3)), **options)
        for prompt in PROMPTS
        for seed in range(6)
    ]


def test_it_reads_and_writes_as_the_exported_file_does(engine: TransformersEngine, tiny_gguf: Path) -> None:
    exported = LlamaCppEngine(tiny_gguf, threads=1)
    assert [engine.tokenize(prompt) for prompt in PROMPTS] == [
        exported.tokenize(prompt) for prompt in PROMPTS
    ]
    forged = (Segment("x = '<|diff|>'"),)
    assert engine.tokenize(forged) == exported.tokenize(forged)
    for request in requests(temperature=0.0):
        mine = [(token.id, token.text) for token in engine.stream(request)]
        assert mine == [(token.id, token.text) for token in exported.stream(request)]
    assert engine.info.parameters == exported.info.parameters
    assert engine.info.context_length == exported.info.context_length == 512
    exported.close()


def test_the_number_of_lanes_changes_no_bit(engine: TransformersEngine) -> None:
    drawn = list(generate(engine, requests(), lanes=16))
    assert len({one.text for one in drawn}) > 6
    for lanes in (1, 4, 20):
        assert list(generate(engine, requests(), lanes=lanes)) == drawn


def test_healed_text_stops_and_ends_hold(engine: TransformersEngine) -> None:
    healed = list(generate(engine, requests(healed="retu")))
    assert all(one.text.startswith("retu") for one in healed)
    short = list(generate(engine, requests(), lambda number, text: len(text) > number))
    assert {one.ended for one in short} >= {"stop text"}
    first = next(iter(engine.stream(requests(0.0)[0])))
    stopped = Request(PROMPTS[0], Sampling(max_tokens=9), stop=("<|diff|>", "<|file|>", "<|endoftext|>"))
    assert next(iter(generate(engine, [stopped]))).tokens[0].id == first.id


def test_what_cannot_be_asked_is_named(engine: TransformersEngine) -> None:
    with pytest.raises(EngineError, match="no special token '<|none|>'".replace("|", r"\|")):
        engine.tokenize([Segment("<|none|>", special=True)])
    with pytest.raises(EngineError, match="The prompt is empty"):
        list(generate(engine, [Request(())]))
    with pytest.raises(EngineError, match="the context holds 4"):
        list(generate(engine, [Request(PROMPTS[0])], context_length=4))
    with pytest.raises(EngineError, match="context length 513"):
        engine.batch(1, 513)
    with pytest.raises(EngineError, match="at least 1"):
        engine.batch(0)


def test_a_folder_says_its_format_or_is_asked_for_it(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--format"), loaded(tiny_checkpoint):
        pass
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "named")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "linewise_format": "edit-log/1"}))
    with loaded(folder) as model:
        assert (model.form, model.engine.info.name) == ("edit-log/1", "named")
    with loaded(folder, "plain") as model:
        assert model.form == "plain"


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_half_a_folder_is_named(tiny_checkpoint: Path, tmp_path: Path, missing: str) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "half")
    (folder / missing).unlink()
    with pytest.raises(ModelError, match="half"):
        TransformersEngine(folder)
