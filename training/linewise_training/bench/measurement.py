"""What is measured of one model, and how: the same for every back end.

Memory is read before perplexity is computed, which needs more than serving does.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from linewise.errors import ModelError


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure. Lengths are in tokens; a speed is the median of `repeats`.

    Perplexity is of up to `tokens` tokens in windows of `window`, of each of which the first is only read.
    """

    prompt: int = 256
    generated: int = 64
    repeats: int = 3
    window: int = 512
    tokens: int = 16_384


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured of one model. Sizes are in bytes, speeds in tokens a second.

    `peak_bytes` is of the whole process, None where the system does not tell. `perplexity` is of a token;
    `bits_per_byte` says the same for models of different tokenizers. Both are None without a text.
    """

    size_bytes: int
    peak_bytes: int | None
    prompt_speed: float
    generation_speed: float
    scored_tokens: int
    perplexity: float | None
    bits_per_byte: float | None


def median_of(turns: Sequence[Measurement]) -> Measurement:
    """The first of `turns`, with the median of all their speeds and the greatest of their memory."""
    peaks = [turn.peak_bytes for turn in turns if turn.peak_bytes is not None]
    return replace(
        turns[0],
        peak_bytes=max(peaks, default=None),
        prompt_speed=statistics.median(turn.prompt_speed for turn in turns),
        generation_speed=statistics.median(turn.generation_speed for turn in turns),
    )


class Subject(Protocol):
    """A loaded model that can be measured."""

    context: int

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, no begin token."""
        ...

    @property
    def begin(self) -> list[int]:
        """The begin token, if texts begin with one."""
        ...

    def byte_counts(self, ids: Sequence[int]) -> int:
        """How many bytes of text the tokens stand for."""
        ...

    def read(self, prompt: Sequence[int]) -> None:
        """Read `prompt` from an empty cache."""
        ...

    def generate(self, prompt: Sequence[int], count: int) -> float:
        """Seconds that `count` tokens after the first one took, greedily, no end of sequence heeded."""
        ...

    def logprobs(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """Natural log-probability of each of `ids[1:]`, given all before it."""
        ...


def measure(subject: Subject, size: int, plan: Plan, speed_text: str, text: str | None) -> Measurement:
    """Measure `subject`, whose files have `size` bytes; perplexity on `text`, if there is one.

    Raises ModelError for a text or a context that is too short.
    """
    room = subject.context - plan.generated - 2
    prompt = [*subject.begin, *subject.encode(speed_text)][: min(plan.prompt, room)]
    if room < 1 or not prompt:
        raise ModelError(f"The context of {subject.context} tokens is too short to measure a generation.")
    subject.generate(prompt, 4)  # the first call also pays for memory that is mapped when it is touched
    reading, generating = [], []
    for _ in range(plan.repeats):
        started = time.perf_counter()
        subject.read(prompt)
        reading.append(len(prompt) / (time.perf_counter() - started))
        generating.append(plan.generated / subject.generate(prompt, plan.generated))
    peak = peak_memory()
    perplexity, bits, scored = (None, None, 0) if text is None else _perplexity(subject, plan, text)
    return Measurement(
        size, peak, statistics.median(reading), statistics.median(generating), scored, perplexity, bits
    )


def _perplexity(subject: Subject, plan: Plan, text: str) -> tuple[float, float, int]:
    """Perplexity of a token, bits of a byte, and how many tokens were scored.

    Perplexity is exp(-mean log p) over all tokens but the first of each window (Jurafsky and Martin, 3.3).
    """
    ids = subject.encode(text)[: plan.tokens]
    begin = subject.begin
    window = min(plan.window, subject.context) - len(begin)
    windows = [ids[start : start + window] for start in range(0, len(ids), window)]
    total, scored, size = 0.0, 0, 0
    for part in windows:
        if len(part) < 2:
            continue
        logprobs = subject.logprobs([*begin, *part])[
            len(begin) :
        ]  # the first token of the text is not scored
        total += float(logprobs.sum())
        scored += len(part) - 1
        size += subject.byte_counts(part[1:])
    if scored == 0:
        raise ModelError("The text has fewer than two tokens: name a longer one with --text.")
    return math.exp(-total / scored), -total / math.log(2) / size, scored


def peak_memory() -> int | None:
    """The most memory in bytes that this process has had resident; None where the system does not say.

    On Linux not getrusage's figure, which a child takes over from the process that started it.
    """
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "darwin":
        import resource  # noqa: PLC0415 -- Windows has none

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
