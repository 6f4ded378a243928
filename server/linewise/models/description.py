"""What a model file says of itself, read from its header alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from linewise.engines.gguf_file import Scalar, read_gguf, require_language_model


@dataclass(frozen=True, slots=True)
class Description:
    """A GGUF file's header in words. `context_length` is in tokens, None where the file does not say."""

    title: str
    architecture: str
    parameters: int
    context_length: int | None
    size_bytes: int
    licence: str | None
    metadata: Mapping[str, Scalar]


def describe(path: Path) -> Description:
    """The description of the GGUF file at `path`. Raises ModelError unless it is a whole model."""
    summary = read_gguf(path)
    require_language_model(path, summary)
    values = summary.metadata
    architecture = str(values["general.architecture"])
    context = values.get(f"{architecture}.context_length")
    licence = values.get("general.license")
    return Description(
        title=str(values.get("general.name") or path.stem),
        architecture=architecture,
        parameters=sum(math.prod(tensor.dimensions) for tensor in summary.tensors),
        context_length=context if isinstance(context, int) else None,
        size_bytes=summary.size_bytes,
        licence=licence if isinstance(licence, str) and licence else None,
        metadata=values,
    )
