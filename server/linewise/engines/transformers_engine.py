"""A Hugging Face model folder as an engine: transformers computes, our own sampler chooses.

A stream keeps its cache for the next one, which reads only what is new. In a batch many samples of one prompt
are drawn side by side from one reading of it: as in `LlamaBatch`, a sample
depends on its prompt and seed alone: a step always has a multiple of sixteen rows and runs on one processor
thread, since arithmetic on another number of rows differs in the last bits, and threads share rows out
among themselves. Requests of different prompts wait for each other. Larger models are quicker as GGUF files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from linewise.engines.cache_slot import common_prefix
from linewise.engines.cores import physical_cores
from linewise.engines.generation import FinishedOf, Generation, Lane, Plan
from linewise.engines.protocol import CancelSignal, ModelInfo, Request, Segment, Token
from linewise.engines.tokenizer_json import Tokenization, fim_tokens, read_vocabulary
from linewise.engines.turn import Turn
from linewise.errors import EngineError, ModelError

DEFAULT_CONTEXT_LENGTH = 8192
"""Tokens of context at most, where the model knows more: memory grows with it."""

FORMAT_KEYS = ("linewise_format", "linewise.format")
"""Where config.json may say in which format the model writes."""

_ROWS = 16
_CHUNK = 256
"""Tokens of a prompt read at once: a cancel is noticed between two chunks."""


class TransformersEngine:
    """A model folder in this process; implements `linewise.engines.protocol.Engine`, and has batches."""

    def __init__(
        self, folder: Path, *, context_length: int | None = None, threads: int | None = None
    ) -> None:
        """Load the folder; nothing is fetched, and no code in it is run.

        `context_length` is in tokens, `threads` for streams only. Raises ModelError where it is no whole
        language model, EngineError for options that cannot be had.
        """
        if threads is not None and threads < 1:
            raise EngineError(f"The number of threads is {threads}: it must be at least 1.")
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"{folder} has no config.json: name a Hugging Face model folder, or a GGUF file."
            )
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype="auto")
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            raise ModelError(
                f"{folder} cannot be loaded ({' '.join(str(error).split())[:300]}): "
                "name a whole Hugging Face folder of a causal language model."
            ) from None
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelError(f"{folder} has no tokenizer.json: save its tokenizer as a fast one.")
        begin = _begin(self._tokenizer)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        if self._device == "cpu":
            self._model = self._model.float()
        self._model = self._model.to(self._device).eval()
        config = self._model.config
        size = int(self._model.get_output_embeddings().weight.shape[0])
        vocabulary = read_vocabulary(backend, _ends(self._tokenizer, self._model), size)
        self._info = ModelInfo(
            name=folder.resolve().name,
            architecture=str(config.model_type),
            context_length=_context_length(folder, config, context_length),
            vocabulary_size=len(vocabulary.pieces),
            parameters=sum(weight.numel() for weight in self._model.parameters()),
            size_bytes=sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
            format=next((str(value) for key in FORMAT_KEYS if (value := getattr(config, key, None))), None),
            metadata={},
            fim=fim_tokens(vocabulary.special.keys(), begin),
            begin=begin,
        )
        self._tokenization = Tokenization(self._info.name, backend, vocabulary)
        self._threads = threads or physical_cores()
        self._turn = Turn()
        self._held: list[int] = []
        self._cache: Any = None

    @property
    def info(self) -> ModelInfo:
        """What the folder says of itself."""
        return self._info

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        """Token ids of `segments`, each tokenized alone. Raises EngineError for an unknown special token."""
        return self._tokenization.tokenize(segments)

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        """Generate. Prompt tokens shared with the stream before are not read again.

        Raises EngineError when the prompt is empty or does not fit, or the vocabulary cannot spell the healed
        text.
        """
        self._require_open()
        limit = self._info.context_length
        plan = self._tokenization.plan(request, limit)
        lane = Lane(plan, request.sampling, self._tokenization.choices, limit)
        if plan.healed:
            self._tokenization.choices.allowed(plan.healed)  # what cannot be spelled is refused now
        return self._generate(lane, plan, cancel)

    def _generate(self, lane: Lane, plan: Plan, cancel: CancelSignal | None) -> Iterator[Token]:
        if not self._turn.take(cancel):
            return
        told = 0
        try:
            self._reuse(plan.prompt)
            unread: Sequence[int] = plan.prompt[len(self._held) :]
            while lane.ended is None:
                logits = self._read(unread, cancel)
                if logits is None or (cancel is not None and cancel.is_set()):
                    return
                unread = (lane.choose(logits),)
                yield from lane.tokens[told:]
                told = len(lane.tokens)
            yield from lane.generation().tokens[told:]
        finally:
            self._turn.give()

    def _reuse(self, prompt: tuple[int, ...]) -> None:
        """Keep what the cache shares with `prompt`, but for its last token, whose logits are wanted."""
        kept = min(common_prefix(self._held, list(prompt)), len(prompt) - 1)
        if kept and kept < len(self._held):
            try:
                self._cache.crop(kept)
            except (AttributeError, NotImplementedError, RuntimeError, ValueError):
                kept = 0  # a recurrent state or a sliding window cannot go back
        if not kept:
            self._cache = None
        del self._held[kept:]

    def _read(self, tokens: Sequence[int], cancel: CancelSignal | None) -> np.ndarray[Any, Any] | None:
        """Append `tokens` to the cache; the logits after the last one, or None once cancelled."""
        logits = None
        for start in range(0, len(tokens), _CHUNK):
            if cancel is not None and cancel.is_set():
                return None
            chunk = tokens[start : start + _CHUNK]
            held, self._held = self._held, []  # what an error leaves in the cache is not known
            rows, self._cache = self._forward([chunk], self._cache, self._threads)
            self._held = [*held, *chunk]
            logits = rows[0].copy()
        return logits

    def batch(self, lanes: int = _ROWS, context_length: int | None = None) -> TransformersBatch:
        """Up to `lanes` generations of one prompt at once, each of up to `context_length` tokens.

        Raises EngineError for a length or a number of lanes that cannot be had.
        """
        limit = context_length or self._info.context_length
        if not 1 <= limit <= self._info.context_length:
            raise EngineError(
                f"The context length {limit} cannot be had: the engine has {self._info.context_length}."
            )
        if lanes < 1:
            raise EngineError(f"{lanes} generations at once cannot be had: choose at least 1.")
        return TransformersBatch(lanes, partial(self._plan, limit=limit), partial(self._run, limit=limit))

    def close(self) -> None:
        """Free the model's memory. A generation in progress ends with EngineError."""
        self._turn.close()
        self._model = self._cache = None

    def _require_open(self) -> None:
        if self._turn.closed:
            raise EngineError("The engine was closed: load the model again to go on.")

    def _plan(self, request: Request, limit: int) -> Plan:
        return self._tokenization.plan(request, limit)

    def _run(
        self, plan: Plan, requests: Sequence[tuple[int, Request]], finished: FinishedOf | None, limit: int
    ) -> list[Generation]:
        """The generations of numbered `requests`, all of which have the prompt of `plan`."""
        lanes = [
            Lane(
                plan,
                request.sampling,
                self._tokenization.choices,
                limit,
                partial(finished, number) if finished else None,
            )
            for number, request in requests
        ]
        for _ in self._steps(lanes, plan.prompt):
            pass
        return [lane.generation() for lane in lanes]

    def _forward(
        self, ids: Sequence[Sequence[int]], cache: Any, threads: int = 1
    ) -> tuple[np.ndarray[Any, Any], Any]:
        """Logits after the last of `ids`, a row each, and the cache with them."""
        model = self._model
        if model is None:
            raise EngineError("The engine was closed: load the model again to go on.")
        tensor = torch.tensor(ids, device=self._device)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            with torch.inference_mode():
                out = model(input_ids=tensor, past_key_values=cache, use_cache=True, logits_to_keep=1)
        finally:
            torch.set_num_threads(before)
        return out.logits[:, -1].float().cpu().numpy(), out.past_key_values

    def _steps(self, lanes: Sequence[Lane], prompt: tuple[int, ...]) -> Iterator[None]:
        """Move all of `lanes` on by a token with each step, until all have ended."""
        logits, cache = self._forward([prompt], None)
        chosen = [lane.choose(logits[0].copy()) if lane.ended is None else 0 for lane in lanes]
        yield
        rows = list(range(len(lanes)))  # the lane of each row of the cache
        cache.batch_repeat_interleave(_padded(len(rows)))
        while going := [lane for lane in rows if lanes[lane].ended is None]:
            if _padded(len(going)) < _padded(len(rows)):
                kept = [at for at, lane in enumerate(rows) if lanes[lane].ended is None]
                filled = kept + [0] * (_padded(len(kept)) - len(kept))
                cache.batch_select_indices(torch.tensor(filled, device=self._device))
                rows = going
            ids = [chosen[lane] for lane in rows]
            logits, cache = self._forward(
                [[id_] for id_ in ids + [0] * (_padded(len(rows)) - len(rows))], cache
            )
            for at, lane in enumerate(rows):
                if lanes[lane].ended is None:
                    chosen[lane] = lanes[lane].choose(logits[at].copy())
            yield


class TransformersBatch:
    """Generates for several requests of one prompt at once."""

    def __init__(
        self,
        lanes: int,
        plan: Callable[[Request], Plan],
        run: Callable[[Plan, Sequence[tuple[int, Request]], FinishedOf | None], list[Generation]],
    ) -> None:
        self._lanes = lanes
        self._plan = plan
        self._run = run

    def generate(
        self, requests: Iterable[Request], finished: FinishedOf | None = None
    ) -> Iterator[Generation]:
        """The generations of `requests`, in their order. Raises EngineError for one that cannot be done."""
        for _, same in groupby(enumerate(requests), lambda numbered: _asked(numbered[1])):
            group: list[tuple[int, Request]] = []
            for numbered in same:
                group.append(numbered)
                if len(group) == self._lanes:
                    yield from self._run(self._plan(group[0][1]), group, finished)
                    group = []
            if group:
                yield from self._run(self._plan(group[0][1]), group, finished)

    def close(self) -> None:
        """There is nothing to free: each group of requests has a cache of its own."""


def _asked(request: Request) -> tuple[object, ...]:
    """What requests that run side by side have in common."""
    return request.prompt, request.ids, request.healed, request.stop, request.sampling.max_tokens


def _padded(rows: int) -> int:
    return -(-rows // _ROWS) * _ROWS


def _begin(tokenizer: Any) -> str:
    """The token, by its text, that the tokenizer puts before every text; empty where there is none."""
    begin = tokenizer.bos_token_id
    return str(tokenizer.bos_token) if begin is not None and tokenizer("a").input_ids[:1] == [begin] else ""


def _ends(tokenizer: Any, model: Any) -> frozenset[int]:
    found: set[int] = set()
    for ids in (tokenizer.eos_token_id, model.config.eos_token_id, model.generation_config.eos_token_id):
        found.update(ids if isinstance(ids, list) else [] if ids is None else [ids])
    return frozenset(found)


def _context_length(folder: Path, config: Any, wanted: int | None) -> int:
    trained = int(getattr(config, "max_position_embeddings", DEFAULT_CONTEXT_LENGTH))
    if wanted is None:
        return min(trained, DEFAULT_CONTEXT_LENGTH)
    if not 1 <= wanted <= trained:
        raise EngineError(
            f"The context length {wanted} cannot be had: {folder.name} was trained for 1 to {trained} tokens."
        )
    return wanted
