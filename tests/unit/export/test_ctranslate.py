"""CTranslate2 folders: loaded, compared with transformers, or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

from linewise.errors import ModelError
from linewise_training.export.ctranslate import TOLERANCES, convert

ctranslate2 = pytest.importorskip("ctranslate2")


@pytest.mark.parametrize("quantization", ["float32", "float16", "int8", "int8_float32"])
def test_it_is_smaller_and_computes_the_same(
    tiny_checkpoint: Path, tmp_path: Path, quantization: str
) -> None:
    made = convert(tiny_checkpoint, tmp_path / "out", quantization=quantization)
    assert made.error < TOLERANCES[quantization]
    weights = (tmp_path / "out" / "model.bin").stat().st_size
    wide = (tiny_checkpoint / "model.safetensors").stat().st_size
    assert weights / wide == pytest.approx({"float32": 1, "float16": 0.5}.get(quantization, 0.25), rel=0.1)
    assert (tmp_path / "out" / "tokenizer.json").exists()


def test_greedy_text_in_float32_is_that_of_transformers(tiny_checkpoint: Path, tmp_path: Path) -> None:
    made = convert(tiny_checkpoint, tmp_path / "out", quantization="float32")
    vocabulary = json.loads((made.path / "vocabulary.json").read_text())
    prompt = [5, 17, 300, 42]
    generator = ctranslate2.Generator(str(made.path), device="cpu")
    (result,) = generator.generate_batch(
        [[vocabulary[id_] for id_ in prompt]], max_length=24, sampling_topk=1, include_prompt_in_result=False
    )
    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32).eval()
    expected = model.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False)[0, len(prompt) :]
    assert result.sequences_ids[0] == expected.tolist()


class TestRefusals:
    def refused(self, folder: Path, out: Path, message: str, quantization: str = "int8") -> None:
        with pytest.raises(ModelError, match=message):
            convert(folder, out, quantization=quantization)
        assert not out.exists() or out.is_file()
        assert not list(out.parent.glob(".convert-*"))

    def test_bad_input_is_named_and_nothing_is_left(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        folder, out = Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy")), tmp_path / "out"
        self.refused(folder, out, "no quantization 'int3'.*int8_float32", "int3")
        (folder / "tokenizer.json").rename(tmp_path / "tokenizer.json")
        self.refused(folder, out, r"no tokenizer\.json")
        (tmp_path / "tokenizer.json").rename(folder / "tokenizer.json")
        weights = load_file(folder / "model.safetensors")
        weights["model.norm.weight"][3] = np.nan
        save_file(weights, folder / "model.safetensors")
        self.refused(folder, out, "model.norm.weight holds values that are not numbers")
        (folder / "model.safetensors").write_bytes((tiny_checkpoint / "model.safetensors").read_bytes()[:-9])
        self.refused(folder, out, "half-written")
        out.touch()
        self.refused(tiny_checkpoint, out, "exists already")

    def test_a_result_that_computes_something_else_is_not_kept(
        self, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(TOLERANCES, "int8", 1e-6)
        self.refused(tiny_checkpoint, tmp_path / "out", "computes something else")
