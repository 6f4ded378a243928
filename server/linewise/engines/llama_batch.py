"""Many generations at once on one llama.cpp model: one step of the model moves all of them on by one token.

Requests of the same prompt that come one after another read it once; each then goes on from a copy of its
keys and values. What a request generates depends on its prompt and seed alone: not on how many lanes there
are, nor on what runs beside it. That takes two things. Every lane has a stream of its own in the cache, so
that its keys stand in the same order whatever the others do. And a step always has a multiple of sixteen
tokens, idle lanes reading a token that is thrown away: llama.cpp multiplies sixteen rows by another routine
than four or one, and they differ in the last bits. So few lanes cost as much as sixteen.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count

import numpy as np

from linewise.engines import llama_library
from linewise.engines.cores import Threads
from linewise.engines.generation import Choices, Finished, FinishedOf, Generation, Lane, Plan
from linewise.engines.llama_library import api
from linewise.engines.protocol import CancelSignal, Request
from linewise.engines.sampling import Logits
from linewise.errors import EngineError

DEFAULT_LANES = 16
_CHUNK = 64  # tokens of a prompt read at once
_ROWS = 16  # a step has a multiple of this many tokens


class LlamaBatch:
    """A context with `lanes` streams, and one more that holds the prompt read last. Use it from one thread.

    It does not own the model: close it before the engine that made it.
    """

    def __init__(
        self,
        model: int,
        choices: Choices,
        plan: Callable[[Request], Plan],
        *,
        lanes: int,
        limit: int,
        threads: Threads,
    ) -> None:
        """`plan` puts a request into token ids; `limit` is the context of each lane in tokens.

        Raises EngineError for options that cannot be had, or where memory is short.
        """
        self._streams = -(-lanes // _ROWS) * _ROWS
        most = (api.llama_max_parallel_sequences() - 1) // _ROWS * _ROWS
        if not 1 <= lanes <= most:
            raise EngineError(f"{lanes} generations at once cannot be had: choose between 1 and {most}.")
        self._choices = choices
        self._plan = plan
        self._lanes = lanes
        self._limit = limit
        self._threads = threads
        self._context = llama_library.open_context(
            model,
            tokens=-(-limit // 256) * 256 * (self._streams + 1),
            chunk=max(_CHUNK, self._streams),
            threads=threads,
            sequences=self._streams + 1,
        )
        self._memory = api.llama_get_memory(self._context)
        self._batch = api.llama_batch_init(max(_CHUNK, self._streams), 0, 1)
        self._prompt: tuple[int, ...] = ()
        self._prompt_logits: Logits = np.empty(0, np.float32)
        self._closed = False

    def generate(
        self,
        requests: Iterable[Request],
        finished: FinishedOf | None = None,
        cancel: CancelSignal | None = None,
    ) -> Iterator[Generation]:
        """The generations of `requests`, in their order, each as soon as those before it are done.

        A request is taken when a lane is free for it. A generation also ends where `finished` says that its
        text is whole. Once `cancel` is set the iterator ends. Raises EngineError for a request that cannot
        be done, and when llama.cpp fails.
        """
        waiting = iter(requests)
        numbers, due = count(), 0
        done: dict[int, Generation] = {}
        busy: dict[int, tuple[int, Lane, int]] = {}  # stream: number of the request, lane, token to be read
        exhausted = False
        while True:
            if cancel is not None and cancel.is_set():
                return
            while not exhausted and len(busy) < self._lanes:
                request = next(waiting, None)
                if request is None:
                    exhausted = True
                    break
                number = next(numbers)
                lane = self._begin(request, partial(finished, number) if finished else None)
                chosen = lane.choose(self._prompt_logits.copy()) if lane.ended is None else 0
                if lane.ended is not None:
                    done[number] = lane.generation()
                    continue
                stream = min(set(range(self._lanes)) - busy.keys())
                self._copy_prompt(stream)
                busy[stream] = (number, lane, chosen)
            while due in done:
                yield done.pop(due)
                due += 1
            if busy:
                busy = self._step(busy, done)
            elif exhausted and not done:
                return

    def close(self) -> None:
        """Free the context."""
        if not self._closed:
            self._closed = True
            api.llama_batch_free(self._batch)
            api.llama_free(self._context)

    def _begin(self, request: Request, finished: Finished | None) -> Lane:
        """A lane for `request`, its prompt read."""
        if self._closed:
            raise EngineError("The batch was closed: make another one to go on.")
        plan = self._plan(request)
        if len(plan.prompt) > self._limit:
            raise EngineError(
                f"The prompt has {len(plan.prompt)} tokens and the context holds {self._limit}: "
                "shorten it, or load the model with a longer context."
            )
        lane = Lane(plan, request.sampling, self._choices, self._limit, finished)
        if plan.prompt != self._prompt:
            self._read(plan.prompt)
        return lane

    def _read(self, prompt: tuple[int, ...]) -> None:
        """Read `prompt` from its beginning, as always, so that its keys are the same each time."""
        self._prompt = ()
        holder = self._streams
        self._forget(holder)
        api.llama_set_n_threads(self._context, self._threads.reading, self._threads.reading)
        for start in range(0, len(prompt), _CHUNK):
            chunk = prompt[start : start + _CHUNK]
            for row, token in enumerate(chunk):
                self._set(row, token, start + row, holder, output=start + row + 1 == len(prompt))
            self._decode(len(chunk))
        self._prompt_logits = self._logits(len(prompt) - 1 - start)
        self._prompt = prompt

    def _copy_prompt(self, stream: int) -> None:
        self._forget(stream)
        api.llama_memory_seq_cp(self._memory, self._streams, stream, -1, -1)

    def _step(
        self, busy: dict[int, tuple[int, Lane, int]], done: dict[int, Generation]
    ) -> dict[int, tuple[int, Lane, int]]:
        """Read the chosen token of every lane in `busy`, choose the next ones; move what ended to `done`."""
        # One thread fewer than for a prompt: few rows are many short steps, see `default_threads`.
        api.llama_set_n_threads(self._context, self._threads.generating, self._threads.generating)
        rows = -(-(max(busy) + 1) // _ROWS) * _ROWS
        for stream in range(rows):
            if stream in busy:
                _, lane, token = busy[stream]
                self._set(stream, token, lane.position, stream, output=True)
            else:
                self._forget(stream)
                self._set(stream, 0, 0, stream, output=True)  # or the last layer would have fewer rows
        self._decode(rows)
        still: dict[int, tuple[int, Lane, int]] = {}
        for stream, (number, lane, _) in busy.items():
            token = lane.choose(self._logits(stream))
            if lane.ended is None:
                still[stream] = (number, lane, token)
            else:
                done[number] = lane.generation()
        return still

    def _set(self, row: int, token: int, position: int, stream: int, *, output: bool) -> None:
        batch = self._batch
        batch.token[row] = token
        batch.pos[row] = position
        batch.n_seq_id[row] = 1
        batch.seq_id[row][0] = stream
        batch.logits[row] = output

    def _decode(self, rows: int) -> None:
        self._batch.n_tokens = rows
        llama_library.decode(self._context, self._batch)

    def _forget(self, stream: int) -> None:
        if not api.llama_memory_seq_rm(self._memory, stream, -1, -1):
            raise EngineError("llama.cpp cannot empty a stream of its cache: load the model again.")

    def _logits(self, row: int) -> Logits:
        """A copy of the logits of `row` of the last batch."""
        pointer = api.llama_get_logits_ith(self._context, row)
        if not pointer:
            raise EngineError("The model gives no next-token scores: it is not a model that generates text.")
        size = len(self._choices.vocabulary.pieces)
        array = (ctypes.c_float * size).from_address(ctypes.addressof(pointer.contents))
        return np.array(array, dtype=np.float32)
