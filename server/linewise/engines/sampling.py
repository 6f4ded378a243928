"""Chooses the next token from a model's logits, reproducibly.

The order of the steps is that of transformers and vLLM: temperature, top-k, top-p, min-p. The reported
log-probability is of the model's own distribution, untouched by any of them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from linewise.engines.protocol import Sampling
from linewise.errors import EngineError

Logits = NDArray[np.float32]
Ids = NDArray[np.intp]


class Sampler:
    """Draws tokens as `sampling` says. Two samplers of one seed draw the same tokens from the same logits.

    Raises EngineError for values that have no meaning, such as a negative temperature.
    """

    def __init__(self, sampling: Sampling) -> None:
        _check(sampling)
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)

    def choose(self, logits: Logits, allowed: Ids | None = None) -> tuple[int, float]:
        """The next token's id and the natural logarithm of its probability under the model.

        `logits` has one value for each token id; `allowed`, ascending and not empty, limits the choice but
        not the reported probability. Raises EngineError when the logits are not numbers.
        """
        highest = float(logits.max())
        if not math.isfinite(highest):
            raise EngineError(
                "The model computes values that are not numbers: its file is damaged; get it again."
            )
        log_total = highest + math.log(float(np.exp(logits - highest).sum()))
        scores = logits if allowed is None else logits[allowed]
        place = int(scores.argmax()) if self._sampling.temperature == 0 else self._draw(scores)
        chosen = place if allowed is None else int(allowed[place])
        return chosen, float(logits[chosen]) - log_total

    def _draw(self, scores: Logits) -> int:
        """A place in `scores`, drawn from the truncated distribution."""
        sampling = self._sampling
        places: Ids | None = None
        if 0 < sampling.top_k < scores.size:
            places = np.sort(
                np.argpartition(scores, scores.size - sampling.top_k)[scores.size - sampling.top_k :]
            )
            scores = scores[places]
        weights = np.exp((scores.astype(np.float64) - float(scores.max())) / sampling.temperature)
        if sampling.top_p < 1:
            nucleus = _nucleus(weights, sampling.top_p)
            places = nucleus if places is None else places[nucleus]
            weights = weights[nucleus]
        if sampling.min_p > 0:
            weights = np.where(weights >= sampling.min_p * weights.max(), weights, 0.0)
        cumulative = weights.cumsum()
        drawn = int(np.searchsorted(cumulative, self._random.random() * cumulative[-1], side="right"))
        return drawn if places is None else int(places[drawn])


def _nucleus(weights: NDArray[np.float64], top_p: float) -> Ids:
    """Places of the fewest greatest `weights` that make up at least `top_p` of their sum, greatest first."""
    target = top_p * float(weights.sum())
    size = 64
    while True:
        # Sorting a whole vocabulary costs more than a token; the nucleus is nearly always a small part of it.
        size = min(size, weights.size)
        part = np.argpartition(weights, weights.size - size)[weights.size - size :]
        order = part[np.argsort(-weights[part], kind="stable")]
        cumulative = weights[order].cumsum()
        if size == weights.size or cumulative[-1] >= target:
            return order[: int(np.searchsorted(cumulative, target)) + 1]
        size *= 16


def _check(sampling: Sampling) -> None:
    faults = {
        "temperature": not (math.isfinite(sampling.temperature) and sampling.temperature >= 0),
        "top_p": not 0 < sampling.top_p <= 1,
        "top_k": sampling.top_k < 0,
        "min_p": not 0 <= sampling.min_p <= 1,
        "seed": sampling.seed < 0,
        "max_tokens": sampling.max_tokens < 0,
        "alternatives": sampling.alternatives < 0,
    }
    for name, wrong in faults.items():
        if wrong:
            value = getattr(sampling, name)
            raise EngineError(
                f"The sampling option {name}={value} has no meaning: temperature, top_k, seed, max_tokens "
                "and alternatives are at least 0, min_p lies between 0 and 1, top_p above 0 and at most 1."
            )
