"""The registry's list of models on disk: one JSON file, read strictly and replaced in one step."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from linewise.errors import ModelError

INDEX_NAME = "index.json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model that the user added.

    `path` is where the file lies; `linked` files are the user's own and never deleted. `sha256` (hex) and
    `size_bytes` are of the file when it was added, `modified_ns` its modification time then. `format` and
    `licence` are what its metadata says, None where it says nothing. `added` is UTC in ISO 8601.
    """

    name: str
    path: Path
    linked: bool
    sha256: str
    size_bytes: int
    modified_ns: int
    format: str | None
    licence: str | None
    added: str


@dataclass(frozen=True, slots=True)
class Index:
    """All models by name; `default` is the one to serve when nobody names one (None: the embedded model)."""

    default: str | None = None
    models: Mapping[str, ModelEntry] = field(default_factory=lambda: MappingProxyType({}))


def read_index(folder: Path) -> Index:
    """The index in `folder`; an empty one where there is none.

    Raises ModelError when it cannot be read, is damaged, or was written by a later version.
    """
    path = folder / INDEX_NAME
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Index()
    except OSError as error:
        raise ModelError(
            f"The list of models {path} cannot be read ({error.strerror}): check its permissions."
        ) from None
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    try:
        version = raw["version"]
        if version == VERSION:
            models = {entry["name"]: _entry(folder, entry) for entry in raw["models"]}
            index = Index(raw["default"], MappingProxyType(models))
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, f"missing or misplaced: {error}") from None
    if version != VERSION:
        raise ModelError(
            f"The list of models {path} has version {version!r}, and this Linewise reads version {VERSION}: "
            "install the Linewise that wrote it, or move the file away."
        )
    if index.default is not None and index.default not in models:
        raise _damaged(path, f"its default {index.default!r} is not in it")
    return index


def write_index(folder: Path, index: Index) -> None:
    """Replace the index in `folder`: a process that is killed leaves the old one. Raises OSError."""
    models = []
    for entry in index.models.values():
        path = str(entry.path) if entry.linked else entry.path.name
        models.append({**asdict(entry), "path": path})
    text = json.dumps({"version": VERSION, "default": index.default, "models": models}, indent=2) + "\n"
    handle, name = tempfile.mkstemp(dir=folder, prefix=".index-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(folder / INDEX_NAME)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _entry(folder: Path, raw: Mapping[str, Any]) -> ModelEntry:
    """`raw` with its types checked: a hand-edited file must not surprise us later."""
    kinds: Mapping[str, tuple[type, ...]] = {
        "linked": (bool,),
        "size_bytes": (int,),
        "modified_ns": (int,),
        "format": (str, type(None)),
        "licence": (str, type(None)),
    }
    values: dict[str, Any] = {}
    for each in fields(ModelEntry):
        value = raw[each.name]
        if not isinstance(value, kinds.get(each.name, (str,))):
            raise TypeError(f"{each.name} is {value!r}")
        values[each.name] = value
    values["path"] = folder / values["path"]  # an absolute path stays what it is
    return ModelEntry(**values)


def _damaged(path: Path, what: str) -> ModelError:
    return ModelError(
        f"The list of models {path} is damaged ({what}): move it away and add your models again; "
        f"those that were copied still lie in {path.parent}."
    )
