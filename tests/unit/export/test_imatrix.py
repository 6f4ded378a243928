"""Rounding that spares what matters: the importance matrix, from activations to a quantized file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from linewise.engines import llama_library
from linewise.engines.cache_slot import CacheSlot
from linewise.engines.cores import Threads
from linewise.errors import ModelError
from linewise_training.export import export
from linewise_training.export.gguf_model import NEED_IMPORTANCE, QUANTIZATIONS
from linewise_training.export.imatrix import importance_matrix

TEXT = "def area(radius):\n    return math.pi * radius ** 2\n\n\nclass Shape:\n    pass\n"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "calibration.py"
    path.write_text(TEXT * 20)
    return path


def ids_of(path: Path) -> tuple[int, ...]:
    model = llama_library.load_model(path, tokenizer_only=True)
    ids = llama_library.tokenize(model, TEXT)
    llama_library.api.llama_model_free(model)
    return ids


def logits(path: Path, ids: tuple[int, ...], size: int) -> np.ndarray:
    model = llama_library.load_model(path)
    slot = CacheSlot(model, size, tokens=256, threads=Threads(1, 1))
    found = np.array([slot.read([id_]) for id_ in ids])
    slot.close()
    llama_library.api.llama_model_free(model)
    return found


def test_it_is_the_mean_square_of_each_input_channel(
    tiny_checkpoint: Path, tiny_gguf: Path, text: Path
) -> None:
    names = {
        "model.layers.0.self_attn.q_proj.weight": "blk.0.attn_q.weight",
        "model.layers.1.mlp.down_proj.weight": "blk.1.ffn_down.weight",
    }
    found = importance_matrix(tiny_checkpoint, text, names)
    assert {name: values.shape for name, values in found.items()} == {
        "blk.0.attn_q.weight": (256,),
        "blk.1.ffn_down.weight": (512,),
    }
    # The first layer's queries see the normalized embeddings, which do not depend on what stands before.
    model = LlamaForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32).eval()
    with torch.no_grad():
        inputs = model.model.layers[0].input_layernorm(
            model.model.embed_tokens(torch.tensor(ids_of(tiny_gguf) * 20))
        )
    np.testing.assert_allclose(found["blk.0.attn_q.weight"], inputs.square().mean(0).numpy(), rtol=1e-3)


def test_a_quantized_file_comes_closer_with_it(
    tiny_checkpoint: Path, tiny_gguf: Path, text: Path, tmp_path: Path
) -> None:
    ids, size = ids_of(tiny_gguf), json.loads((tiny_checkpoint / "config.json").read_text())["vocab_size"]
    exact = logits(tiny_gguf, ids, size)
    errors = []
    for calibration in (None, text):
        out = tmp_path / "q.gguf"
        export(tiny_checkpoint, out, quantization="iq4_xs", metadata={}, calibration=calibration)
        errors.append(float(np.square(logits(out, ids, size) - exact).mean()))
    assert errors[1] < errors[0]


def test_the_smallest_types_ask_for_it_and_work_with_it(
    tiny_checkpoint: Path, text: Path, tmp_path: Path
) -> None:
    assert set(QUANTIZATIONS) > NEED_IMPORTANCE
    for quantization in NEED_IMPORTANCE:
        with pytest.raises(ModelError, match="--imatrix"):
            export(tiny_checkpoint, tmp_path / "q.gguf", quantization=quantization, metadata={})
    written = export(
        tiny_checkpoint, tmp_path / "q.gguf", quantization="q2_k_s", metadata={}, calibration=text
    )
    assert written.size_bytes * 8 / written.parameters < 4


def test_a_text_that_says_nothing_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    short, binary = tmp_path / "short", tmp_path / "binary"
    short.write_text("x = 1\n")
    binary.write_bytes(b"\xff\xfe\x00")
    for path, message in (
        (short, "only .* tokens"),
        (binary, "UTF-8"),
        (tmp_path / "gone", "cannot be read"),
    ):
        with pytest.raises(ModelError, match=message):
            importance_matrix(tiny_checkpoint, path, {})
