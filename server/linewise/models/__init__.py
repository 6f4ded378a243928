"""Where the model to serve is: the one that the user names, else the one that comes with Linewise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from linewise.errors import ModelError

MODEL_VARIABLE = "LINEWISE_MODEL"
"""Environment variable that names a GGUF file to serve instead of the embedded model."""

__all__ = ["MODEL_VARIABLE", "default_model_path", "embedded_model_path"]


def default_model_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Path of the model to serve: what LINEWISE_MODEL names, else the embedded model.

    Raises ModelError, saying what to do, when there is none.
    """
    named = environment.get(MODEL_VARIABLE)
    if not named:
        return embedded_model_path()
    path = Path(named).expanduser()
    if not path.is_file():
        raise ModelError(f"{MODEL_VARIABLE} names {path}, which is not a file: correct it, or unset it.")
    return path


def embedded_model_path(folder: Path | None = None) -> Path:
    """The one .gguf file in `folder` (default: this package). Raises ModelError unless there is just one."""
    if folder is None:
        folder = Path(str(resources.files(__name__)))
    found = sorted(folder.glob("*.gguf"))
    if not found:
        raise ModelError(
            f"No model comes with this installation ({folder} has no .gguf file): "
            f"set {MODEL_VARIABLE} to a GGUF file, or install Linewise from a release."
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ModelError(
            f"{folder} holds several models ({names}): set {MODEL_VARIABLE} to the one to serve."
        )
    return found[0]
