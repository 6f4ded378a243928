"""Reads a Hugging Face model folder: its configuration, and its weights one tensor at a time.

Only numpy is needed: a safetensors file is a length, a JSON table and the numbers, and bfloat16, which
numpy lacks, is the upper half of a float32. https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linewise.errors import ModelError

_STORED_AS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True, slots=True)
class _Place:
    file: Path
    kind: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model folder: `config` is config.json; `names` are the names of the stored tensors."""

    folder: Path
    config: Mapping[str, Any]
    _places: Mapping[str, _Place]

    @property
    def names(self) -> frozenset[str]:
        """Names of all stored tensors."""
        return frozenset(self._places)

    def tensor(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The tensor `name` as float32.

        Raises ModelError when it is missing, has another shape than `shape`, or holds values that are not
        finite numbers.
        """
        place = self._places.get(name)
        if place is None:
            raise ModelError(f"{self.folder} has no tensor {name}: its weights do not fit its config.json.")
        if place.shape != shape:
            raise ModelError(
                f"{self.folder}: the tensor {name} has the shape {place.shape}, "
                f"where config.json asks for {shape}."
            )
        stored = np.memmap(
            place.file, dtype=_STORED_AS[place.kind], mode="r", offset=place.offset, shape=shape
        )
        if place.kind == "BF16":
            array = (stored.astype(np.uint32) << 16).view(np.float32)
        else:
            array = np.array(stored, dtype=np.float32)
        if not np.isfinite(array).all():
            raise ModelError(
                f"{self.folder}: the tensor {name} holds values that are not numbers: "
                "training diverged or the file is damaged; export an earlier checkpoint."
            )
        return array


def open_checkpoint(folder: Path) -> Checkpoint:
    """The model folder `folder`. Raises ModelError when a file is missing, cut short or of another kind."""
    config = read_json(folder / "config.json")
    places: dict[str, _Place] = {}
    for file in _weight_files(folder):
        places.update(_table(file))
    return Checkpoint(folder, MappingProxyType(config), MappingProxyType(places))


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises ModelError, naming the file, when there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{path.parent} has no {path.name}: name a Hugging Face model folder that is whole."
        ) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): check the path.") from None
    except ValueError as error:
        raise ModelError(
            f"{path} is not valid JSON ({error}): it was half-written; save the model again."
        ) from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} does not hold a JSON object: it is not a model's file.")
    return value


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files of `folder`: those that its index names, else the only one."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        if not (folder / "model.safetensors").exists() and any(folder.glob("pytorch_model*.bin")):
            raise ModelError(
                f"{folder} has its weights as a PyTorch pickle, which may run code when it is read: "
                "save the model as safetensors."
            )
        return [folder / "model.safetensors"]
    table = read_json(index).get("weight_map")
    if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table.values()):
        raise ModelError(f"{index} names no files of weights: save the model again.")
    return [folder / Path(name).name for name in sorted(set(table.values()))]


def _table(file: Path) -> dict[str, _Place]:
    """The tensors of one safetensors file, after checking that all lie within it."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > size:
                raise ModelError(_cut_short(file))
            header = json.loads(stream.read(length))
            begin = 8 + length
        places = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            if entry["dtype"] not in _STORED_AS:
                raise ModelError(
                    f"{file}: the tensor {name} is stored as {entry['dtype']}: save it as float32."
                )
            start, end = entry["data_offsets"]
            if begin + end > size:
                raise ModelError(_cut_short(file))
            places[name] = _Place(file, entry["dtype"], tuple(entry["shape"]), begin + start)
    except FileNotFoundError:
        raise ModelError(
            f"{file.parent} has no {file.name}: name a Hugging Face model folder that is whole."
        ) from None
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror}): check the path.") from None
    except (struct.error, ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(_cut_short(file)) from None
    return places


def _cut_short(file: Path) -> str:
    return f"{file} is not a whole safetensors file: it was half-written; save the model again."
