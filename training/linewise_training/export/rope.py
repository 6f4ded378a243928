"""Rotary position scaling: what config.json says about it, in the words that llama.cpp has for it.

Three kinds are known: `linear` (Chen et al., 2023), `llama3` (Llama 3.1's wavelength-dependent factors) and
`yarn` (Peng et al., 2023). Others depend on the length of the prompt, or have no counterpart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linewise.errors import ModelError


@dataclass(frozen=True, slots=True)
class Rope:
    """`base` is theta. `kind` is llama.cpp's `rope.scaling.type`, None without scaling.

    `frequency_factors` divide each pair's frequency (llama3). `original_context` is in tokens.
    """

    base: float
    kind: str | None = None
    factor: float = 1.0
    original_context: int | None = None
    frequency_factors: NDArray[np.float32] | None = None


def read_rope(config: Mapping[str, Any], head: int) -> Rope:
    """The rotary embedding that `config` describes, for heads of `head` elements.

    Raises ModelError for a scaling that cannot be exported.
    """
    # transformers 5 writes `rope_parameters`; before, it was `rope_theta`, with `rope_scaling` beside it.
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    base = float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind in (None, "default"):
        return Rope(base)
    try:
        if kind == "linear":
            return Rope(base, "linear", float(rope["factor"]))
        if kind == "llama3":
            return Rope(base, frequency_factors=_llama3_factors(rope, base, head))
        if kind == "yarn" and not {"mscale", "mscale_all_dim", "attention_factor"} & rope.keys():
            context = config["max_position_embeddings"]
            original = int(rope.get("original_max_position_embeddings") or context)
            return Rope(base, "yarn", float(rope["factor"]), original)
    except KeyError as error:
        raise ModelError(f"config.json's position scaling has no {error}: save the model again.") from None
    raise ModelError(
        f"The position scaling {kind!r} cannot be exported: linear, llama3 and plain yarn can, or none."
    )


def _llama3_factors(rope: Mapping[str, Any], base: float, head: int) -> NDArray[np.float32]:
    """What divides each frequency: 1 for short wavelengths, `factor` for long ones, between them a mixture.

    As in transformers' `_compute_llama3_parameters`, whose wavelengths are counted in tokens.
    """
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    factor, original = float(rope["factor"]), float(rope["original_max_position_embeddings"])
    wavelengths = 2 * math.pi * base ** (np.arange(0, head, 2, dtype=np.float64) / head)
    smooth = np.clip((original / wavelengths - low) / (high - low), 0.0, 1.0)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)
