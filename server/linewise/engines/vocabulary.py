"""A model's vocabulary as bytes: which token is which text, and which tokens can spell a given text."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Every token's bytes, and the roles that some have.

    `pieces` are by id. `control` tokens structure a prompt and are never part of a document's text; their
    piece is their literal name. `special` finds, by name, the tokens that a prompt may ask for: all control
    tokens, and names that a tokenizer keeps whole without calling them control. `ends` end a generation.
    `unused` ids only fill the weight matrix up and must never be generated.
    """

    pieces: tuple[bytes, ...]
    control: frozenset[int]
    special: Mapping[str, int]
    ends: frozenset[int]
    unused: frozenset[int]


class SpellingIndex:
    """Answers, in microseconds, which tokens may come next when a given text must be spelled.

    Tokens are kept sorted by their bytes. Those that the text begins with are found by one look-up for each
    prefix of it; those that begin with the text stand next to each other.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        excluded = vocabulary.control | vocabulary.unused
        usable = [
            (piece, id_) for id_, piece in enumerate(vocabulary.pieces) if piece and id_ not in excluded
        ]
        usable.sort()
        self._pieces: Sequence[bytes] = [piece for piece, _ in usable]
        self._ids: NDArray[np.intp] = np.array([id_ for _, id_ in usable], dtype=np.intp)
        self._longest = max(map(len, self._pieces), default=0)

    def allowed(self, rest: bytes) -> NDArray[np.intp]:
        """Ids of the tokens whose bytes are a prefix of `rest` (not empty), or begin with all of `rest`."""
        spans = []
        for length in range(1, min(len(rest) - 1, self._longest) + 1):
            prefix = rest[:length]
            first = bisect_left(self._pieces, prefix)
            spans.append(self._ids[first : bisect_right(self._pieces, prefix, lo=first)])
        first = bisect_left(self._pieces, rest)
        after = _after_all_with_prefix(rest)
        last = len(self._pieces) if after is None else bisect_left(self._pieces, after, lo=first)
        spans.append(self._ids[first:last])
        return np.sort(np.concatenate(spans))


def _after_all_with_prefix(prefix: bytes) -> bytes | None:
    """The least byte string greater than all that begin with `prefix`; None if nothing is greater."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None
