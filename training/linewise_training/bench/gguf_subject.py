"""A GGUF file to be measured, read and generated from as the engine does it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linewise.engines import llama_library
from linewise.engines.cache_slot import CacheSlot
from linewise.engines.cores import default_threads
from linewise.engines.gguf_file import read_gguf, require_language_model
from linewise.engines.llama_library import api
from linewise.engines.scoring import Scorer
from linewise.errors import EngineError


class GgufSubject:
    """One model file in this process; see `linewise_training.bench.measurement.Subject`."""

    def __init__(self, path: Path, context: int) -> None:
        """Serve at most `context` tokens. Raises ModelError for a file that is no usable model."""
        require_language_model(path, read_gguf(path))
        self._model = llama_library.load_model(path)
        self._handle = api.llama_model_get_vocab(self._model)
        self._size = api.llama_vocab_n_tokens(self._handle)
        self._pieces = llama_library.read_vocabulary(self._model).pieces
        self.context = min(context, api.llama_model_n_ctx_train(self._model))
        self._slot = CacheSlot(self._model, self._size, tokens=self.context, threads=default_threads())
        self._scorer: Scorer | None = None

    @property
    def begin(self) -> list[int]:
        """The begin token, if texts begin with one."""
        return [api.llama_vocab_bos(self._handle)] if api.llama_vocab_get_add_bos(self._handle) else []

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`."""
        return list(llama_library.tokenize(self._model, text))

    def byte_counts(self, ids: Sequence[int]) -> int:
        """How many bytes of text the tokens stand for."""
        return sum(len(self._pieces[id_]) for id_ in ids)

    def read(self, prompt: Sequence[int]) -> None:
        """Read `prompt` from an empty cache."""
        self._logits_after(prompt)

    def generate(self, prompt: Sequence[int], count: int) -> float:
        """Seconds for `count` tokens after the first one."""
        chosen = int(self._logits_after(prompt).argmax())
        started = time.perf_counter()
        for _ in range(count):
            logits = self._slot.read((chosen,))
            if logits is None:
                raise EngineError("The model gave no next-token scores: load it again.")
            chosen = int(logits.argmax())
        return time.perf_counter() - started

    def logprobs(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """Natural log-probability of each of `ids[1:]`."""
        if self._scorer is None:
            threads = default_threads()
            self._scorer = Scorer(self._model, self._size, tokens=self.context, threads=threads)
        return self._scorer.logprobs(ids)

    def _logits_after(self, prompt: Sequence[int]) -> NDArray[np.float32]:
        self._slot.reuse((-1,))  # shares nothing with what is held, so all of it is forgotten
        logits = self._slot.read(prompt)
        if logits is None:
            raise EngineError("The model gave no next-token scores: load it again.")
        return logits
