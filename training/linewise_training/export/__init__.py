"""Export: a trained Hugging Face folder becomes one quantized GGUF file that the engine serves."""

from __future__ import annotations

from linewise_training.export.gguf_model import QUANTIZATIONS, Exported, export
from linewise_training.export.licence import LICENCE_KEY

__all__ = ["LICENCE_KEY", "QUANTIZATIONS", "Exported", "export"]
