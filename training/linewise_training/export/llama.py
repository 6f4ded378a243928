"""The Llama architecture: what its config.json means, and how its tensors are called and laid out in GGUF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linewise.errors import ModelError
from linewise_training.export.checkpoint import Checkpoint

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """Sizes and constants of one Llama model. All sizes count elements."""

    vocabulary: int
    hidden: int
    feed_forward: int
    layers: int
    heads: int
    key_value_heads: int
    head: int
    context: int
    epsilon: float
    rope_base: float
    tied: bool
    attention_bias: bool
    feed_forward_bias: bool


def read_shape(config: Mapping[str, Any]) -> LlamaShape:
    """The shape that `config` (a config.json) describes.

    Raises ModelError for another architecture, or a feature that cannot be exported, or a missing value.
    """
    kind = config.get("model_type")
    if kind != "llama":
        raise ModelError(
            f"The architecture {kind!r} cannot be exported: only 'llama' can (config.json, model_type)."
        )
    if config.get("hidden_act", "silu") != "silu":
        raise ModelError(
            f"The activation {config['hidden_act']!r} cannot be exported: llama.cpp's Llama has 'silu'."
        )
    # transformers 5 writes `rope_parameters`; before, it was `rope_theta`, with `rope_scaling` beside it.
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    rope_kind = rope.get("rope_type", rope.get("type", "default"))
    if rope_kind != "default":
        raise ModelError(
            f"The position scaling {rope_kind!r} cannot be exported: only unscaled positions can."
        )
    try:
        heads = int(config["num_attention_heads"])
        hidden = int(config["hidden_size"])
        return LlamaShape(
            vocabulary=int(config["vocab_size"]),
            hidden=hidden,
            feed_forward=int(config["intermediate_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            key_value_heads=int(config.get("num_key_value_heads") or heads),
            head=int(config.get("head_dim") or hidden // heads),
            context=int(config["max_position_embeddings"]),
            epsilon=float(config["rms_norm_eps"]),
            rope_base=float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0),
            tied=bool(config.get("tie_word_embeddings", False)),
            attention_bias=bool(config.get("attention_bias", False)),
            feed_forward_bias=bool(config.get("mlp_bias", False)),
        )
    except KeyError as error:
        raise ModelError(f"config.json has no {error}: it is not whole; save the model again.") from None


def tensors(checkpoint: Checkpoint, shape: LlamaShape) -> Iterator[tuple[str, Array]]:
    """GGUF name and values of every tensor, in the order in which llama.cpp uses them."""
    hidden, vocabulary = shape.hidden, shape.vocabulary
    yield "token_embd.weight", checkpoint.tensor("model.embed_tokens.weight", (vocabulary, hidden))
    for layer in range(shape.layers):
        yield from _layer(checkpoint, shape, f"model.layers.{layer}.", f"blk.{layer}.")
    yield "output_norm.weight", checkpoint.tensor("model.norm.weight", (hidden,))
    if not shape.tied:
        yield "output.weight", checkpoint.tensor("lm_head.weight", (vocabulary, hidden))


def _layer(
    checkpoint: Checkpoint, shape: LlamaShape, source: str, target: str
) -> Iterator[tuple[str, Array]]:
    hidden, wide = shape.hidden, shape.feed_forward
    queries, keys = shape.heads * shape.head, shape.key_value_heads * shape.head
    yield target + "attn_norm.weight", checkpoint.tensor(source + "input_layernorm.weight", (hidden,))
    for name, gguf_name, rows, columns, heads in (
        ("self_attn.q_proj", "attn_q", queries, hidden, shape.heads),
        ("self_attn.k_proj", "attn_k", keys, hidden, shape.key_value_heads),
        ("self_attn.v_proj", "attn_v", keys, hidden, 0),
        ("self_attn.o_proj", "attn_output", hidden, queries, 0),
    ):
        weight = checkpoint.tensor(f"{source}{name}.weight", (rows, columns))
        yield f"{target}{gguf_name}.weight", _interleave(weight, heads) if heads else weight
        if shape.attention_bias:
            bias = checkpoint.tensor(f"{source}{name}.bias", (rows,))
            yield f"{target}{gguf_name}.bias", _interleave(bias, heads) if heads else bias
    yield target + "ffn_norm.weight", checkpoint.tensor(source + "post_attention_layernorm.weight", (hidden,))
    for name, gguf_name, rows, columns in (
        ("mlp.gate_proj", "ffn_gate", wide, hidden),
        ("mlp.up_proj", "ffn_up", wide, hidden),
        ("mlp.down_proj", "ffn_down", hidden, wide),
    ):
        yield f"{target}{gguf_name}.weight", checkpoint.tensor(f"{source}{name}.weight", (rows, columns))
        if shape.feed_forward_bias:
            yield f"{target}{gguf_name}.bias", checkpoint.tensor(f"{source}{name}.bias", (rows,))


def _interleave(rows: Array, heads: int) -> Array:
    """Reorder each head's rows for llama.cpp's rotary embedding.

    Hugging Face rotates element i of a head with element i + half; llama.cpp's Llama rotates neighbours, as
    the original Llama code did (RoFormer, section 3.4.2). So the two halves are dealt out in turn.
    """
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)
