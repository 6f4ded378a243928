"""Where the model to serve is: the one that the user names, else the one in use, else the embedded one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import platformdirs

from linewise.errors import ModelError

MODEL_VARIABLE = "LINEWISE_MODEL"
"""Environment variable that names a GGUF file, or a registered model, to serve instead of the default."""

MODELS_VARIABLE = "LINEWISE_MODELS"
"""Environment variable that names the registry's folder, instead of one in the user's data folder."""

__all__ = [
    "MODELS_VARIABLE",
    "MODEL_VARIABLE",
    "default_model_path",
    "embedded_model_path",
    "named_model_path",
    "registered_model_path",
    "registry_folder",
]


def registry_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Folder of the registry: what LINEWISE_MODELS names, else `linewise/models` among the user's data."""
    named = environment.get(MODELS_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    return platformdirs.user_data_path("linewise", appauthor=False) / "models"


def default_model_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Path of the model to serve: what LINEWISE_MODEL names, else the one in use, else the embedded model.

    Raises ModelError, saying what to do, when there is none.
    """
    # Imported here: a file lock and checksums are not needed to find a file that is named.
    from linewise.models.registry import Registry, served_path  # noqa: PLC0415

    named = environment.get(MODEL_VARIABLE)
    if named:
        path = named_model_path(Path(named), environment)
        if not path.is_file():
            raise ModelError(
                f"{MODEL_VARIABLE} names {path}, which is not a file or a model of `linewise models list`: "
                "correct it, or unset it."
            )
        return path
    index = Registry(registry_folder(environment)).index()
    return served_path(index.models[index.default]) if index.default else embedded_model_path()


def named_model_path(named: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """`named` itself, unless it is no file but the name of a registered model: then that model's path.

    Raises ModelError when that model's file is damaged, or the registry is.
    """
    path = named.expanduser()
    if path.exists() or path.name != str(named):
        return path
    return registered_model_path(path.name, environment) or path


def registered_model_path(name: str, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Path of the registered model `name`, "embedded" among them; None where there is none.

    Raises ModelError when that model's file is damaged, or the registry is.
    """
    from linewise.models.registry import EMBEDDED, Registry, served_path  # noqa: PLC0415

    models = Registry(registry_folder(environment)).index().models
    if name in models:
        return served_path(models[name])
    return embedded_model_path() if name == EMBEDDED else None


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
