"""The engine of a server: many generations at once on one model, each document's cache kept warm.

`Scheduler` implements `linewise.engines.protocol.Engine`, from any number of threads. What it promises more
than an engine alone: a document finds its own tokens in the cache again, whatever else was asked meanwhile;
inline requests go before next edits, next edits before writes; a newer inline request of a slot ends the
older one; and when too many wait, BusyError comes at once.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from linewise.engines.generation import Lane
from linewise.engines.llama_library import api
from linewise.engines.llama_model import LlamaModel
from linewise.engines.protocol import CancelSignal, ModelInfo, Request, Segment, Token
from linewise.errors import EngineError
from linewise.serving.cache import CHUNK, StreamCache
from linewise.serving.decoding import Decoder
from linewise.serving.pace import Speculation
from linewise.serving.statistics import SchedulerStatistics
from linewise.serving.task import End, Hand, Task, TokenStream

DEFAULT_LANES = 8
DEFAULT_QUEUE = 256
"""Requests of one priority that may wait: as many documents as anybody has open."""

CACHE_BYTES = 128 << 20
"""Memory for the cache where the caller names no number of slots; of a large model, half the file's size."""

MOST_SLOTS = 32


class Scheduler:
    """A GGUF model in this process that runs `lanes` generations at once; thread-safe."""

    def __init__(
        self,
        path: Path,
        *,
        context_length: int | None = None,
        threads: int | None = None,
        lanes: int | None = None,
        slots: int | None = None,
        queue: int = DEFAULT_QUEUE,
        speculation: Speculation = "auto",
    ) -> None:
        """Load the model at `path`.

        `context_length` and `threads` are as `LlamaModel` has them. `slots` is how many documents keep their
        cache, which takes memory for the whole context each (default: what fits in CACHE_BYTES, between 2
        and MOST_SLOTS, and then there are no more lanes than that); `lanes` is at most `slots` (default:
        DEFAULT_LANES); `queue` is how many requests of one priority may wait; `speculation` is whether
        drafts are made of what comes next. Raises ModelError for a file that is not a usable model,
        EngineError for options that cannot be had.
        """
        self._model = LlamaModel(path, context_length=context_length, threads=threads)
        try:
            lanes, slots = _sizes(self._model, lanes, slots)
            if queue < 1:
                raise EngineError(f"A queue of {queue} requests cannot be had: it must hold at least 1.")
            self._info = replace(self._model.info, lanes=lanes)
            cache = StreamCache(
                self._model.handle,
                self._info.vocabulary_size,
                count=slots,
                limit=self._info.context_length,
                threads=self._model.threads,
            )
        except BaseException:
            self._model.close()
            raise
        self._decoder = Decoder(
            cache,
            lanes=lanes,
            queue=queue,
            chunk=_chunk(self._info.parameters),
            speculation=speculation,
        )
        # At interpreter exit too: a thread that decodes must not meet a library that is being unloaded.
        self._free = weakref.finalize(self, _free, self._decoder, cache, self._model)

    @property
    def info(self) -> ModelInfo:
        """What the model says of itself. `context_length` is what is served to each generation."""
        return self._info

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        """Token ids of `segments`, each tokenized alone. Raises EngineError for an unknown special token."""
        return self._model.tokenize(segments)

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> TokenStream:
        """Generate. What the request's slot, or another that begins alike, has in the cache is not read.

        The request is checked at once, and waits for its turn from when the first token is asked for. It ends
        when the iterator ends, is closed or let go of, and once `cancel` is set. Raises EngineError when the
        prompt is empty or does not fit, when the vocabulary cannot spell the healed text, or when the back
        end fails; BusyError, from the iterator, when too many wait.
        """
        outbox: SimpleQueue[list[Token] | End] = SimpleQueue()
        return TokenStream(self._task(request, outbox.put, cancel), outbox, self._decoder.submit)

    def submit(
        self,
        request: Request,
        hand: Hand,
        cancel: CancelSignal | None = None,
        *,
        gather_seconds: float = 0.0,
        by_line: bool = False,
    ) -> None:
        """Begin to generate as `stream` does, and give `hand` what comes: the first token at once, the others
        together that came in `gather_seconds`, with `by_line` up to a line's end at once; the end at last.

        Raises as `stream` and the first step of its iterator do.
        """
        task = self._task(request, hand, cancel)
        task.gather_seconds, task.by_line = gather_seconds, by_line
        self._decoder.submit(task)

    def _task(self, request: Request, hand: Hand, cancel: CancelSignal | None) -> Task:
        self._model.require_open()
        plan = self._model.plan(request)
        lane = Lane(plan, request.sampling, self._model.choices, self._info.context_length)
        if plan.healed:
            self._model.choices.allowed(plan.healed)  # what cannot be spelled is refused now
        return Task(request, lane, list(plan.prompt), cancel, hand, prompt_tokens=len(plan.prompt))

    def forget(self, slot: str) -> None:
        """The document `slot` was closed: nothing of it is kept in the cache."""
        self._decoder.forget(slot)

    def statistics(self) -> SchedulerStatistics:
        """How things stand, and what was counted since the start."""
        return self._decoder.statistics()

    def close(self) -> None:
        """Free all memory. Every generation in progress, in any thread, ends with EngineError."""
        self._free()


def _free(decoder: Decoder, cache: StreamCache, model: LlamaModel) -> None:
    decoder.close()
    cache.close()
    model.close()


def _sizes(model: LlamaModel, lanes: int | None, slots: int | None) -> tuple[int, int]:
    """How many generations run at once, and how many documents keep their cache."""
    wanted = DEFAULT_LANES if lanes is None else lanes
    most = CHUNK if slots is None or lanes is None else min(slots, CHUNK)
    if not 1 <= wanted <= most:
        raise EngineError(
            f"{wanted} lanes cannot be had: choose between 1 and {most}; each needs a cache slot of its own."
        )
    if slots is None:
        memory = max(CACHE_BYTES, model.info.size_bytes // 2)
        fitting = memory // (model.info.context_length * _token_bytes(model))
        slots = max(2, min(MOST_SLOTS, fitting))
    most = api.llama_max_parallel_sequences()
    if not 1 <= slots <= most:
        raise EngineError(f"{slots} cache slots cannot be had: choose between 1 and {most}.")
    return min(wanted, slots), slots


def _chunk(parameters: int) -> int:
    """Tokens of a prompt that a model of so many parameters reads at once: others wait that long.

    70 ms for 64 tokens of 30M parameters on one core; a large model's chunk shall not take seconds.
    """
    return CHUNK if parameters < 100_000_000 else CHUNK // 2 if parameters < 500_000_000 else CHUNK // 4


def _token_bytes(model: LlamaModel) -> int:
    """Bytes of the cache for one token: keys and values of every layer in half precision."""
    handle, info = model.handle, model.info
    heads = max(1, api.llama_model_n_head(handle))
    default = api.llama_model_n_embd(handle) // heads
    widths = (
        int(info.metadata.get(f"{info.architecture}.attention.{part}_length", default))
        for part in ("key", "value")
    )
    layers = max(1, api.llama_model_n_layer(handle))
    return int(2 * layers * max(1, api.llama_model_n_head_kv(handle)) * max(1, sum(widths)))
