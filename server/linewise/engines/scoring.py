"""How likely a model finds a given text: the log-probability of each of its tokens, given those before."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from linewise.engines import llama_library
from linewise.engines.cores import Threads
from linewise.engines.llama_library import api
from linewise.errors import EngineError

_CHUNK = 128
"""Tokens read at once: their logits take vocabulary times four bytes each."""


def log_softmax_at(logits: NDArray[np.float32], ids: NDArray[np.intp]) -> NDArray[np.float64]:
    """Natural logarithm of the probability of `ids[i]` under row i of `logits`."""
    wide = logits.astype(np.float64)
    highest = wide.max(axis=-1)
    total = np.log(np.exp(wide - highest[:, None]).sum(axis=-1)) + highest
    chosen: NDArray[np.float64] = wide[np.arange(len(ids)), ids]
    chosen -= total
    return chosen


class Scorer:
    """Scores windows of up to `tokens` tokens with a loaded model; close it before the model is freed."""

    def __init__(self, model: int, vocabulary_size: int, *, tokens: int, threads: Threads) -> None:
        """`model` is a handle of `llama_library.load_model`. Raises EngineError where memory is short."""
        self._size = vocabulary_size
        self._context = llama_library.open_context(model, tokens=tokens, chunk=_CHUNK, threads=threads)
        self._memory = api.llama_get_memory(self._context)
        self._batch = api.llama_batch_init(_CHUNK, 0, 1)

    def __enter__(self) -> Scorer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        api.llama_batch_free(self._batch)
        api.llama_free(self._context)

    def logprobs(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """Natural logarithm of the probability of each of `ids[1:]`, given all before it.

        Raises EngineError when llama.cpp fails.
        """
        api.llama_memory_clear(self._memory, False)
        found = []
        for start in range(0, len(ids) - 1, _CHUNK):
            chunk = ids[start : min(start + _CHUNK, len(ids) - 1)]
            for row, token in enumerate(chunk):
                self._batch.token[row] = token
                self._batch.pos[row] = start + row
                self._batch.n_seq_id[row] = 1
                self._batch.seq_id[row][0] = 0
                self._batch.logits[row] = True
            self._batch.n_tokens = len(chunk)
            llama_library.decode(self._context, self._batch)
            following = np.array(ids[start + 1 : start + 1 + len(chunk)], dtype=np.intp)
            found.append(log_softmax_at(self._logits(len(chunk)), following))
        return np.concatenate(found) if found else np.empty(0)

    def _logits(self, rows: int) -> NDArray[np.float32]:
        pointer = api.llama_get_logits(self._context)
        if not pointer:
            raise EngineError("The model gives no next-token scores: it is not a model that generates text.")
        address = ctypes.addressof(pointer.contents)
        return np.ctypeslib.as_array((ctypes.c_float * (rows * self._size)).from_address(address)).reshape(
            rows, self._size
        )
