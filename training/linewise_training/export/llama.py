"""The Llama family: what its config.json means, and how its tensors are called and laid out in GGUF."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linewise.errors import ModelError
from linewise_training.export.checkpoint import Checkpoint
from linewise_training.export.rope import Rope, read_rope

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Family:
    """How one architecture differs from Llama.

    `gguf` is llama.cpp's name of it. `interleaved`: it rotates neighbouring elements of a head, where
    Hugging Face rotates halves. `biases`: which of attention's matrices have one, or None where
    config.json's `attention_bias` says so for all four. `head_norms`: queries and keys are normalized.
    `norms`: its normalizations have weights.
    """

    gguf: str
    interleaved: bool
    biases: tuple[str, ...] | None = None
    head_norms: bool = False
    norms: bool = True


FAMILIES: Mapping[str, Family] = {
    "llama": Family("llama", interleaved=True),
    "mistral": Family("llama", interleaved=True, biases=()),
    "qwen2": Family("qwen2", interleaved=False, biases=("q_proj", "k_proj", "v_proj")),
    "qwen3": Family("qwen3", interleaved=False, biases=(), head_norms=True),
    "olmo": Family("olmo", interleaved=True, biases=(), norms=False),
}
"""By config.json's `model_type`."""


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """Sizes and constants of one model of the family. All sizes count elements."""

    family: Family
    vocabulary: int
    hidden: int
    feed_forward: int
    layers: int
    heads: int
    key_value_heads: int
    head: int
    context: int
    epsilon: float
    rope: Rope
    tied: bool
    biases: tuple[str, ...]
    feed_forward_bias: bool
    clamp: float | None


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """A tensor to be written: GGUF's name and shape of it, and the checkpoint's name; `load` reads it.

    `load` raises ModelError for a tensor that is missing, misshapen, or not all numbers.
    """

    name: str
    source: str
    shape: tuple[int, ...]
    load: Callable[[], Array]


def read_shape(config: Mapping[str, Any]) -> LlamaShape:
    """The shape that `config` (a config.json) describes.

    Raises ModelError for another architecture, or a feature that cannot be exported, or a missing value.
    """
    kind = config.get("model_type")
    family = FAMILIES.get(str(kind))
    if family is None:
        raise ModelError(
            f"The architecture {kind!r} cannot be exported: "
            f"{', '.join(FAMILIES)} can (config.json, model_type)."
        )
    if config.get("quantization_config"):
        raise ModelError("The checkpoint is quantized (config.json, quantization_config): name the original.")
    if config.get("hidden_act", "silu") != "silu":
        raise ModelError(
            f"The activation {config['hidden_act']!r} cannot be exported: llama.cpp's Llama has 'silu'."
        )
    attention_bias = bool(config.get("attention_bias", False))
    if attention_bias and family.biases is not None:
        raise ModelError(
            f"attention_bias cannot be exported for the architecture {kind!r}: llama.cpp has none."
        )
    biases = family.biases
    if biases is None:
        biases = ("q_proj", "k_proj", "v_proj", "o_proj") if attention_bias else ()
    try:
        heads = int(config["num_attention_heads"])
        hidden = int(config["hidden_size"])
        head = int(config.get("head_dim") or hidden // heads)
        return LlamaShape(
            family=family,
            vocabulary=int(config["vocab_size"]),
            hidden=hidden,
            feed_forward=int(config["intermediate_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            key_value_heads=int(config.get("num_key_value_heads") or heads),
            head=head,
            context=_context(config),
            epsilon=float(config["rms_norm_eps"]) if family.norms else 1e-5,
            rope=read_rope(config, head),
            tied=bool(config.get("tie_word_embeddings", False)),
            biases=biases,
            feed_forward_bias=bool(config.get("mlp_bias", False)),
            clamp=float(config["clip_qkv"]) if config.get("clip_qkv") else None,
        )
    except KeyError as error:
        raise ModelError(f"config.json has no {error}: it is not whole; save the model again.") from None
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"config.json holds a value of the wrong kind ({error}): save the model again."
        ) from None


def _context(config: Mapping[str, Any]) -> int:
    """Tokens of context. A sliding window ends it: up to there, attention to everything is the same."""
    context = int(config["max_position_embeddings"])
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    return min(context, int(window)) if window else context


def plan_tensors(checkpoint: Checkpoint, shape: LlamaShape) -> Iterator[PlannedTensor]:
    """Every tensor, in the order in which llama.cpp uses them. Nothing is read yet."""
    hidden, vocabulary = shape.hidden, shape.vocabulary
    yield _plan(checkpoint, "token_embd.weight", "model.embed_tokens.weight", (vocabulary, hidden))
    if shape.rope.frequency_factors is not None:
        factors = shape.rope.frequency_factors
        yield PlannedTensor("rope_freqs.weight", "config.json", factors.shape, lambda: factors)
    for layer in range(shape.layers):
        yield from _layer(checkpoint, shape, f"model.layers.{layer}.", f"blk.{layer}.")
    if shape.family.norms:
        yield _plan(checkpoint, "output_norm.weight", "model.norm.weight", (hidden,))
    if not shape.tied:
        yield _plan(checkpoint, "output.weight", "lm_head.weight", (vocabulary, hidden))


def _plan(
    checkpoint: Checkpoint, name: str, source: str, shape: tuple[int, ...], interleaved_heads: int = 0
) -> PlannedTensor:
    def load() -> Array:
        values = checkpoint.tensor(source, shape)
        return _interleave(values, interleaved_heads) if interleaved_heads else values

    return PlannedTensor(name, source, shape, load)


def _layer(checkpoint: Checkpoint, shape: LlamaShape, source: str, target: str) -> Iterator[PlannedTensor]:
    hidden, wide, family = shape.hidden, shape.feed_forward, shape.family
    queries, keys = shape.heads * shape.head, shape.key_value_heads * shape.head
    if family.norms:
        yield _plan(checkpoint, target + "attn_norm.weight", source + "input_layernorm.weight", (hidden,))
    for name, gguf_name, rows, columns, heads in (
        ("q_proj", "attn_q", queries, hidden, shape.heads),
        ("k_proj", "attn_k", keys, hidden, shape.key_value_heads),
        ("v_proj", "attn_v", keys, hidden, 0),
        ("o_proj", "attn_output", hidden, queries, 0),
    ):
        rotated = heads if family.interleaved else 0
        stored = f"{source}self_attn.{name}"
        yield _plan(checkpoint, f"{target}{gguf_name}.weight", f"{stored}.weight", (rows, columns), rotated)
        if name in shape.biases:
            yield _plan(checkpoint, f"{target}{gguf_name}.bias", f"{stored}.bias", (rows,), rotated)
    if family.head_norms:
        for name in ("q_norm", "k_norm"):
            stored = f"{source}self_attn.{name}.weight"
            yield _plan(checkpoint, f"{target}attn_{name}.weight", stored, (shape.head,))
    if family.norms:
        stored = source + "post_attention_layernorm.weight"
        yield _plan(checkpoint, target + "ffn_norm.weight", stored, (hidden,))
    for name, gguf_name, rows, columns in (
        ("mlp.gate_proj", "ffn_gate", wide, hidden),
        ("mlp.up_proj", "ffn_up", wide, hidden),
        ("mlp.down_proj", "ffn_down", hidden, wide),
    ):
        yield _plan(checkpoint, f"{target}{gguf_name}.weight", f"{source}{name}.weight", (rows, columns))
        if shape.feed_forward_bias:
            yield _plan(checkpoint, f"{target}{gguf_name}.bias", f"{source}{name}.bias", (rows,))


def _interleave(rows: Array, heads: int) -> Array:
    """Reorder each head's rows for llama.cpp's rotary embedding.

    Hugging Face rotates element i of a head with element i + half; llama.cpp's Llama rotates neighbours, as
    the original Llama code did (RoFormer, section 3.4.2). So the two halves are dealt out in turn.
    """
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)
