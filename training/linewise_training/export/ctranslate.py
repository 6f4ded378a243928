"""Converts a Hugging Face folder to a CTranslate2 folder, by CTranslate2's own converter, and checks it.

The target appears only when it is whole, and only when it computes what transformers does, as far as its
number of bits allows.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from linewise.engines.cores import physical_cores
from linewise.engines.transformers_engine import FORMAT_KEYS
from linewise.errors import ModelError
from linewise.installation import install_extra
from linewise_training.export.checkpoint import open_checkpoint
from linewise_training.export.ctranslate_folder import write_notes
from linewise_training.export.llama import plan_tensors, read_shape
from linewise_training.export.source import folder_sha256

TOLERANCES: Mapping[str, float] = {
    "float32": 0.005,
    "float16": 0.02,
    "bfloat16": 0.05,
    "int16": 0.2,
    "int8_float32": 0.2,
    "int8_float16": 0.2,
    "int8_bfloat16": 0.2,
    "int8": 0.2,
}
"""CTranslate2's types, and the mean error of the logits that each may make, in their standard deviations."""

_PROBE_TOKENS = 64
_COPIED = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "generation_config.json")


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written. `error` is the mean difference of logits to transformers', in standard deviations."""

    path: Path
    size_bytes: int
    error: float


def convert(folder: Path, out: Path, *, quantization: str, form: str | None = None) -> Converted:
    """Convert the model in `folder` to the CTranslate2 folder `out`, in a type of TOLERANCES.

    `form` is the Format that it was trained on (default: what its config.json says).

    Raises ModelError when `out` exists, when the checkpoint is damaged, or when CTranslate2 is not
    installed, cannot convert it, or computes something else.
    """
    if quantization not in TOLERANCES:
        raise ModelError(
            f"CTranslate2 has no quantization {quantization!r}: choose one of {', '.join(TOLERANCES)}."
        )
    if out.exists():
        raise ModelError(f"{out} exists already: choose another --out, or remove it first.")
    checkpoint = open_checkpoint(folder)
    parameters = 0
    for tensor in plan_tensors(checkpoint, read_shape(checkpoint.config)):
        # This says which tensor is missing or holds no numbers; CTranslate2 would not.
        parameters += tensor.load().size
    if not any((folder / name).exists() for name in _COPIED[:2]):
        raise ModelError(f"{folder} has no tokenizer.json and no tokenizer.model: name a whole model folder.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".convert-") as work:
        made = Path(work) / "model"
        disable_progress_bar()
        try:
            _converter(folder, checkpoint.config.get("eos_token_id")).convert(
                str(made), quantization=quantization
            )
            error = _logit_error(folder, made)
        except (ValueError, RuntimeError, NotImplementedError, OSError) as problem:
            raise ModelError(
                f"CTranslate2 cannot convert {folder} ({problem}): export it to GGUF instead."
            ) from problem
        if not error <= TOLERANCES[quantization]:
            raise ModelError(
                f"CTranslate2 computes something else than {folder}: its logits are off by {error:.2f} "
                f"standard deviations, where {quantization} may cost {TOLERANCES[quantization]}: "
                "export it to GGUF instead."
            )
        for name in _COPIED:
            if (folder / name).exists():
                shutil.copyfile(folder / name, made / name)
        about = {
            "architecture": checkpoint.config.get("model_type"),
            "context_length": checkpoint.config.get("max_position_embeddings"),
            "parameters": parameters,
            "format": form or next(filter(None, map(checkpoint.config.get, FORMAT_KEYS)), None),
        }
        write_notes(made, quantization, folder_sha256(folder), about)
        made.replace(out)
    return Converted(out, sum(path.stat().st_size for path in out.iterdir()), error)


def _converter(folder: Path, end: object) -> Any:
    """CTranslate2's converter for `folder`; `end` is the eos_token_id of its config.json."""
    try:
        from ctranslate2.converters import TransformersConverter  # noqa: PLC0415
    except ImportError as error:
        raise ModelError(
            f"CTranslate2 is not installed ({error}); install it with: {install_extra('ctranslate2')}"
        ) from error

    class Converter(TransformersConverter):  # type: ignore[misc]  # has no types
        """Names begin and end tokens where the tokenizer names none: CTranslate2 loads no model without."""

        def load_tokenizer(self, tokenizer_class: Any, name: str, **options: Any) -> Any:
            tokenizer = super().load_tokenizer(tokenizer_class, name, **options)
            if tokenizer.eos_token is None:
                first = end[0] if isinstance(end, list) else end
                tokenizer.eos_token = tokenizer.convert_ids_to_tokens(first)
            if tokenizer.bos_token is None:
                tokenizer.bos_token = tokenizer.eos_token
            return tokenizer

    return Converter(str(folder))


def _logit_error(folder: Path, converted: Path) -> float:
    """Mean absolute difference of the next-token logits on random tokens, in standard deviations."""
    import ctranslate2  # noqa: PLC0415

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, _PROBE_TOKENS)
    with torch.no_grad():
        expected: NDArray[np.float32] = model(torch.from_numpy(ids)[None]).logits[0].numpy()
    ctranslate2.set_log_level(logging.ERROR)  # not that a processor computes 16 bits in 32: it must
    generator = ctranslate2.Generator(str(converted), device="cpu", intra_threads=physical_cores())
    view = ctranslate2.StorageView.from_array(ids.astype(np.int32)[None])
    lengths = ctranslate2.StorageView.from_array(np.array([len(ids)], dtype=np.int32))
    found = np.array(generator.forward_batch(view, lengths))[0][:, : expected.shape[1]]
    return float(np.abs(found - expected).mean() / expected.std())
