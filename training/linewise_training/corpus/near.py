"""Find texts that nearly repeat an earlier one, by MinHash and locality-sensitive hashing, in bounded memory.

The likeness of two texts is the Jaccard similarity of their sets of token 5-grams, estimated from 128 minima
(Broder, 1997). Texts that share all eight minima of one of 16 bands are compared; so a text that is 0.85
alike is found with a probability of 0.99, one of 0.8 with 0.95. The hash functions are fixed: the same texts
in the same order always give the same verdicts.
Memory: 3.5 kB a text, of the last 200,000 texts (0.7 GB); an older one is forgotten.
Not covered: texts of fewer than 30 tokens, where one word decides; renamed variables; one file in another.
"""

from __future__ import annotations

import re
import zlib
from collections import OrderedDict

import numpy as np
import numpy.typing as npt

THRESHOLD = 0.8
CAPACITY = 200_000
MIN_TOKENS = 30
BANDS, ROWS = 16, 8

_WORD = re.compile(r"\w+|[^\w\s]")
_HASHES = BANDS * ROWS
_CHUNK = 4096

_Hashes = npt.NDArray[np.uint64]


class NearDuplicates:
    """Signatures of the texts so far."""

    def __init__(self, threshold: float = THRESHOLD, capacity: int = CAPACITY) -> None:
        self._threshold = threshold
        self._capacity = capacity
        constants = np.random.default_rng(20_241_003).integers(1, 2**63, (2, _HASHES), dtype=np.uint64)
        self._factors, self._shifts = constants[0] | np.uint64(1), constants[1]
        self._texts: OrderedDict[int, npt.NDArray[np.uint32]] = OrderedDict()
        self._holders: dict[tuple[int, bytes], int] = {}
        self._count = 0

    def seen(self, text: str) -> bool:
        """Whether an earlier text is at least the threshold alike; if none is, `text` is remembered."""
        hashes = _gram_hashes(text)
        if hashes is None:
            return False
        signature = self._signature(hashes)
        keys = [(band, signature[band * ROWS : (band + 1) * ROWS].tobytes()) for band in range(BANDS)]
        for holder in dict.fromkeys(self._holders.get(key) for key in keys):
            if holder is not None and self._alike(signature, self._texts[holder]):
                return True
        self._remember(signature, keys)
        return False

    def _alike(self, one: npt.NDArray[np.uint32], other: npt.NDArray[np.uint32]) -> bool:
        return int(np.count_nonzero(one == other)) >= self._threshold * _HASHES

    def _remember(self, signature: npt.NDArray[np.uint32], keys: list[tuple[int, bytes]]) -> None:
        if len(self._texts) >= self._capacity:
            oldest, old = self._texts.popitem(last=False)
            for band in range(BANDS):
                key = (band, old[band * ROWS : (band + 1) * ROWS].tobytes())
                if self._holders.get(key) == oldest:
                    del self._holders[key]
        self._texts[self._count] = signature
        for key in keys:
            self._holders[key] = self._count
        self._count += 1

    def _signature(self, hashes: _Hashes) -> npt.NDArray[np.uint32]:
        """The minimum of each of 128 hash functions (multiply, add, take the high half) over all grams."""
        least = np.full(_HASHES, np.iinfo(np.uint32).max, dtype=np.uint32)
        for start in range(0, len(hashes), _CHUNK):
            some = hashes[start : start + _CHUNK, None] * self._factors + self._shifts
            np.minimum(least, (some >> np.uint64(32)).astype(np.uint32).min(axis=0), out=least)
        return least


def _gram_hashes(text: str) -> _Hashes | None:
    """64-bit hashes of the set of token 5-grams, or None for a text that is too short to judge."""
    words = _WORD.findall(text)
    if len(words) < MIN_TOKENS:
        return None
    tokens = np.fromiter((zlib.crc32(word.encode()) for word in words), dtype=np.uint64, count=len(words))
    grams = np.zeros(len(tokens) - 4, dtype=np.uint64)
    for place in range(5):
        # The golden ratio's bits as a factor, as in Fibonacci hashing; then xor and multiply until mixed.
        grams = grams * np.uint64(0x9E3779B97F4A7C15) + tokens[place : len(tokens) - 4 + place]
    grams ^= grams >> np.uint64(31)
    grams *= np.uint64(0xBF58476D1CE4E5B9)
    grams ^= grams >> np.uint64(27)
    return np.unique(grams)
