"""A GGUF model in memory: what it says of itself, its vocabulary, and requests put into its token ids.

Engines share this and differ in how they generate. It knows token ids and the bytes they stand for, not
what a prompt means.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from linewise.engines import llama_library
from linewise.engines.cores import Threads, default_threads
from linewise.engines.generation import Choices, Plan, plan_of
from linewise.engines.gguf_file import read_gguf, require_language_model
from linewise.engines.llama_library import api
from linewise.engines.protocol import FimTokens, ModelInfo, Request, Segment
from linewise.engines.vocabulary import SpellingIndex
from linewise.errors import EngineError

DEFAULT_CONTEXT_LENGTH = 8192
"""Tokens of context where the caller names none and the model knows more: its memory is taken at once."""

_CACHED_TOKENS = 1 << 18


class LlamaModel:
    """A loaded model. `handle` is llama.cpp's; `tokenize` and `plan` may be called from any thread.

    Whoever makes contexts of it frees them before `close`.
    """

    def __init__(self, path: Path, *, context_length: int | None = None, threads: int | None = None) -> None:
        """Load the model at `path`.

        `context_length` is in tokens (default: what the model was trained for, at most
        DEFAULT_CONTEXT_LENGTH); `threads` defaults to `default_threads()`. Raises ModelError for a file that
        is not a usable model, EngineError for options that cannot be had.
        """
        summary = read_gguf(path)
        require_language_model(path, summary)
        self.handle = llama_library.load_model(path)
        self._tokenizing = threading.Lock()
        self._tokenized: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._tokenized_size = 0
        self._closed = False
        try:
            limit = _context_limit(path, context_length, api.llama_model_n_ctx_train(self.handle))
            self.threads = _threads(threads)
            self.vocabulary = llama_library.read_vocabulary(self.handle)
            fim = llama_library.read_fim_tokens(self.handle, self.vocabulary)
            begin = llama_library.begin_token(self.handle, self.vocabulary)
            self.info = _model_info(path, self.handle, limit, summary.size_bytes, fim, begin)
            unused = np.array(sorted(self.vocabulary.unused), dtype=np.intp)
            self.choices = Choices(self.info.name, self.vocabulary, SpellingIndex(self.vocabulary), unused)
        except BaseException:
            self.close()
            raise

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        """Token ids of `segments`, each tokenized alone. Raises EngineError for an unknown special token."""
        ids: list[int] = []
        for segment in segments:
            if segment.special:
                ids.append(self._special(segment.text))
            else:
                ids.extend(self._plain(segment.text))
        return tuple(ids)

    def plan(self, request: Request) -> Plan:
        """`request` in token ids. Raises EngineError when it cannot be done."""
        size = len(self.vocabulary.pieces)
        return plan_of(request, self.tokenize, self._special, self.info.context_length, size)

    def require_open(self) -> None:
        """Raise EngineError where the model was closed."""
        if self._closed:
            raise EngineError("The engine was closed: load the model again to go on.")

    def close(self) -> None:
        """Free the model's memory; a text that another thread is tokenizing is waited for."""
        with self._tokenizing:
            if not self._closed:
                self._closed = True
                api.llama_model_free(self.handle)

    def _special(self, text: str) -> int:
        found = self.vocabulary.special.get(text)
        if found is None:
            raise EngineError(
                f"{self.info.name} has no special token {text!r}: use the format it was trained on."
            )
        return found

    def _plain(self, text: str) -> tuple[int, ...]:
        """Tokens of one segment, from the cache where it was tokenized lately."""
        with self._tokenizing:
            known = self._tokenized.get(text)
            if known is not None:
                self._tokenized.move_to_end(text)
                return known
            self.require_open()
            ids = llama_library.tokenize(self.handle, text)
            if len(ids) <= _CACHED_TOKENS:
                self._tokenized[text] = ids
                self._tokenized_size += len(ids)
            while self._tokenized_size > _CACHED_TOKENS:
                _, oldest = self._tokenized.popitem(last=False)
                self._tokenized_size -= len(oldest)
            return ids


def _threads(wanted: int | None) -> Threads:
    if wanted is None:
        return default_threads()
    if wanted < 1:
        raise EngineError(f"The number of threads is {wanted}: it must be at least 1.")
    return Threads(reading=wanted, generating=wanted)


def _context_limit(path: Path, wanted: int | None, trained: int) -> int:
    if wanted is None:
        return min(trained, DEFAULT_CONTEXT_LENGTH)
    if not 1 <= wanted <= trained:
        raise EngineError(
            f"The context length {wanted} cannot be had: {path.name} was trained for 1 to {trained} tokens."
        )
    return wanted


def _model_info(
    path: Path, model: int, limit: int, size: int, fim: FimTokens | None, begin: str
) -> ModelInfo:
    values = llama_library.metadata(model)
    return ModelInfo(
        name=values.get("general.name") or path.stem,
        architecture=values.get("general.architecture", "unknown"),
        context_length=limit,
        vocabulary_size=api.llama_vocab_n_tokens(api.llama_model_get_vocab(model)),
        parameters=api.llama_model_n_params(model),
        size_bytes=size,
        format=values.get("linewise.format"),
        metadata=values,
        fim=fim,
        begin=begin,
    )
