"""pass@k and how sure one can be of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over problems, and the interval that holds the true one with a probability of CONFIDENCE.

    `method` says how the interval was found: "bootstrap" or "wilson".
    """

    value: float
    low: float
    high: float
    method: str


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Unbiased estimate of the probability that one of `k` samples passes, when `passed` of `samples` did.

    1 - C(n-c, k) / C(n, k), written as a product that does not overflow (Chen et al., "Evaluating Large
    Language Models Trained on Code", 2021, equation 1). Raises ValueError unless 1 <= k <= samples.
    """
    if not 1 <= k <= samples or not 0 <= passed <= samples:
        raise ValueError(f"pass@{k} of {samples} samples, {passed} of which passed, has no meaning")
    if samples - passed < k:
        return 1.0
    return 1.0 - prod(1.0 - k / n for n in range(samples - passed + 1, samples + 1))


def mean_estimate(scores: Sequence[float], seed: int = 0) -> Estimate:
    """Mean of one score a problem, the problems taken as a sample of all such problems.

    By Wilson's interval where every problem scores 0 or 1, and where all score the same, of which the
    bootstrap would make an interval of no width; else by the percentile bootstrap. Raises ValueError
    without scores.
    """
    if not scores:
        raise ValueError("a mean needs a score")
    values = np.asarray(scores, dtype=np.float64)
    mean = float(values.mean())
    if np.isin(values, (0.0, 1.0)).all() or float(values.min()) == float(values.max()):
        interval = wilson(round(mean * len(values)), len(values))
        return Estimate(mean, min(mean, interval[0]), max(mean, interval[1]), "wilson")
    low, high = bootstrap_interval(values, seed)
    return Estimate(mean, low, high, "bootstrap")


def bootstrap_interval(values: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values` (Efron and Tibshirani, 1993, chapter 13)."""
    random = np.random.default_rng(seed)
    means = np.concatenate(
        [
            values[random.integers(0, len(values), (RESAMPLES // 10, len(values)))].mean(axis=1)
            for _ in range(10)  # a tenth at a time, so that memory stays small
        ]
    )
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def wilson(passed: int, samples: int) -> tuple[float, float]:
    """Wilson's score interval for the probability of a pass, from `passed` of `samples`."""
    interval = binomtest(passed, samples).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)
