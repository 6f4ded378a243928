"""A Hugging Face model folder as an engine: transformers computes, our own sampler chooses.

Many samples of one prompt are drawn side by side from one reading of it. As in `LlamaBatch`, a sample
depends on its prompt and seed alone: a step always has a multiple of sixteen rows and runs on one processor
thread, since arithmetic on another number of rows differs in the last bits, and threads share rows out
among themselves. Requests of different prompts wait for each other. Larger models are quicker as GGUF files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from linewise.engines.generation import Choices, FinishedOf, Generation, Lane, Plan
from linewise.engines.protocol import CancelSignal, FimTokens, ModelInfo, Request, Segment, Token
from linewise.engines.vocabulary import SpellingIndex, Vocabulary
from linewise.errors import EngineError, ModelError
from linewise_training.tokenizer import byte_character

DEFAULT_CONTEXT_LENGTH = 8192
"""Tokens of context at most, where the model knows more: memory grows with it."""

FORMAT_KEYS = ("linewise_format", "linewise.format")
"""Where config.json may say in which format the model writes."""

_ROWS = 16
_FIM = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<|fim▁begin|>", "<|fim▁hole|>", "<|fim▁end|>"),
)
_BYTE = re.compile(r"<0x([0-9A-F]{2})>\Z")


class HuggingFaceEngine:
    """A model folder in this process; implements `linewise.engines.protocol.Engine`, and has batches."""

    def __init__(self, folder: Path) -> None:
        """Load the folder; nothing is fetched. Raises ModelError where it is no whole language model."""
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
        self._backend = backend
        self._backend.encode_special_tokens = True  # a document that says <|diff|> cannot forge one
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        if self._device == "cpu":
            self._model = self._model.float()
        self._model = self._model.to(self._device).eval()
        config = self._model.config
        vocabulary = _vocabulary(self._tokenizer, self._model)
        size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
        self._info = ModelInfo(
            name=folder.resolve().name,
            architecture=str(config.model_type),
            context_length=min(
                int(getattr(config, "max_position_embeddings", DEFAULT_CONTEXT_LENGTH)),
                DEFAULT_CONTEXT_LENGTH,
            ),
            vocabulary_size=len(vocabulary.pieces),
            parameters=sum(weight.numel() for weight in self._model.parameters()),
            size_bytes=size,
            format=next((str(value) for key in FORMAT_KEYS if (value := getattr(config, key, None))), None),
            metadata={},
            fim=_fim_tokens(vocabulary, begin),
            begin=begin,
        )
        unused = np.array(sorted(vocabulary.unused), dtype=np.intp)
        self._choices = Choices(self._info.name, vocabulary, SpellingIndex(vocabulary), unused)

    @property
    def info(self) -> ModelInfo:
        """What the folder says of itself."""
        return self._info

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        """Token ids of `segments`, each tokenized alone. Raises EngineError for an unknown special token."""
        ids: list[int] = []
        for segment in segments:
            if segment.special:
                ids.append(self._special(segment.text))
            elif segment.text:
                ids += self._backend.encode(segment.text, add_special_tokens=False).ids
        return tuple(ids)

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        """Generate; the prompt is read anew each time. Raises EngineError as `batch` does."""
        plan = self._plan(request, self._info.context_length)
        lane = Lane(plan, request.sampling, self._choices, self._info.context_length)
        told = 0
        steps = self._steps([lane], plan.prompt)
        while lane.ended is None and not (cancel is not None and cancel.is_set()):
            next(steps)
            yield from lane.tokens[told:]
            told = len(lane.tokens)
        if lane.ended is not None:
            yield from lane.generation().tokens[told:]

    def batch(self, lanes: int = _ROWS, context_length: int | None = None) -> HuggingFaceBatch:
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
        return HuggingFaceBatch(lanes, partial(self._plan, limit=limit), partial(self._run, limit=limit))

    def close(self) -> None:
        """Free the model's memory."""
        self._model = None

    def _run(
        self, plan: Plan, requests: Sequence[tuple[int, Request]], finished: FinishedOf | None, limit: int
    ) -> list[Generation]:
        """The generations of numbered `requests`, all of which have the prompt of `plan`."""
        lanes = [
            Lane(
                plan, request.sampling, self._choices, limit, partial(finished, number) if finished else None
            )
            for number, request in requests
        ]
        for _ in self._steps(lanes, plan.prompt):
            pass
        return [lane.generation() for lane in lanes]

    def _forward(self, ids: Sequence[Sequence[int]], cache: Any) -> tuple[np.ndarray[Any, Any], Any]:
        """Logits after the last of `ids`, a row each, and the cache with them."""
        if self._model is None:
            raise EngineError("The engine was closed: load the model again to go on.")
        tensor = torch.tensor(ids, device=self._device)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                out = self._model(input_ids=tensor, past_key_values=cache, use_cache=True, logits_to_keep=1)
        finally:
            torch.set_num_threads(threads)
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

    def _plan(self, request: Request, limit: int) -> Plan:
        prompt = self.tokenize(request.prompt)
        if not prompt:
            raise EngineError("The prompt is empty: a model needs at least one token to go on from.")
        if len(prompt) > limit:
            raise EngineError(
                f"The prompt has {len(prompt)} tokens and the context holds {limit}: "
                "shorten it, or take a model with a longer context."
            )
        stops = frozenset(self._special(text) for text in request.stop)
        return Plan(prompt, request.healed.encode(), stops, request.sampling.max_tokens)

    def _special(self, text: str) -> int:
        found = self._choices.vocabulary.special.get(text)
        if found is None:
            raise EngineError(
                f"{self._info.name} has no special token {text!r}: use the format it was trained on."
            )
        return found


class HuggingFaceBatch:
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
    return request.prompt, request.healed, request.stop, request.sampling.max_tokens


def _padded(rows: int) -> int:
    return -(-rows // _ROWS) * _ROWS


def _vocabulary(tokenizer: Any, model: Any) -> Vocabulary:
    """Every token of the model as bytes, with its role."""
    size = int(model.get_output_embeddings().weight.shape[0])
    decoder = json.loads(tokenizer.backend_tokenizer.to_str()).get("decoder") or {}
    byte_level = "ByteLevel" in json.dumps(decoder)
    table = {byte_character(byte): byte for byte in range(256)}
    added = tokenizer.added_tokens_decoder
    pieces: list[bytes] = []
    unused = set()
    for id_ in range(size):
        text = tokenizer.convert_ids_to_tokens(id_) if id_ < len(tokenizer) else None
        if text is None:
            unused.add(id_)
            pieces.append(b"")
        elif id_ in added:
            pieces.append(added[id_].content.encode())
        elif byte_level:
            pieces.append(bytes(table[character] for character in text))
        elif match := _BYTE.match(text):
            pieces.append(bytes([int(match[1], 16)]))
        else:
            pieces.append(text.replace("▁", " ").encode())
    control = frozenset(id_ for id_, token in added.items() if token.special)
    special = {token.content: id_ for id_, token in added.items()}
    return Vocabulary(tuple(pieces), control, special, _ends(tokenizer, model), frozenset(unused))


def _begin(tokenizer: Any) -> str:
    """The token, by its text, that the tokenizer puts before every text; empty where there is none."""
    begin = tokenizer.bos_token_id
    return str(tokenizer.bos_token) if begin is not None and tokenizer("a").input_ids[:1] == [begin] else ""


def _ends(tokenizer: Any, model: Any) -> frozenset[int]:
    found: set[int] = set()
    for ids in (tokenizer.eos_token_id, model.config.eos_token_id, model.generation_config.eos_token_id):
        found.update(ids if isinstance(ids, list) else [] if ids is None else [ids])
    return frozenset(found)


def _fim_tokens(vocabulary: Vocabulary, begin: str) -> FimTokens | None:
    for prefix, suffix, middle in _FIM:
        if {prefix, suffix, middle} <= vocabulary.special.keys():
            return FimTokens(prefix, suffix, middle, begin=begin)
    return None
