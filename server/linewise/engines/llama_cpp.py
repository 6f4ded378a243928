"""The llama.cpp engine: one model, one cache slot, one generation at a time.

The engine knows token ids and the bytes they stand for. It does not know what a prompt means, and never
looks at generated text except to hold it to `Request.healed`.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from linewise.engines import llama_library
from linewise.engines.cache_slot import CacheSlot
from linewise.engines.cores import Threads, default_threads
from linewise.engines.generation import Choices, Ending, Lane, Plan
from linewise.engines.gguf_file import read_gguf, require_language_model
from linewise.engines.llama_batch import DEFAULT_LANES, LlamaBatch
from linewise.engines.llama_library import api
from linewise.engines.protocol import CancelSignal, FimTokens, ModelInfo, Request, Segment, Token
from linewise.engines.vocabulary import SpellingIndex, Vocabulary
from linewise.errors import EngineError

DEFAULT_CONTEXT_LENGTH = 8192
"""Tokens of context where the caller names none and the model knows more: its memory is taken at once."""

_CACHED_TOKENS = 1 << 18
_WAIT_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class CallStatistics:
    """What one generation cost. Times are in seconds from when the first token was asked for."""

    prompt_tokens: int
    reused_tokens: int
    generated_tokens: int
    first_token_seconds: float | None
    total_seconds: float
    ended: Ending


class LlamaCppEngine:
    """A GGUF model in this process; implements `linewise.engines.protocol.Engine`.

    `last_call` tells what the last finished generation cost (None before the first). The tokens that two
    calls of one seed draw are the same unless two tokens are so nearly equally likely that the order of
    llama.cpp's additions, which depends on how much of the prompt was reused, decides.
    """

    def __init__(self, path: Path, *, context_length: int | None = None, threads: int | None = None) -> None:
        """Load the model at `path`.

        `context_length` is in tokens (default: what the model was trained for, at most
        DEFAULT_CONTEXT_LENGTH); `threads` defaults to `default_threads()`. Raises ModelError for a file that
        is not a usable model, EngineError for options that cannot be had.
        """
        summary = read_gguf(path)
        require_language_model(path, summary)
        model = llama_library.load_model(path)
        try:
            limit = _context_limit(path, context_length, api.llama_model_n_ctx_train(model))
            self._vocabulary = llama_library.read_vocabulary(model)
            fim = llama_library.read_fim_tokens(model, self._vocabulary)
            size = len(self._vocabulary.pieces)
            self._threads = _threads(threads)
            self._slot = CacheSlot(model, size, tokens=limit, threads=self._threads)
        except BaseException:
            api.llama_model_free(model)
            raise
        # Not at interpreter exit: another thread may be decoding then, and the memory is given back anyway.
        self._free = weakref.finalize(self, _free, self._slot, model)
        self._free.atexit = False
        self._model = model
        self._turn = threading.Lock()
        self._tokenizing = threading.Lock()
        self._tokenized: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._tokenized_size = 0
        self.last_call: CallStatistics | None = None
        begin = llama_library.begin_token(model, self._vocabulary)
        self._info = _model_info(path, model, limit, summary.size_bytes, fim, begin)
        unused = np.array(sorted(self._vocabulary.unused), dtype=np.intp)
        self._choices = Choices(self._info.name, self._vocabulary, SpellingIndex(self._vocabulary), unused)

    @property
    def info(self) -> ModelInfo:
        """What the model says of itself. `context_length` is what this engine serves."""
        return self._info

    @property
    def vocabulary(self) -> Vocabulary:
        """Every token of the model."""
        return self._vocabulary

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        """Token ids of `segments`, each tokenized alone. Raises EngineError for an unknown special token."""
        ids: list[int] = []
        for segment in segments:
            if segment.special:
                ids.append(self._special(segment.text))
            else:
                ids.extend(self._plain(segment.text))
        return tuple(ids)

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        """Generate. Prompt tokens shared with the call before are not read again.

        The request is checked at once; the turn is taken when the first token is asked for, and given back
        when the iterator ends or is closed. Generation also ends where the context is full. Raises
        EngineError when the prompt is empty or does not fit, when the vocabulary cannot spell the healed
        text, or when the back end fails.
        """
        self._require_open()
        plan = self._plan(request)
        lane = Lane(plan, request.sampling, self._choices, self._info.context_length)
        return self._generate(lane, plan.prompt, cancel)

    def batch(self, lanes: int = DEFAULT_LANES, context_length: int | None = None) -> LlamaBatch:
        """A context of its own for up to `lanes` generations at once, each of up to `context_length` tokens.

        The default length is the engine's. Close it before the engine. Raises EngineError where memory is
        short, or for a length or a number of lanes that cannot be had.
        """
        self._require_open()
        limit = context_length or self._info.context_length
        if not 1 <= limit <= self._info.context_length:
            raise EngineError(
                f"The context length {limit} cannot be had: the engine has {self._info.context_length}."
            )
        return LlamaBatch(
            self._model, self._choices, self._plan, lanes=lanes, limit=limit, threads=self._threads
        )

    def close(self) -> None:
        """Free the model's memory. A generation in progress, in any thread, ends with EngineError."""
        with self._tokenizing:
            self._free()

    def _plan(self, request: Request) -> Plan:
        """`request` in token ids. Raises EngineError when it cannot be done."""
        prompt = self.tokenize(request.prompt)
        stops = frozenset(self._special(text) for text in request.stop)
        if not prompt:
            raise EngineError("The prompt is empty: a model needs at least one token to go on from.")
        limit = self._info.context_length
        if len(prompt) > limit:
            raise EngineError(
                f"The prompt has {len(prompt)} tokens and the context holds {limit}: "
                "send less of the document, or load the model with a longer context."
            )
        try:
            healed = request.healed.encode()
        except UnicodeEncodeError:
            raise EngineError(
                f"No token can spell the lone surrogate in {request.healed!r}: do not heal it."
            ) from None
        return Plan(prompt, healed, stops, request.sampling.max_tokens)

    def _generate(self, lane: Lane, prompt: tuple[int, ...], cancel: CancelSignal | None) -> Iterator[Token]:
        if not self._take_turn(cancel):
            return
        began = time.perf_counter()
        statistics = CallStatistics(len(prompt), 0, 0, None, 0.0, "failed")
        told = 0
        try:
            statistics = replace(statistics, reused_tokens=self._slot.reuse(prompt))
            unread: Sequence[int] = prompt[statistics.reused_tokens :]
            while lane.ended is None:
                logits = self._slot.read(unread, cancel)
                if logits is None or (cancel is not None and cancel.is_set()):
                    statistics = replace(statistics, ended="cancelled")
                    return
                unread = (lane.choose(logits),)
                if lane.count:
                    first = statistics.first_token_seconds or time.perf_counter() - began
                    statistics = replace(statistics, generated_tokens=lane.count, first_token_seconds=first)
                yield from lane.tokens[told:]
                told = len(lane.tokens)
            statistics = replace(statistics, ended=lane.ended)
            yield from lane.generation().tokens[told:]
        except GeneratorExit:
            statistics = replace(statistics, ended="cancelled")
            raise
        finally:
            self.last_call = replace(statistics, total_seconds=time.perf_counter() - began)
            self._turn.release()

    def _take_turn(self, cancel: CancelSignal | None) -> bool:
        """Wait until no other generation runs; false when cancelled meanwhile."""
        while not self._turn.acquire(timeout=_WAIT_SECONDS):
            if cancel is not None and cancel.is_set():
                return False
        return True

    def _require_open(self) -> None:
        if not self._free.alive:
            raise EngineError("The engine was closed: load the model again to go on.")

    def _special(self, text: str) -> int:
        found = self._vocabulary.special.get(text)
        if found is None:
            raise EngineError(
                f"{self._info.name} has no special token {text!r}: use the format it was trained on."
            )
        return found

    def _plain(self, text: str) -> tuple[int, ...]:
        """Tokens of one segment, from the cache where it was tokenized lately."""
        with self._tokenizing:
            known = self._tokenized.get(text)
            if known is not None:
                self._tokenized.move_to_end(text)
                return known
            self._require_open()
            ids = llama_library.tokenize(self._model, text)
            if len(ids) <= _CACHED_TOKENS:
                self._tokenized[text] = ids
                self._tokenized_size += len(ids)
            while self._tokenized_size > _CACHED_TOKENS:
                _, oldest = self._tokenized.popitem(last=False)
                self._tokenized_size -= len(oldest)
            return ids


def _free(slot: CacheSlot, model: int) -> None:
    slot.close()
    api.llama_model_free(model)


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
