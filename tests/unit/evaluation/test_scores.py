"""pass@k is the published estimator, and intervals hold the truth as often as they say."""

from __future__ import annotations

import random
from itertools import combinations
from math import comb

import numpy as np
import pytest

from linewise_training.evaluation.report import flops_per_sample
from linewise_training.evaluation.scores import mean_estimate, pass_at_k, wilson


def test_pass_at_k_counts_the_choices_that_hold_a_pass() -> None:
    rng = random.Random(1)
    for _ in range(60):
        samples = rng.randint(1, 9)
        passed, k = rng.randint(0, samples), rng.randint(1, samples)
        outcomes = [number < passed for number in range(samples)]
        choices = list(combinations(outcomes, k))
        assert pass_at_k(samples, passed, k) == pytest.approx(sum(map(any, choices)) / len(choices))


def test_pass_at_k_is_the_published_formula_for_large_counts() -> None:
    rng = random.Random(2)
    for _ in range(300):
        samples = rng.randint(1, 400)
        passed, k = rng.randint(0, samples), rng.randint(1, samples)
        published = 1 - comb(samples - passed, k) / comb(samples, k)
        assert pass_at_k(samples, passed, k) == pytest.approx(published, abs=1e-12)


@pytest.mark.parametrize(("samples", "passed", "k"), [(3, 1, 4), (3, 1, 0), (3, 4, 1), (3, -1, 1)])
def test_counts_that_mean_nothing_are_refused(samples: int, passed: int, k: int) -> None:
    with pytest.raises(ValueError, match="no meaning"):
        pass_at_k(samples, passed, k)


def test_an_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for seed in range(200):
        estimate = mean_estimate(list(rng.beta(2, 5, 60)), seed)
        assert estimate.method == "bootstrap"
        assert estimate.low < estimate.value < estimate.high
        covered += estimate.low <= 2 / 7 <= estimate.high
    assert 180 <= covered <= 199


def test_no_pass_at_all_is_no_certainty() -> None:
    estimate = mean_estimate([0.0] * 164)
    assert (estimate.value, estimate.low, estimate.method) == (0.0, 0.0, "wilson")
    assert estimate.high == pytest.approx(0.0229, abs=1e-3)


def test_yes_or_no_has_wilsons_interval() -> None:
    estimate = mean_estimate([1.0] + [0.0] * 499)
    assert (estimate.low, estimate.high) == wilson(1, 500)
    assert mean_estimate([0.5] + [0.0] * 499).method == "bootstrap"
    same = mean_estimate([0.25] * 8)
    assert same.low < same.value < same.high


def test_wilson_is_the_published_interval() -> None:
    # Wilson 1927: centre (p + z²/2n) / (1 + z²/n), half width z/(1 + z²/n) sqrt(p(1-p)/n + z²/4n²).
    n, passed, z = 20, 7, 1.959963984540054
    share = passed / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    assert wilson(passed, n) == pytest.approx((centre - half, centre + half))


def test_a_token_costs_two_operations_a_parameter() -> None:
    assert flops_per_sample(5_000_000, 100) == 1e9
