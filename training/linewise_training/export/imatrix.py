"""The importance matrix: how much each input channel of each matrix carries on a text.

For a matrix W and its inputs x, rounding W by E costs |E x|² on average, in which channel i counts with the
mean of x_i²: that mean is what llama.cpp's quantizer takes (its `imatrix`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from linewise.errors import ModelError

WINDOW = 512
"""Tokens read at once: enough for attention to have something to attend to."""

MAX_TOKENS = 1 << 16
"""Tokens read of a calibration text; more changes the means little."""


def importance_matrix(folder: Path, text: Path, names: Mapping[str, str]) -> dict[str, NDArray[np.float32]]:
    """Mean squared input of every linear layer of the model in `folder` on the text file `text`.

    The result is by GGUF's name of the matrix: `names` has these by the checkpoint's. Raises ModelError when
    the text cannot be read or is too short to say anything.
    """
    try:
        content = text.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"The calibration text {text} cannot be read ({error}): name a UTF-8 text."
        ) from None
    disable_progress_bar()
    set_verbosity_error()  # it would warn of a text longer than the context, which is cut into windows below
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(content, return_tensors="pt", add_special_tokens=False).input_ids[0, :MAX_TOKENS]
    if len(ids) < WINDOW // 4:
        raise ModelError(
            f"The calibration text {text} has only {len(ids)} tokens: give at least {WINDOW // 4}."
        )
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    sums: dict[str, torch.Tensor] = {}
    hooks = [
        module.register_forward_pre_hook(_adder(sums, name))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and f"{name}.weight" in names
    ]
    window = min(WINDOW, int(model.config.max_position_embeddings))
    with torch.no_grad():
        for start in range(0, len(ids), window):
            model(ids[None, start : start + window], use_cache=False)
    for hook in hooks:
        hook.remove()
    return {
        names[f"{name}.weight"]: (total / len(ids)).numpy().astype(np.float32) for name, total in sums.items()
    }


def _adder(sums: dict[str, torch.Tensor], name: str) -> Callable[[object, tuple[torch.Tensor, ...]], None]:
    def add(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        squares = inputs[0].double().square().flatten(0, -2).sum(0)
        sums[name] = sums[name] + squares if name in sums else squares

    return add
