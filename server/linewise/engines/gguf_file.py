"""Checks that a file is a whole GGUF model before llama.cpp maps it, and says exactly what is wrong if not.

What this does not do: look at the weights themselves (llama.cpp checks them for values that are not
numbers), nor understand an architecture. It reads the header only, so it costs milliseconds.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

from linewise.errors import ModelError

VOCABULARY = "tokenizer.ggml.tokens"
"""Metadata key of the list of tokens."""

_MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_SCALARS_BY_TYPE = {kind: struct.Struct("<" + code) for kind, code in _SCALARS.items()}
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_MAX_DIMENSIONS = 4
_MAX_KEY_BYTES = 65535

# Elements and bytes of one block, by ggml's number of the type. A type that is not here is newer than this
# table: its extent is left to llama.cpp.
_BLOCKS = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    30: (1, 2),  # BF16
}

_FOREIGN = {
    b"PK\x03\x04": "a zip archive or a PyTorch checkpoint",
    b"lmgg": "an old GGML model",
    b"fmgg": "an old GGML model",
    b"tjgg": "an old GGML model",
    b"\x1f\x8b": "a gzip archive",
    b"version https://git-lfs": "a Git LFS pointer, not the model itself",
    b"<": "a web page",
}

Scalar = int | float | bool | str


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """One tensor's name, dimensions (fastest first), ggml type number and byte offset in the tensor area."""

    name: str
    dimensions: tuple[int, ...]
    type: int
    offset: int


@dataclass(frozen=True, slots=True)
class GgufSummary:
    """What the header says. `metadata` has the scalar values; arrays are counted in `array_lengths`."""

    metadata: Mapping[str, Scalar]
    array_lengths: Mapping[str, int]
    tensors: tuple[TensorPlace, ...]
    size_bytes: int


class _DamagedError(Exception):
    """The bytes contradict the format; the message becomes part of a ModelError."""


def read_gguf(path: Path) -> GgufSummary:
    """Header of the GGUF file at `path`, after checking that every tensor lies within the file.

    Raises ModelError when the file is missing, unreadable, of another kind, or cut short.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if size == 0:
                raise ModelError(f"{path} is empty: download or export the model again.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                return _Header(view, size).read()
    except FileNotFoundError:
        raise ModelError(
            f"There is no model file at {path}: check the path, or name a model of `linewise models list`."
        ) from None
    except IsADirectoryError:
        raise ModelError(f"{path} is a folder: name the .gguf file in it.") from None
    except OSError as error:
        raise ModelError(
            f"The model file {path} cannot be read ({error.strerror}): check its permissions."
        ) from None
    except (_DamagedError, struct.error) as error:
        what = str(error) if isinstance(error, _DamagedError) else "it ends inside its header"
        raise ModelError(f"{path} cannot be used: {what}. Download or export the model again.") from None


class _Header:
    """A cursor over the header; every read is checked against the file's size."""

    def __init__(self, view: mmap.mmap, size: int) -> None:
        self._view = view
        self._size = size
        self._at = 0

    def read(self) -> GgufSummary:
        self._check_kind()
        tensor_count, value_count = self._number(_U64), self._number(_U64)
        # The smallest value takes 13 bytes and the smallest tensor 25: a greater count is damage.
        if value_count * 13 + tensor_count * 25 > self._size:
            raise _DamagedError("its header promises more entries than the file can hold")
        metadata: dict[str, Scalar] = {}
        lengths: dict[str, int] = {}
        for _ in range(value_count):
            self._value(self._text(_MAX_KEY_BYTES), metadata, lengths)
        tensors = tuple(self._tensor() for _ in range(tensor_count))
        self._check_extents(tensors, metadata)
        return GgufSummary(MappingProxyType(metadata), MappingProxyType(lengths), tensors, self._size)

    def _check_kind(self) -> None:
        head = self._view[:32]
        if not head.startswith(_MAGIC):
            kind = next(
                (name for magic, name in _FOREIGN.items() if head.startswith(magic)), "another kind of file"
            )
            raise _DamagedError(f"it is not a GGUF file but {kind}")
        self._at = len(_MAGIC)
        version = self._number(_U32)
        if version not in (2, 3):
            raise _DamagedError(
                f"its GGUF version is {version}, and only versions 2 and 3 (little-endian) are known"
            )

    def _number(self, shape: struct.Struct) -> int:
        (value,) = shape.unpack_from(self._view, self._at)
        self._at += shape.size
        return int(value)

    def _skip(self, count: int) -> int:
        """Move over `count` bytes; return where they begin."""
        start = self._at
        if count > self._size - start:
            raise _DamagedError("it ends inside its header")
        self._at = start + count
        return start

    def _text(self, limit: int | None = None) -> str:
        length = self._number(_U64)
        if limit is not None and length > limit:
            raise _DamagedError("its header holds a name that is too long to be one")
        start = self._skip(length)
        return self._view[start : start + length].decode("utf-8", "replace")

    def _value(self, key: str, metadata: dict[str, Scalar], lengths: dict[str, int]) -> None:
        kind = self._number(_U32)
        if kind == _ARRAY:
            lengths[key] = self._array(key)
        elif kind == _STRING:
            metadata[key] = self._text()
        elif kind in _SCALARS_BY_TYPE:
            shape = _SCALARS_BY_TYPE[kind]
            start = self._skip(shape.size)
            (metadata[key],) = shape.unpack_from(self._view, start)
        else:
            raise _DamagedError(f"its value {key!r} has the unknown type {kind}")

    def _array(self, key: str) -> int:
        kind, count = self._number(_U32), self._number(_U64)
        if kind in _SCALARS_BY_TYPE:
            self._skip(count * _SCALARS_BY_TYPE[kind].size)
            return count
        if kind != _STRING or count * 8 > self._size:
            raise _DamagedError(f"its list {key!r} is damaged")
        # A vocabulary is some hundred thousand strings: this loop is most of the time that a check takes.
        view, at, size, unpack = self._view, self._at, self._size, _U64.unpack_from
        begins = []
        for _ in range(count):
            begins.append(at + 8)
            at += 8 + unpack(view, at)[0]
            if at > size:
                raise _DamagedError("it ends inside its header")
        self._at = at
        if key == VOCABULARY and len({view[b : e - 8] for b, e in pairwise([*begins, at + 8])}) < count:
            # llama.cpp ends the whole process over this.
            raise _DamagedError("its vocabulary holds the same token twice")
        return count

    def _tensor(self) -> TensorPlace:
        name = self._text(_MAX_KEY_BYTES)
        rank = self._number(_U32)
        if not 1 <= rank <= _MAX_DIMENSIONS:
            raise _DamagedError(f"its tensor {name!r} has {rank} dimensions")
        dimensions = tuple(self._number(_U64) for _ in range(rank))
        return TensorPlace(name, dimensions, self._number(_U32), self._number(_U64))

    def _check_extents(self, tensors: tuple[TensorPlace, ...], metadata: Mapping[str, Scalar]) -> None:
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise _DamagedError(f"its alignment {alignment!r} is not a power of two")
        begin = -(-self._at // alignment) * alignment
        for tensor in tensors:
            block, block_bytes = _BLOCKS.get(tensor.type, (0, 0))
            if not all(tensor.dimensions):
                raise _DamagedError(f"its tensor {tensor.name!r} is empty")
            if block == 0:
                continue
            if tensor.offset % alignment or tensor.dimensions[0] % block:
                raise _DamagedError(f"its tensor {tensor.name!r} is misplaced")
            end = begin + tensor.offset + math.prod(tensor.dimensions) // block * block_bytes
            if end > self._size:
                raise _DamagedError(
                    f"it is cut short: {self._size:,} bytes, where its weights need at least {end:,}"
                )


def require_language_model(path: Path, summary: GgufSummary) -> None:
    """Raise ModelError unless `summary` is of a model with a vocabulary and weights (not an adapter)."""
    architecture = summary.metadata.get("general.architecture")
    kind = summary.metadata.get("general.type", "model")
    if kind != "model" or not isinstance(architecture, str):
        raise ModelError(f"{path} holds {kind!r} and not a language model: name the model's own .gguf file.")
    if not summary.array_lengths.get(VOCABULARY):
        raise ModelError(f"{path} has no vocabulary: export it again together with its tokenizer.")
    if not summary.tensors:
        raise ModelError(f"{path} has a vocabulary but no weights: name the file that has both.")
