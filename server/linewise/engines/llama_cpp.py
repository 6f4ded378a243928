"""The llama.cpp engine for one generation at a time: one model, one cache slot, no thread of its own.

It never looks at generated text except to hold it to `Request.healed`.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from linewise.engines.cache_slot import CacheSlot
from linewise.engines.generation import Ending, Lane
from linewise.engines.llama_batch import DEFAULT_LANES, LlamaBatch
from linewise.engines.llama_model import LlamaModel
from linewise.engines.protocol import CancelSignal, ModelInfo, Request, Segment, Token
from linewise.engines.vocabulary import Vocabulary
from linewise.errors import EngineError

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

        `context_length` and `threads` are as `LlamaModel` has them. Raises ModelError for a file that is not
        a usable model, EngineError for options that cannot be had.
        """
        self._model = LlamaModel(path, context_length=context_length, threads=threads)
        try:
            self._slot = CacheSlot(
                self._model.handle,
                len(self._model.vocabulary.pieces),
                tokens=self._model.info.context_length,
                threads=self._model.threads,
            )
        except BaseException:
            self._model.close()
            raise
        # Not at interpreter exit: another thread may be decoding then, and the memory is given back anyway.
        self._free = weakref.finalize(self, _free, self._slot, self._model)
        self._free.atexit = False
        self._turn = threading.Lock()
        self.last_call: CallStatistics | None = None

    @property
    def info(self) -> ModelInfo:
        """What the model says of itself. `context_length` is what this engine serves."""
        return self._model.info

    @property
    def vocabulary(self) -> Vocabulary:
        """Every token of the model."""
        return self._model.vocabulary

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        """Token ids of `segments`, each tokenized alone. Raises EngineError for an unknown special token."""
        return self._model.tokenize(segments)

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        """Generate. Prompt tokens shared with the call before are not read again.

        The request is checked at once; the turn is taken when the first token is asked for, and given back
        when the iterator ends or is closed. Generation also ends where the context is full. Raises
        EngineError when the prompt is empty or does not fit, when the vocabulary cannot spell the healed
        text, or when the back end fails.
        """
        self._model.require_open()
        plan = self._model.plan(request)
        lane = Lane(plan, request.sampling, self._model.choices, self.info.context_length)
        return self._generate(lane, plan.prompt, cancel)

    def batch(self, lanes: int = DEFAULT_LANES, context_length: int | None = None) -> LlamaBatch:
        """A context of its own for up to `lanes` generations at once, each of up to `context_length` tokens.

        The default length is the engine's. Close it before the engine. Raises EngineError where memory is
        short, or for a length or a number of lanes that cannot be had.
        """
        self._model.require_open()
        limit = context_length or self.info.context_length
        if not 1 <= limit <= self.info.context_length:
            raise EngineError(
                f"The context length {limit} cannot be had: the engine has {self.info.context_length}."
            )
        return LlamaBatch(
            self._model.handle,
            self._model.choices,
            self._model.plan,
            lanes=lanes,
            limit=limit,
            threads=self._model.threads,
        )

    def close(self) -> None:
        """Free the model's memory. A generation in progress, in any thread, ends with EngineError."""
        self._free()

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


def _free(slot: CacheSlot, model: LlamaModel) -> None:
    slot.close()
    model.close()
