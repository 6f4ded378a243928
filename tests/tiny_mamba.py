"""A tiny random Mamba in a GGUF file: a model with a running state, which cannot go back part of the way."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

HIDDEN, INNER, STATE, RANK, KERNEL, LAYERS = 64, 128, 16, 4, 4, 2


def write_mamba(tokenizer_from: Path, path: Path, seed: int = 0) -> Path:
    """Write the model with the tokenizer of the GGUF file `tokenizer_from`. Returns `path`."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "mamba")
    tokens = 0
    for field in gguf.GGUFReader(tokenizer_from).fields.values():
        if not field.name.startswith("tokenizer.") and field.name != "linewise.format":
            continue
        value = field.contents()
        if field.name == "tokenizer.ggml.tokens":
            tokens = len(value)
        kind = field.types[0]
        writer.add_key_value(
            field.name, value, kind, sub_type=field.types[-1] if kind is gguf.GGUFValueType.ARRAY else None
        )
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_block_count(LAYERS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_ssm_conv_kernel(KERNEL)
    writer.add_ssm_inner_size(INNER)
    writer.add_ssm_state_size(STATE)
    writer.add_ssm_time_step_rank(RANK)

    def add(name: str, *shape: int) -> None:
        values = random.standard_normal(shape) * (1.5 / np.sqrt(shape[-1]))
        writer.add_tensor(name, values.astype(np.float32))

    writer.add_tensor("token_embd.weight", (3 * random.standard_normal((tokens, HIDDEN))).astype(np.float32))
    writer.add_tensor("output_norm.weight", np.ones(HIDDEN, np.float32))
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        writer.add_tensor(f"{block}attn_norm.weight", np.ones(HIDDEN, np.float32))
        add(f"{block}ssm_in.weight", 2 * INNER, HIDDEN)
        add(f"{block}ssm_conv1d.weight", INNER, KERNEL)
        writer.add_tensor(f"{block}ssm_conv1d.bias", np.zeros(INNER, np.float32))
        add(f"{block}ssm_x.weight", RANK + 2 * STATE, INNER)
        add(f"{block}ssm_dt.weight", INNER, RANK)
        writer.add_tensor(f"{block}ssm_dt.bias", np.zeros(INNER, np.float32))
        decay = -np.tile(np.arange(1, STATE + 1, dtype=np.float32), (INNER, 1))
        writer.add_tensor(f"{block}ssm_a", decay)
        writer.add_tensor(f"{block}ssm_d", np.ones(INNER, np.float32))
        add(f"{block}ssm_out.weight", HIDDEN, INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
