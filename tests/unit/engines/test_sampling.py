"""The sampler against formulas written out the long way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from linewise.engines.protocol import Sampling
from linewise.engines.sampling import Sampler
from linewise.errors import EngineError

logits = arrays(np.float32, st.integers(2, 300), elements=st.floats(-30, 30, width=32))


def distribution(logits: np.ndarray, sampling: Sampling) -> np.ndarray:
    """What `sampling` leaves of the softmax, one token at a time, in double precision."""
    scores = logits.astype(np.float64) / sampling.temperature
    probabilities = np.exp(scores - scores.max())
    order = np.argsort(-probabilities, kind="stable")
    kept = order[: sampling.top_k] if sampling.top_k else order
    total, used, nucleus = probabilities[kept].sum(), 0.0, []
    for id_ in kept:
        if used >= sampling.top_p * total:
            break
        nucleus.append(id_)
        used += probabilities[id_]
    result = np.zeros_like(probabilities)
    for id_ in nucleus:
        if probabilities[id_] >= sampling.min_p * probabilities.max():
            result[id_] = probabilities[id_]
    return result / result.sum()


@given(logits)
def test_temperature_zero_takes_the_likeliest(logits: np.ndarray) -> None:
    chosen, logprob = Sampler(Sampling()).choose(logits)
    assert logits[chosen] == logits.max()
    assert logprob == pytest.approx(logits.max() - np.logaddexp.reduce(logits.astype(np.float64)), abs=1e-4)


@given(logits, st.integers(0, 2**40), st.floats(0.1, 5))
def test_the_log_probability_is_the_models_own(logits: np.ndarray, seed: int, temperature: float) -> None:
    sampling = Sampling(temperature=temperature, top_k=3, top_p=0.8, seed=seed)
    chosen, logprob = Sampler(sampling).choose(logits)
    expected = float(logits[chosen]) - np.logaddexp.reduce(logits.astype(np.float64))
    assert logprob == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.0),
        Sampling(temperature=0.5),
        Sampling(temperature=2.0, top_k=5),
        Sampling(temperature=1.0, top_p=0.7),
        Sampling(temperature=1.0, min_p=0.2),
        Sampling(temperature=1.5, top_k=100, top_p=0.9, min_p=0.05),
        Sampling(temperature=3.0, top_p=0.97),  # a nucleus larger than the part that is sorted first
    ],
)
def test_draws_follow_the_truncated_distribution(sampling: Sampling) -> None:
    logits = np.random.default_rng(1).normal(scale=2, size=400).astype(np.float32)
    expected = distribution(logits, sampling)
    sampler, draws = Sampler(sampling), 4_000
    counts = np.bincount([sampler.choose(logits)[0] for _ in range(draws)], minlength=logits.size)
    assert not counts[expected == 0].any()
    # Five standard deviations of a binomial count; the seed is fixed, so this passes always or never.
    tolerance = 5 * np.sqrt(expected * (1 - expected) * draws) + 1
    assert (np.abs(counts - expected * draws) <= tolerance).all()


@given(logits, st.integers(0, 1000), st.data())
def test_only_allowed_tokens_are_chosen(logits: np.ndarray, seed: int, data: st.DataObject) -> None:
    ids = st.lists(st.integers(0, logits.size - 1), min_size=1, max_size=10, unique=True)
    allowed = np.sort(np.array(data.draw(ids), dtype=np.intp))
    for temperature in (0.0, 1.0):
        sampler = Sampler(Sampling(temperature=temperature, top_p=0.9, top_k=4, seed=seed))
        assert sampler.choose(logits, allowed)[0] in allowed
    greedy, _ = Sampler(Sampling()).choose(logits, allowed)
    assert logits[greedy] == logits[allowed].max()


@given(logits, st.integers(0, 2**63))
def test_one_seed_draws_the_same_tokens(logits: np.ndarray, seed: int) -> None:
    sampling = Sampling(temperature=1.0, seed=seed)
    one, two = Sampler(sampling), Sampler(sampling)
    assert [one.choose(logits) for _ in range(5)] == [two.choose(logits) for _ in range(5)]


def test_logits_that_are_not_numbers_are_an_error() -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(EngineError, match="not numbers"):
            Sampler(Sampling()).choose(np.array([0.0, bad, 1.0], dtype=np.float32))


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"top_k": -1},
        {"min_p": 2.0},
        {"seed": -1},
        {"max_tokens": -1},
    ],
)
def test_options_without_meaning_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(EngineError, match=next(iter(wrong))):
        Sampler(Sampling(**wrong))
