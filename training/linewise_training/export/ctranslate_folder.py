"""What stands in a CTranslate2 folder beside the model: how it was made. CTranslate2 itself does not say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from linewise.errors import ModelError
from linewise_training.export.checkpoint import read_json

NOTES = "linewise.json"


def write_notes(folder: Path, quantization: str, source_sha256: str, about: Mapping[str, Any]) -> None:
    """Note the type of the weights, the checksum of the checkpoint that they are from, and what it is."""
    notes = {"quantization": quantization, "source_sha256": source_sha256, **about}
    (folder / NOTES).write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")


def stored_type(folder: Path) -> str:
    """How the weights of the CTranslate2 model in `folder` are stored; "unknown" where nothing says.

    Raises ModelError where there is no such model, or not all that is needed to measure it.
    """
    for name in ("model.bin", "vocabulary.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ModelError(
                f"{folder} has no {name}, so it is no CTranslate2 model that can be measured: name a GGUF "
                "file, or a folder that `linewise models convert --to ctranslate2` made."
            )
    notes = read_json(folder / NOTES) if (folder / NOTES).exists() else {}
    return str(notes.get("quantization", "unknown"))
