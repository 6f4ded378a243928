"""One llama.cpp context and the tokens whose keys and values it holds.

This is what makes a request cheap: of a prompt, only what differs from the tokens already held is read.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from linewise.engines import llama_library
from linewise.engines.cores import Threads
from linewise.engines.llama_library import api
from linewise.engines.protocol import CancelSignal
from linewise.errors import EngineError

CHUNK = 64
"""Tokens read at once. 30M parameters in 8 bits on one core: 914 tokens a second, against 979 with 512, but a
cancel is noticed within 70 ms, not half a second."""

Logits = NDArray[np.float32]


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many leading items `left` and `right` share."""
    low, high = 0, min(len(left), len(right))
    if left[:high] == right[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low


class CacheSlot:
    """The cache of one token sequence. Calls may come from any thread; each waits for the one before."""

    def __init__(self, model: int, vocabulary_size: int, *, tokens: int, threads: Threads) -> None:
        self._context = llama_library.open_context(
            model,
            tokens=tokens,
            chunk=CHUNK,
            threads=threads,
            flash_attention=not llama_library.is_small(model),
        )
        self._memory = api.llama_get_memory(self._context)
        self._vocabulary_size = vocabulary_size
        self._batch = api.llama_batch_init(CHUNK, 0, 1)
        self._held: list[int] = []
        self._lock = threading.Lock()
        self._closed = False
        for place in range(CHUNK):
            self._batch.n_seq_id[place] = 1
            self._batch.seq_id[place][0] = 0
        self._tokens = np.ctypeslib.as_array(self._batch.token, (CHUNK,))
        self._positions = np.ctypeslib.as_array(self._batch.pos, (CHUNK,))
        self._outputs = np.ctypeslib.as_array(self._batch.logits, (CHUNK,))

    def reuse(self, prompt: tuple[int, ...]) -> int:
        """Keep what the cache shares with `prompt`, forget the rest; return how many tokens were kept.

        At least the last token of `prompt` is left to be read, because reading it gives the logits.
        """
        with self._lock:
            self._require_open()
            kept = min(common_prefix(self._held, list(prompt)), len(prompt) - 1)
            # A model with a recurrent state, or a sliding window, cannot always go back part of the way.
            if not api.llama_memory_seq_rm(self._memory, 0, kept, -1):
                kept = 0
                api.llama_memory_clear(self._memory, False)
            del self._held[kept:]
            return kept

    def read(self, tokens: Sequence[int], cancel: CancelSignal | None = None) -> Logits | None:
        """Append `tokens` (not empty); return the logits after the last one, or None once cancelled.

        What was read before a cancel stays in the cache. Raises EngineError when llama.cpp fails.
        """
        for start in range(0, len(tokens), CHUNK):
            if cancel is not None and cancel.is_set():
                return None
            chunk = tokens[start : start + CHUNK]
            with self._lock:
                self._require_open()
                self._decode(chunk)
                if start + CHUNK >= len(tokens):
                    return self._logits()
        return None

    def close(self) -> None:
        """Free the context. Another thread's read in progress is waited for; its next one fails."""
        with self._lock:
            if not self._closed:
                self._closed = True
                api.llama_batch_free(self._batch)
                api.llama_free(self._context)

    def _require_open(self) -> None:
        if self._closed:
            raise EngineError("The engine was closed: load the model again to go on.")

    def _decode(self, chunk: Sequence[int]) -> None:
        count = len(chunk)
        self._tokens[:count] = chunk
        self._positions[:count] = np.arange(len(self._held), len(self._held) + count)
        self._outputs[:count] = 0
        self._outputs[count - 1] = 1
        self._batch.n_tokens = count
        try:
            llama_library.decode(self._context, self._batch)
        except EngineError:
            # Which of the chunk's tokens made it into the cache is unknown, so none is trusted.
            self._held.clear()
            api.llama_memory_clear(self._memory, False)
            raise
        self._held.extend(chunk)

    def _logits(self) -> Logits:
        """A copy of the last logits: llama.cpp's own array dies with the context or the next token."""
        pointer = api.llama_get_logits_ith(self._context, -1)
        if not pointer:
            raise EngineError("The model gives no next-token scores: it is not a model that generates text.")
        address = ctypes.addressof(pointer.contents)
        array = (ctypes.c_float * self._vocabulary_size).from_address(address)
        return np.array(array, dtype=np.float32)
