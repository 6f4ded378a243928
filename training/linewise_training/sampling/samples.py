"""Samples of prompts, written to a file as they come, so that a killed run goes on where it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from linewise.engines.protocol import Engine, Request
from linewise.errors import LinewiseError
from linewise_training.sampling.batching import DEFAULT_LANES, generate
from linewise_training.sampling.jsonl import JsonlFile

TOO_LONG = "prompt too long"
"""Why a sample ended before it began."""

_BYTES = 8


@dataclass(frozen=True, slots=True)
class Ask:
    """One sample to be drawn. `task`, `shape` and `sample` (from 0) name it; `request` has its own seed."""

    task: str
    shape: str
    sample: int
    request: Request
    finished: Callable[[str], bool] | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample that was drawn, a line of the file.

    `tokens` and `prompt_tokens` are counts; `logprob` is the natural logarithm of the text's probability
    under the model; `ended` says why it ended: an `Ending` of the engine's, or TOO_LONG.
    """

    task: str
    shape: str
    sample: int
    seed: int
    prompt: str
    text: str
    tokens: int
    prompt_tokens: int
    logprob: float
    ended: str


def sample_seed(seed: int, task: str, shape: str, sample: int) -> int:
    """The seed of one sample: its own, whatever else is drawn and in whatever order."""
    named = f"{seed}\n{task}\n{shape}\n{sample}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(named, digest_size=_BYTES).digest(), "big") >> 1


def draw(
    engine: Engine,
    asks: Sequence[Ask],
    path: Path,
    *,
    lanes: int = DEFAULT_LANES,
    advance: Callable[[int], None] | None = None,
) -> list[Sample]:
    """Draw `asks` in their order, each a line of the file at `path`; what stands there is not drawn again.

    `advance` is told how many more are done. Raises LinewiseError where the file holds other samples, and
    EngineError.
    """
    with JsonlFile(path) as file:
        done = [_sample(path, number, row) for number, row in enumerate(file.rows, 1)]
        _require_beginning(path, done, asks)
        if advance is not None:
            advance(len(done))
        for sample in _drawn(engine, asks, len(done), lanes):
            file.append(asdict(sample))
            done.append(sample)
            if advance is not None:
                advance(1)
    return done


def _drawn(engine: Engine, asks: Sequence[Ask], first: int, lanes: int) -> Iterator[Sample]:
    """The samples of `asks` from number `first` on, in their order."""
    limit = engine.info.context_length
    lengths = {ask.request.prompt: 0 for ask in asks}
    for prompt in lengths:
        lengths[prompt] = len(engine.tokenize(prompt))
    # Of all asks, done or not: a run that goes on has the same context as one that was never cut.
    needed = max(
        (
            lengths[ask.request.prompt] + ask.request.sampling.max_tokens
            for ask in asks
            if lengths[ask.request.prompt] < limit
        ),
        default=1,
    )
    asks = asks[first:]
    fitting = [ask for ask in asks if lengths[ask.request.prompt] < limit]

    def finished(number: int, text: str) -> bool:
        enough = fitting[number].finished
        return enough is not None and enough(text)

    generations = generate(
        engine,
        (ask.request for ask in fitting),
        finished,
        lanes=lanes,
        context_length=min(limit, needed),
    )
    for ask in asks:
        prompt_tokens = lengths[ask.request.prompt]
        sample = Sample(
            task=ask.task,
            shape=ask.shape,
            sample=ask.sample,
            seed=ask.request.sampling.seed,
            prompt="".join(segment.text for segment in ask.request.prompt) + ask.request.healed,
            text="",
            tokens=0,
            prompt_tokens=prompt_tokens,
            logprob=0.0,
            ended=TOO_LONG,
        )
        if prompt_tokens < limit:
            one = next(generations)
            sample = replace(
                sample, text=one.text, tokens=len(one.tokens), logprob=one.logprob, ended=one.ended
            )
        yield sample


def _sample(path: Path, number: int, row: Mapping[str, Any]) -> Sample:
    try:
        return Sample(**row)
    except TypeError:
        raise LinewiseError(
            f"{path}, line {number}: not a sample; remove the file, or choose another --out"
        ) from None


def _require_beginning(path: Path, done: Sequence[Sample], asks: Sequence[Ask]) -> None:
    """Raise LinewiseError unless `done` are the first of `asks`."""
    if len(done) > len(asks):
        raise LinewiseError(
            f"{path} has {len(done)} samples where {len(asks)} are wanted; choose another --out"
        )
    for number, (sample, ask) in enumerate(zip(done, asks, strict=False), 1):
        mine = (ask.task, ask.shape, ask.sample, ask.request.sampling.seed)
        if (sample.task, sample.shape, sample.sample, sample.seed) != mine:
            raise LinewiseError(
                f"{path}, line {number}: sample {sample.sample} of {sample.task} stands where sample "
                f"{ask.sample} of {ask.task} belongs; choose another --out"
            )
