"""Token files: examples packed into blocks of the context's length, on disk, read by memory map.

A token file is a folder with `ids.npy` (uint16, shape (blocks, context)), `learned.npy` and `first.npy`
(bool, same shape: which tokens are learned, which begin an example) and `meta.json`. Examples follow one
another within a block, each whole, so that a cursor always sees its document; positions begin anew with each,
by which attention is kept within it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linewise.errors import LinewiseError

ARRAYS = ("ids", "learned", "first")


@dataclass(frozen=True, slots=True)
class TokenFileMeta:
    """What a token file holds: numbers of blocks, tokens, learned tokens and examples; characters of text."""

    blocks: int
    context: int
    tokens: int
    learned: int
    examples: int
    characters: int


def read_jsonl(path: Path, *keys: str) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file, each of which has `keys`.

    Raises LinewiseError where the file cannot be opened, and naming the first line that holds no such object.
    """
    try:
        lines = path.open("rb")
    except OSError as error:
        raise LinewiseError(f"cannot read {path}: {error.strerror}") from error
    with lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line.decode("utf-8"))
            except ValueError as error:  # a UnicodeDecodeError is one, too
                raise LinewiseError(
                    f"{path}, line {number}: not JSON ({error}); name a JSONL file that is whole"
                ) from error
            if not isinstance(row, dict) or not row.keys() >= set(keys):
                raise LinewiseError(
                    f"{path}, line {number}: not an object with {', '.join(keys) or 'keys'}; "
                    "name the file that this is asked for, or make it again"
                )
            yield row


class TokenFile:
    """A token file as a sequence of training items, for `torch.utils.data.DataLoader`.

    Raises LinewiseError where the folder does not hold a whole token file.
    """

    def __init__(self, directory: Path) -> None:
        try:
            self.meta = TokenFileMeta(**json.loads((directory / "meta.json").read_text(encoding="utf-8")))
            self._ids, self._learned, self._first = (
                np.load(directory / f"{name}.npy", mmap_mode="r") for name in ARRAYS
            )
        except (OSError, ValueError, TypeError) as error:
            raise LinewiseError(
                f"{directory} is no complete token file ({error}); remove the folder, and it is made again"
            ) from error

    def __len__(self) -> int:
        return int(self.meta.blocks)

    def __getitem__(self, index: int) -> dict[str, NDArray[np.int64]]:
        """`input_ids`, `labels` and `position_ids` of one block, each of shape (context,).

        A label of -100 is not learned. Positions count from 0 in each example.
        """
        ids = self._ids[index].astype(np.int64)
        first = self._first[index]
        at = np.arange(len(ids))
        return {
            "input_ids": ids,
            # The first token of an example would be learned from the end of the one before.
            "labels": np.where(self._learned[index] & ~first, ids, -100),
            "position_ids": at - np.maximum.accumulate(np.where(first, at, 0)),
        }
