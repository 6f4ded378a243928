"""A CTranslate2 folder as an engine: CTranslate2 computes, our own sampler chooses.

CTranslate2 generates greedily and shows the logits of each step. As long as our sampler chooses what it did,
it goes on; where the choice differs (a temperature, a word to be healed), generation starts again behind it.
So that the prompt is not read twice for this, CTranslate2 keeps the state after prompts that may need it.

One generation runs at a time, and a prompt is read anew for each call. Make a folder with
`linewise models convert --to ctranslate2`.
"""

from __future__ import annotations

import json
import logging
import queue
import struct
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np

from linewise.engines.cores import physical_cores
from linewise.engines.generation import Lane, Plan
from linewise.engines.protocol import CancelSignal, ModelInfo, Request, Segment, Token
from linewise.engines.tokenizer_json import (
    Tokenization,
    begin_token,
    fim_tokens,
    read_tokenizer,
    read_vocabulary,
)
from linewise.engines.turn import Turn
from linewise.errors import EngineError, ModelError

NOTES = "linewise.json"
"""What `linewise models convert` writes beside the model; CTranslate2 itself says nothing of this."""

_NEEDED = ("model.bin", "config.json", "vocabulary.json", "tokenizer.json")
_LAYOUTS = frozenset({4, 5, 6})
"""Versions of model.bin's layout that are read here."""
_KEPT_TOKENS = 1 << 15
"""Prompt tokens whose states CTranslate2 may keep: it never forgets one, so the model is loaded anew then."""


class CTranslate2Engine:
    """A CTranslate2 folder in this process; implements `linewise.engines.protocol.Engine`."""

    def __init__(
        self,
        folder: Path,
        *,
        context_length: int | None = None,
        threads: int | None = None,
        compute_type: str = "default",
    ) -> None:
        """Load the model in `folder`.

        `compute_type` is one of CTranslate2's, such as int8_float32; "default" is the stored one. Raises
        ModelError for a folder that is no whole model, EngineError for options that cannot be had.
        """
        missing = [name for name in _NEEDED if not (folder / name).is_file()]
        if missing:
            raise ModelError(
                f"{folder} has no {missing[0]}, so it is no CTranslate2 model that can be served: make one "
                "with `linewise models convert --to ctranslate2`."
            )
        if threads is not None and threads < 1:
            raise EngineError(f"The number of threads is {threads}: it must be at least 1.")
        notes, config = _read(folder / NOTES), _read(folder / "config.json")
        names: list[str] = _names(folder / "vocabulary.json")
        tokenizer = read_tokenizer(folder / "tokenizer.json")
        vocabulary = read_vocabulary(tokenizer, _ends(folder, config, names), len(names))
        _require_whole(folder / "model.bin")
        _require_compute_type(compute_type)
        begin = begin_token(tokenizer, vocabulary)
        ctranslate2.set_log_level(logging.ERROR)  # a processor that computes 16 bits in 32 is no news
        try:
            loaded = _Loaded(
                ctranslate2.Generator(
                    str(folder),
                    device="cpu",
                    compute_type=compute_type,
                    intra_threads=threads or physical_cores(),
                )
            )
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"{folder} cannot be loaded ({' '.join(str(error).split())[:300]}): convert the model again, "
                "or choose another engine.compute_type."
            ) from None
        self._names = names
        self._loaded = loaded
        self._turn = Turn()
        self._kept = 0
        self._info = ModelInfo(
            name=folder.resolve().name,
            architecture=str(notes.get("architecture", "unknown")),
            context_length=_context_length(folder, notes, context_length),
            vocabulary_size=len(vocabulary.pieces),
            parameters=int(notes.get("parameters", 0)),
            size_bytes=sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
            format=notes.get("format"),
            metadata={key: str(value) for key, value in notes.items()},
            fim=fim_tokens(vocabulary.special.keys(), begin),
            begin=begin,
        )
        self._tokenization = Tokenization(self._info.name, tokenizer, vocabulary)
        # At interpreter exit too: CTranslate2's threads must not outlive it.
        self._free = weakref.finalize(self, loaded.release)

    @property
    def info(self) -> ModelInfo:
        """What the folder says of itself."""
        return self._info

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        """Token ids of `segments`, each tokenized alone. Raises EngineError for an unknown special token."""
        return self._tokenization.tokenize(segments)

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        """Generate. Raises EngineError when the prompt is empty or does not fit, or the back end fails."""
        self._require_open()
        plan = self._tokenization.plan(request, self._info.context_length)
        lane = Lane(plan, request.sampling, self._tokenization.choices, self._info.context_length)
        if plan.healed:
            self._tokenization.choices.allowed(plan.healed)  # what cannot be spelled is refused now
        ours = bool(plan.healed or plan.forbidden or request.sampling.temperature)
        return self._generate(lane, plan, cancel, ours)

    def close(self) -> None:
        """Free the model's memory, once the generation in progress has ended its step."""
        self._free()

    def _require_open(self) -> None:
        if self._loaded.closed.is_set():
            raise EngineError("The engine was closed: load the model again to go on.")

    def _generate(
        self, lane: Lane, plan: Plan, cancel: CancelSignal | None, may_restart: bool
    ) -> Iterator[Token]:
        if not self._turn.take(cancel):
            return
        told = 0
        try:
            chosen: list[int] = []
            while lane.ended is None:
                for _ in self._run(lane, plan, chosen, cancel, may_restart):
                    while told < len(lane.tokens):
                        if _is_set(cancel):
                            return
                        self._require_open()
                        told += 1
                        yield lane.tokens[told - 1]
                if _is_set(cancel):
                    return
            yield from lane.generation().tokens[told:]
        finally:
            self._turn.give()

    def _run(
        self, lane: Lane, plan: Plan, chosen: list[int], cancel: CancelSignal | None, keep: bool
    ) -> Iterator[None]:
        """Go on behind `chosen`, adding to it; yield after each token, end where ours is another choice."""
        steps: queue.SimpleQueue[BaseException | bool] = queue.SimpleQueue()
        abandoned = threading.Event()
        # CTranslate2's thread lets go of `step` last: held from there, the engine would be freed there.
        closed = self._loaded.closed

        def step(result: Any) -> bool:
            """Called by CTranslate2 on a thread of its own, after each token; true ends its generation."""
            try:
                if abandoned.is_set() or _is_set(cancel) or closed.is_set() or lane.ended is not None:
                    return True
                id_ = lane.choose(np.array(result.logits, dtype=np.float32).reshape(-1))
                chosen.append(id_)
                steps.put(True)
                return bool(lane.ended is not None or id_ != result.token_id)
            except BaseException as error:  # it would be lost on that thread
                steps.put(error)
                return True

        prompt = [self._names[id_] for id_ in (*plan.prompt, *chosen)]
        kept = self._keep(len(plan.prompt) - 1, first=not chosen) if keep else 0
        idle = self._loaded.idle
        idle.clear()
        try:
            self._require_open()
            (job,) = self._loaded.generator.generate_batch(
                [prompt[kept:]],
                static_prompt=prompt[:kept] or None,
                include_prompt_in_result=False,
                return_logits_vocab=True,
                max_length=self._info.context_length,
                callback=step,
                asynchronous=True,
            )
            end = threading.Thread(target=_wait, args=(job, steps, idle), name="linewise-ctranslate2")
            end.start()
        except BaseException:
            idle.set()
            raise
        running = True
        try:
            while running:
                told = steps.get()
                if isinstance(told, BaseException):
                    raise told
                running = told
                if running:
                    yield
        finally:
            abandoned.set()
            while running and steps.get() is not False:
                pass  # the model is busy until CTranslate2 has noticed

    def _keep(self, tokens: int, *, first: bool) -> int:
        """Let CTranslate2 keep the state after `tokens`; where it keeps too many, it forgets the others."""
        if not first:
            return tokens
        self._kept += tokens
        if self._kept > _KEPT_TOKENS:
            self._loaded.generator.unload_model()
            self._loaded.generator.load_model()
            self._kept = tokens
        return tokens


class _Loaded:
    """CTranslate2's generator, freed only when it computes nothing, and on no thread of its own."""

    def __init__(self, generator: Any) -> None:
        self.generator = generator
        self.closed = threading.Event()
        self.idle = threading.Event()
        self.idle.set()

    def release(self) -> None:
        self.closed.set()
        self.idle.wait()
        self.generator = None


def _wait(job: Any, steps: queue.SimpleQueue[BaseException | bool], idle: threading.Event) -> None:
    """Tell how CTranslate2's job ended: False, after the error if there was one."""
    try:
        job.result()
    except (RuntimeError, ValueError) as error:
        steps.put(EngineError(f"CTranslate2 cannot go on ({' '.join(str(error).split())[:300]})."))
    finally:
        idle.set()
        steps.put(False)


def _is_set(cancel: CancelSignal | None) -> bool:
    return cancel is not None and cancel.is_set()


def _require_compute_type(name: str) -> None:
    """Raise EngineError where this processor has no such arithmetic."""
    known = {"default", *ctranslate2.get_supported_compute_types("cpu")}
    if name not in known:
        raise EngineError(
            f"CTranslate2 does not compute in {name} on this processor: set engine.compute_type to one of "
            f"{', '.join(sorted(known))}."
        )


def _require_whole(path: Path) -> None:
    """Raise ModelError unless all weights that model.bin announces are there: CTranslate2 would abort.

    The layout is that of CTranslate2's ModelSpec._serialize (python/ctranslate2/specs/model_spec.py).
    """
    damaged = ModelError(f"{path} is damaged or cut off: convert the model again.")
    with path.open("rb") as file:
        size = path.stat().st_size

        def number(code: str) -> int:
            raw = file.read(struct.calcsize(code))
            if len(raw) < struct.calcsize(code):
                raise damaged
            return int(struct.unpack(code, raw)[0])

        def skip(count: int) -> None:
            if file.seek(count, 1) > size:
                raise damaged

        if number("<I") not in _LAYOUTS:
            raise damaged
        skip(number("<H"))  # the architecture's name
        number("<I")
        for _ in range(number("<I")):
            skip(number("<H"))
            skip(4 * number("<B") + 1)  # the shape and the type
            skip(number("<I"))


def _read(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, empty where there is no such file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): convert the model again.") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} is no JSON object: convert the model again.")
    return value


def _names(path: Path) -> list[str]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): convert the model again.") from None
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise ModelError(f"{path} is no list of tokens: convert the model again.")
    return value


def _ends(folder: Path, config: dict[str, Any], names: list[str]) -> frozenset[int]:
    """Ids that end a text: CTranslate2's own end, and those of generation_config.json."""
    ends: set[int] = set()
    if config.get("eos_token") in names:
        ends.add(names.index(config["eos_token"]))
    more = _read(folder / "generation_config.json").get("eos_token_id")
    ends.update(id_ for id_ in (more if isinstance(more, list) else [more]) if isinstance(id_, int))
    return frozenset(id_ for id_ in ends if id_ < len(names))


def _context_length(folder: Path, notes: dict[str, Any], wanted: int | None) -> int:
    trained = notes.get("context_length")
    if wanted is None and not isinstance(trained, int):
        raise ModelError(
            f"{folder} does not say how many tokens its model was trained for: set context_length, or "
            "convert the model again with `linewise models convert`."
        )
    if wanted is None:
        return int(trained or 0)
    if wanted < 1 or (isinstance(trained, int) and wanted > trained):
        raise EngineError(
            f"The context length {wanted} cannot be had: {folder.name} was trained for 1 to {trained} tokens."
        )
    return wanted
