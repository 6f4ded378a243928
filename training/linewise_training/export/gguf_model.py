"""Writes a GGUF file, and quantizes it with llama.cpp's own quantizer.

A model is always written in float32 first, so that every type is quantized from the exact weights. The
target appears only when it is whole: a run that is killed leaves what was there before.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, Keys, LlamaFileType, RopeScalingType
from numpy.typing import NDArray

from linewise.engines.cores import physical_cores
from linewise.engines.gguf_file import read_gguf
from linewise.errors import ModelError
from linewise.formats.fim import MIDDLE, PREFIX, SUFFIX
from linewise_training.export.checkpoint import Checkpoint, open_checkpoint
from linewise_training.export.llama import LlamaShape, plan_tensors, read_shape
from linewise_training.export.tokenizer import TokenizerTables, read_tokenizer

QUANTIZATIONS: Mapping[str, LlamaFileType] = {
    kind.name.partition("_")[2].lower(): kind
    for kind in LlamaFileType
    if kind.name not in ("GUESSED", "MOSTLY_MXFP4_MOE", "MOSTLY_NVFP4")
}
"""The types that llama.cpp writes, by name; not those for mixtures of experts and for one maker's GPUs. Rows
that are no multiple of 256 fall back from a K type to a wider one."""

NEED_IMPORTANCE = frozenset(
    {"iq1_m", "iq1_s", "iq2_m", "iq2_s", "iq2_xs", "iq2_xxs", "iq3_xs", "iq3_xxs", "q2_k_s"}
)
"""Types with so few bits that llama.cpp asks for an importance matrix."""

_FIM_KEYS = {
    PREFIX: Keys.Tokenizer.FIM_PRE_ID,
    SUFFIX: Keys.Tokenizer.FIM_SUF_ID,
    MIDDLE: Keys.Tokenizer.FIM_MID_ID,
}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. `tensor_types` counts the tensors stored in each type."""

    path: Path
    size_bytes: int
    parameters: int
    tensor_types: Mapping[str, int]


def export(
    checkpoint_dir: Path,
    out: Path,
    *,
    quantization: str,
    metadata: Mapping[str, str],
    calibration: Path | None = None,
    check_tokens: bool = False,
) -> Exported:
    """Write the Hugging Face folder `checkpoint_dir` to the GGUF file `out`, in a type of QUANTIZATIONS.

    The folder needs config.json, model.safetensors (or its shards and their index) and tokenizer.json or
    tokenizer.model. The keys of `metadata` begin with "linewise." or "general.", such as "linewise.format".
    `calibration` is a text file: its importance matrix guides the rounding. With `check_tokens`, llama.cpp
    must split random texts as the folder's own tokenizer does. Raises ModelError for anything
    that would not become a model that llama.cpp runs exactly as it was trained.
    """
    if quantization not in QUANTIZATIONS:
        raise ModelError(
            f"There is no quantization {quantization!r}: choose one of {', '.join(QUANTIZATIONS)}."
        )
    if quantization in NEED_IMPORTANCE and calibration is None:
        raise ModelError(f"{quantization} has too few bits to round blindly: give a text with --imatrix.")
    for key in metadata:
        if not key.startswith(("linewise.", "general.")):
            raise ModelError(f"The metadata key {key!r} is not ours to write: begin it with 'linewise.'.")
    if out.is_dir():
        raise ModelError(f"{out} is a folder: name the GGUF file to write with --out.")
    checkpoint = open_checkpoint(checkpoint_dir)
    shape = read_shape(checkpoint.config)
    tokenizer = read_tokenizer(checkpoint_dir, shape.vocabulary)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as folder:
        exact, final = Path(folder) / "exact.gguf", Path(folder) / "final.gguf"
        parameters = _write(checkpoint, shape, tokenizer, {"general.name": out.stem, **metadata}, exact)
        if check_tokens:
            from linewise_training.export.token_check import require_same_tokens  # noqa: PLC0415

            require_same_tokens(checkpoint_dir, exact)
        if quantization == "f32":
            final = exact
        else:
            # Imported here so that writing float32 works where llama.cpp is not installed.
            from linewise.engines.llama_library import quantize  # noqa: PLC0415

            importance = _importance(checkpoint, shape, calibration)
            quantize(exact, final, int(QUANTIZATIONS[quantization]), physical_cores(), importance)
        types = Counter(GGMLQuantizationType(tensor.type).name for tensor in read_gguf(final).tensors)
        final.replace(out)
    return Exported(out, out.stat().st_size, parameters, dict(types))


def _importance(
    checkpoint: Checkpoint, shape: LlamaShape, calibration: Path | None
) -> Mapping[str, NDArray[np.float32]] | None:
    if calibration is None:
        return None
    # Imported here because it takes seconds, and torch.
    from linewise_training.export.imatrix import importance_matrix  # noqa: PLC0415

    names = {tensor.source: tensor.name for tensor in plan_tensors(checkpoint, shape)}
    return importance_matrix(checkpoint.folder, calibration, names)


def _write(
    checkpoint: Checkpoint,
    shape: LlamaShape,
    tokenizer: TokenizerTables,
    metadata: Mapping[str, str],
    path: Path,
) -> int:
    """Write `path` in float32; return the number of parameters."""
    writer = GGUFWriter(path, shape.family.gguf)
    try:
        writer.add_type("model")
        writer.add_file_type(LlamaFileType.ALL_F32)
        for key, value in metadata.items():
            writer.add_string(key, value)
        _add_shape(writer, shape)
        _add_tokenizer(writer, checkpoint, tokenizer)
        planned = list(plan_tensors(checkpoint, shape))
        counts = [math.prod(tensor.shape) for tensor in planned]
        for tensor, count in zip(planned, counts, strict=True):
            writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), 4 * count)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in planned:  # one at a time, so that memory holds one
            writer.write_tensor_data(tensor.load())
    finally:
        writer.close()
    return sum(counts)


def _add_shape(writer: GGUFWriter, shape: LlamaShape) -> None:
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_value_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(shape.rope.base)
    if shape.rope.kind is not None:
        writer.add_rope_scaling_type(RopeScalingType(shape.rope.kind))
        writer.add_rope_scaling_factor(shape.rope.factor)
    if shape.rope.original_context is not None:
        writer.add_rope_scaling_orig_ctx_len(shape.rope.original_context)
    if shape.family.norms:
        writer.add_layer_norm_rms_eps(shape.epsilon)
    else:
        writer.add_layer_norm_eps(shape.epsilon)
    if shape.clamp is not None:
        writer.add_clamp_kqv(shape.clamp)


def _add_tokenizer(writer: GGUFWriter, checkpoint: Checkpoint, tokenizer: TokenizerTables) -> None:
    writer.add_tokenizer_model(tokenizer.model)
    writer.add_tokenizer_pre(tokenizer.splitter)
    writer.add_token_list(list(tokenizer.texts))
    writer.add_token_types([int(role) for role in tokenizer.roles])
    if tokenizer.merges:
        writer.add_token_merges(list(tokenizer.merges))
    if tokenizer.scores:
        writer.add_token_scores(list(tokenizer.scores))
    for text, key in _FIM_KEYS.items():
        if text in tokenizer.texts:
            writer.add_uint32(key, tokenizer.texts.index(text))
    config = checkpoint.config
    writer.add_add_bos_token(tokenizer.begins and config.get("bos_token_id") is not None)
    writer.add_add_space_prefix(tokenizer.space_prefix)
    ends = config.get("eos_token_id")
    ends = ends if isinstance(ends, list) else [ends]
    if not ends or ends[0] is None:
        raise ModelError(
            f"{checkpoint.folder}/config.json names no eos_token_id, so generation would never end."
        )
    adders = (writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id)
    if len(ends) > len(adders):
        raise ModelError(
            f"{checkpoint.folder}/config.json names {len(ends)} tokens as eos_token_id, and a GGUF file has "
            f"room for {len(adders)}: name those that the model was trained to end with."
        )
    for add, end in zip(adders, ends, strict=False):
        add(_token_id(checkpoint, tokenizer, end))
    if config.get("pad_token_id") is not None:
        writer.add_pad_token_id(_token_id(checkpoint, tokenizer, config["pad_token_id"]))
    if config.get("bos_token_id") is not None:
        writer.add_bos_token_id(_token_id(checkpoint, tokenizer, config["bos_token_id"]))


def _token_id(checkpoint: Checkpoint, tokenizer: TokenizerTables, value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < len(tokenizer.texts):
        raise ModelError(
            f"{checkpoint.folder}/config.json names the token {value!r}, which its vocabulary lacks."
        )
    return value
